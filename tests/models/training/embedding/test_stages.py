from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from torch import Tensor
from torch.nn import functional

from models.errors import TrainingError
from models.training.embedding.prototype_head import PrototypeHead
from models.training.embedding.recipe import Recipe
from models.training.embedding.run_state import Batch, StageName, StepRecord, TrainableEncoder
from models.training.embedding.stages import Checkpointing, Trained, embed, train
from tests.models.training.embedding.toy import (
    Linear,
    batches,
    recipe,
    training_pass,
    unseen_recall,
)

SHORT = recipe(4, 4)


def trained(plan: Recipe) -> Trained:
    return train(Linear(), batches, plan, training_pass=training_pass)


def weights(encoder: TrainableEncoder) -> Tensor:
    return torch.cat([value.flatten() for value in encoder.state_dict().values()])


@pytest.mark.parametrize(
    "plan",
    [
        recipe(40, 40),
        recipe(80, 0),
        recipe(40, 40, sub_centres=3, smoothing=0.05).sparse(),
        recipe(0, 80),
    ],
    ids=["id", "contrast", "sparse", "id alone"],
)
def test_ids_never_seen_are_told_apart_after_training(plan: Recipe) -> None:
    before = unseen_recall(Linear())
    result = trained(plan)
    assert before < 0.3
    assert unseen_recall(result.encoder) > 0.8


def test_the_stages_follow_each_other() -> None:
    result = trained(SHORT)
    assert [(one.stage, one.step) for one in result.history] == [
        (stage, step) for stage in ("contrast", "identity") for step in (1, 2, 3, 4)
    ]
    assert result.head is not None
    assert result.head.classes == 60


def test_without_identification_there_is_no_head() -> None:
    result = trained(recipe(8, 0))
    assert len(result.history) == 8
    assert {one.stage for one in result.history} == {"contrast"}
    assert result.head is None


def test_the_head_starts_from_the_centroids() -> None:
    """One step at a rate of nearly nothing leaves them where stage 2 put them."""
    result = trained(recipe(0, 1, learning_rate=1e-12))
    assert result.head is not None
    vectors, ids = embed(result.encoder, training_pass())
    centroids = torch.zeros(60, 8).index_add_(0, ids, functional.normalize(vectors, dim=1))
    assert torch.allclose(result.head.prototypes(), functional.normalize(centroids, dim=1))


def test_margin_and_learning_rate_follow_the_recipe() -> None:
    history = trained(recipe(0, 20, margin=0.4, margin_ramp=0.5, warm_up=0.1)).history
    margins = [one.margin for one in history]
    assert margins[0] == 0
    assert margins[5] == pytest.approx(0.2)
    assert margins[10:] == [pytest.approx(0.4)] * 10
    rates = [one.rate for one in history]
    assert rates[:3] == pytest.approx([0.005, 0.01, 0.01])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.001


def test_the_head_has_a_higher_learning_rate_than_the_encoder() -> None:
    """Adam's first step is the learning rate in each value, whatever the gradient."""
    plan = recipe(0, 1, learning_rate=1e-4, weight_decay=0.0)
    still, moved = trained(replace(plan, learning_rate=1e-12)), trained(plan)
    assert still.head is not None
    assert moved.head is not None
    encoder = (weights(moved.encoder) - weights(still.encoder)).abs().median()
    head = (moved.head.weight - still.head.weight).detach().abs().median()
    assert float(encoder) == pytest.approx(1e-4, rel=0.05)
    assert float(head) == pytest.approx(5e-4, rel=0.05)


def test_training_stops_early_and_keeps_the_best_weights() -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    seen: list[Tensor] = []

    def validate(encoder: TrainableEncoder) -> float:
        assert not encoder.training
        seen.append(weights(encoder).clone())
        return next(scores)

    plan = recipe(100, 0, validate_every=3, patience=2)
    result = train(Linear(), batches, plan, validate=validate)
    assert len(result.history) == 12
    assert [one.score for one in result.history if one.score is not None] == [0.1, 0.5, 0.4, 0.5]
    assert torch.equal(weights(result.encoder), seen[1])


