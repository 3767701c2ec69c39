"""Queries are answered by the encoder of the index that is live, and none is refused meanwhile."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from index.errors import ModelMismatch
from workers.query.follow import FollowingPipeline
from workers.query.steps import QueryPipeline


class Index:
    """Which model's index is live."""

    live = "old"


class Pipeline:
    """Answers with the name of its model, while the live index is of that."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.closed = False

    def search(self, prepared: Sequence[Any]) -> list[Any]:
        if Index.live != self.model:
            raise ModelMismatch(f"the index is of {Index.live}, and this is {self.model}")
        return [(one, self.model) for one in prepared]

    def warm(self) -> bool:
        return bool(self.search(["a"]))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Pipeline]:
    monkeypatch.setattr(Index, "live", "old")
    return []


def following(made: list[Pipeline], models: list[str]) -> FollowingPipeline:
    """A pipeline for one model after another."""

    def make() -> QueryPipeline:
        made.append(Pipeline(models[len(made)]))
        return cast(QueryPipeline, made[-1])

    return FollowingPipeline(make)


def test_the_same_queries_are_asked_again_with_the_new_encoder(
    made: list[Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline: Any = following(made, ["old", "new"])
    queries: Any = ["a", "b"]
    assert pipeline.search(queries) == [("a", "old"), ("b", "old")]
    monkeypatch.setattr(Index, "live", "new")
    assert pipeline.search(queries) == [("a", "new"), ("b", "new")]
    assert pipeline.search(queries[:1]) == [("a", "new")]
    assert [one.closed for one in made] == [True, False]
    pipeline.close()
    assert made[1].closed


def test_without_the_right_encoder_the_worker_says_what_differs(
    made: list[Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = following(made, ["old", "old"])
    monkeypatch.setattr(Index, "live", "new")
    with pytest.raises(ModelMismatch, match="the index is of new"):
        pipeline.search([])


def test_another_encoder_is_not_loaded_before_somebody_asks(
    made: list[Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = following(made, ["old"])
    monkeypatch.setattr(Index, "live", "new")
    assert pipeline.warm()
    assert len(made) == 1