def test_validation_does_not_disturb_training() -> None:
    watched = train(
        Linear(0.2), batches, recipe(6, 0, validate_every=2), validate=lambda encoder: 1.0
    )
    alone = train(Linear(0.2), batches, recipe(6, 0))
    assert [one.loss for one in watched.history] == [one.loss for one in alone.history]


def test_the_average_is_what_is_validated_and_kept() -> None:
    steps: list[Tensor] = []
    encoder = Linear()
    train(
        encoder,
        batches,
        recipe(3, 0, average=0.5),
        progress=lambda record: steps.append(weights(encoder).clone()),
    )
    first, second, third = steps
    expected = (first / 2 + second / 2) / 2 + third / 2
    assert torch.allclose(weights(encoder), expected, atol=1e-6)


def test_frozen_weights_stay() -> None:
    encoder = Linear()
    encoder.linear.bias.requires_grad_(False)
    before = encoder.linear.bias.clone()
    train(encoder, batches, SHORT, training_pass=training_pass)
    assert torch.equal(encoder.linear.bias, before)


def test_gradients_are_clipped_together() -> None:
    """With a bound of nearly nothing Adam's epsilon swallows the step."""
    plan = recipe(0, 1, clip=1e-12, weight_decay=0.0)
    result = trained(plan)
    assert torch.allclose(weights(result.encoder), weights(Linear()), atol=1e-4)


def test_batches_that_end_are_refused() -> None:
    def two(stage: StageName, start: int) -> Iterator[Batch]:
        coming = batches(stage, start)
        yield next(coming)
        yield next(coming)

    with pytest.raises(TrainingError, match="ended at step 2 of 4"):
        train(Linear(), two, SHORT, training_pass=training_pass)


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    def broken(stage: StageName, start: int) -> Iterator[Batch]:
        for inputs, ids in batches(stage, start):
            yield inputs * float("nan"), ids

    with pytest.raises(TrainingError, match="loss is nan at step 1"):
        train(Linear(), broken, SHORT, training_pass=training_pass)


def test_identification_needs_the_training_set() -> None:
    with pytest.raises(TrainingError, match="training set"):
        train(Linear(), batches, SHORT)
    with pytest.raises(TrainingError, match="empty"):
        train(Linear(), batches, recipe(0, 1), training_pass=list)


def test_recipes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(TrainingError, match="shares"):
        Recipe(margin_ramp=2)
    with pytest.raises(TrainingError, match="1 or more"):
        Recipe(sub_centres=0)
    with pytest.raises(TrainingError, match="prefix"):
        Recipe(prefixes=())


class Cut(Exception):
    """The process is killed."""


RESUMED = recipe(10, 10, average=0.9, validate_every=4, sub_centres=3).sparse()
RESUMED = replace(RESUMED, sparseness=replace(RESUMED.sparseness, refresh_every=7))


def ending(path: Path | None, cut_at: int | None = None) -> tuple[Trained, list[float]]:
    """Train with dropout; with ``cut_at`` the run ends there with `Cut` and goes on from disk."""
    done = 0

    def progress(record: StepRecord) -> None:
        nonlocal done
        done += 1
        if done == cut_at:
            raise Cut

    def go() -> Trained:
        return train(
            Linear(0.2),
            batches,
            RESUMED,
            training_pass=training_pass,
            validate=unseen_recall,
            progress=progress,
            checkpoint=Checkpointing(path, every=3) if path else None,
        )

    if cut_at is not None:
        with pytest.raises(Cut):
            go()
        torch.manual_seed(99)  # whatever the machine did in between
    result = go()
    return result, [one.loss for one in result.history]


def end_weights(result: Trained) -> list[Tensor]:
    assert isinstance(result.head, PrototypeHead)
    return [*result.encoder.state_dict().values(), result.head.weight.detach()]


@pytest.mark.parametrize("cut_at", [2, 3, 5, 10, 11, 14, 19])
def test_a_run_cut_off_ends_as_one_that_was_not(tmp_path: Path, cut_at: int) -> None:
    whole, whole_losses = ending(None)
    resumed, losses = ending(tmp_path / "run.safetensors", cut_at)
    assert losses == whole_losses
    for one, other in zip(end_weights(resumed), end_weights(whole), strict=True):
        assert torch.equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]
