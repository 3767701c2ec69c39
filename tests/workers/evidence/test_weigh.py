"""When a catalog is weighed, by what, and where the weights go."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from index.errors import MilvusUnavailable
from index.item import Item
from models.embedding.layout import PartWeights
from models.embedding.part_weights import MIN_ITEMS
from tests.doubles.colours import ColourEncoder
from tests.doubles.parts import PartsEncoder, painted
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.errors import EvidenceError
from workers.evidence.fitted import FittedFile, FittedWeights
from workers.evidence.predicted_attributes import AttributePredictorFile
from workers.evidence.sample import PictureSample
from workers.evidence.weigh import VIEWS_EACH, Weighing, weigh, weighing_of
from workers.evidence.witnesses import gather_witnesses, sampled_items
from workers.ingest.items import picture_part


class Shop:
    """A catalog as an index and a sample have it."""

    def __init__(self, blurred: str = "appearance") -> None:
        self.encoder = PartsEncoder(blurred)
        self.sample = PictureSample(None, self.encoder.model_id)
        self.items: dict[str, Item] = {}

    def add(self, count: int) -> None:
        for number in range(len(self.items), len(self.items) + count):
            picture, product_id = painted(number), f"p{number}"
            self.items[product_id] = Item(
                item_id=f"{product_id}#0",
                product_id=product_id,
                prototype=0,
                vector=self.encoder.encode_items([picture], [None])[0].vector,
                payload={"category": ["kind", str(number % 3)] if number % 5 else []},
                digest=f"{number:064x}-words",
            )
            digest = picture_part(self.items[product_id].digest)
            thumbnails = self.sample.thumbnails(product_id, [(digest, picture)])
            self.sample.update({product_id: {digest}}, {product_id: thumbnails})
        self.encoder.encoded = 0

    # What a `CatalogIndex` has.

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        return [self.items[one] for one in product_ids if one in self.items]

    def count(self) -> int:
        return len(self.items)

    recent_count = count


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def weighing(shop: Shop, settings: Settings) -> Iterator[Weighing]:
    file = FittedFile(settings, shop.encoder.model_id)
    yield Weighing(shop.sample, cast(CatalogIndex, shop), shop.encoder, file)
    shop.sample.close()


def fitted(settings: Settings, model_id: str = PartsEncoder.model_id) -> FittedWeights | None:
    return FittedFile(settings, model_id).read()


# Witnesses.


def test_witnesses_are_the_same_however_often_they_are_gathered(shop: Shop) -> None:
    shop.add(30)
    seen: list[tuple[int, int]] = []
    paused: list[int] = []
    one = gather_witnesses(
        sampled_items(shop.sample, shop),
        shop.encoder,
        [0, 1],
        progress=lambda *at: seen.append(at),
        pause=lambda: paused.append(1),
    )
    again = Shop()
    again.add(30)
    other = gather_witnesses(sampled_items(again.sample, again), again.encoder, [0, 1])
    for name in ("items", "products", "categories", "views", "shown"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert one.views.shape == (60, PartsEncoder.dim)
    assert (seen[0], seen[-1], len(paused)) == ((0, 60), (60, 60), len(seen) - 1)
    assert len(np.unique(one.products)) == 30
    assert sorted(np.bincount(one.categories + 1)) == [6, 8, 8, 8]  # six have none


def test_what_the_index_does_not_have_any_more_is_no_witness(shop: Shop) -> None:
    shop.add(4)
    del shop.items["p1"]
    changed = shop.items["p2"]
    shop.items["p2"] = msgspec.structs.replace(changed, digest=f"{99:064x}-words")
    witnesses = sampled_items(shop.sample, shop)
    assert {one.item.product_id for one in witnesses} == {"p0", "p3"}


# Weights.


def test_colour_counts_for_more_where_it_tells_products_apart() -> None:
    found = []
    for blurred in ("appearance", "colour"):
        shop = Shop(blurred)
        shop.add(60)
        weighed = weigh(shop.sample, shop, shop.encoder, 60)
        assert weighed
        assert (weighed.items, weighed.views) == (60, 60 * VIEWS_EACH)
        found.append(weighed)
    clear, blurred_colour = found
    assert clear.colour > 1.5 * blurred_colour.colour
    assert clear.self_at_1 > clear.prior_self_at_1
    assert clear.version != blurred_colour.version


def test_vectors_without_parts_are_not_weighed(settings: Settings, shop: Shop) -> None:
    index: Any = shop
    assert weighing_of(settings, index, ColourEncoder()) is None
    off = settings.ingest.model_copy(update={"weigh_parts": False})
    assert weighing_of(settings.model_copy(update={"ingest": off}), index, shop.encoder) is None
    assert weighing_of(settings, index, shop.encoder) is not None


# When.


def test_it_is_time_with_the_first_items_and_whenever_they_have_doubled(
    shop: Shop, weighing: Weighing, settings: Settings
) -> None:
    weighed_at = []
    for step in (MIN_ITEMS - 1, 1, 1, MIN_ITEMS - 2, 1, 30):
        shop.add(step)
        if weighing.check():
            weighed_at.append(shop.count())
        last = fitted(settings)
        assert (last.of_items if last else 0) == (weighed_at[-1] if weighed_at else 0)
        assert not weighing.check(), "nothing was added"
    assert weighed_at == [MIN_ITEMS, 2 * MIN_ITEMS]


def test_what_products_teach_is_learned_with_the_weights(shop: Shop, settings: Settings) -> None:
    own = AttributePredictorFile(settings, shop.encoder.model_id)
    file = FittedFile(settings, shop.encoder.model_id)
    weighing = Weighing(shop.sample, cast(CatalogIndex, shop), shop.encoder, file, own)
    shop.add(MIN_ITEMS)
    with capture_logs() as logs:
        assert weighing.check()
    learned = own.read()
    assert learned is not None
    assert learned.products == MIN_ITEMS
    assert any(one["event"] == "attributes of the catalog were learned" for one in logs)


def test_nothing_is_re_embedded(shop: Shop, weighing: Weighing) -> None:
    shop.add(MIN_ITEMS)
    before = dict(shop.items)
    assert weighing.check()
    assert shop.items == before
    assert shop.encoder.encoded == MIN_ITEMS * VIEWS_EACH


def test_what_another_process_has_weighed_is_not_weighed_again(
    shop: Shop, weighing: Weighing, settings: Settings
) -> None:
    shop.add(MIN_ITEMS)
    assert weighing.check()
    other = FittedFile(settings, shop.encoder.model_id)
    assert not Weighing(shop.sample, cast(CatalogIndex, shop), shop.encoder, other).check()


def test_asked_for_now_it_is_done_at_any_size(
    shop: Shop, weighing: Weighing, settings: Settings
) -> None:
    assert weighing.now() is None
    for size in (MIN_ITEMS + 7, MIN_ITEMS + 8):
        shop.add(size - shop.count())
        last = weighing.now()
        assert last
        assert last.of_items == size
        assert fitted(settings) == last
    assert not weighing.check()


def test_figures_and_duration_are_logged(shop: Shop, weighing: Weighing) -> None:
    shop.add(MIN_ITEMS)
    with capture_logs() as logs:
        weighing.check()
    (line,) = logs
    assert (line["items"], line["views"]) == (MIN_ITEMS, MIN_ITEMS * VIEWS_EACH)
    assert {"version", "seconds", "colour", "self_at_1", "prior_category_at_1"} <= line.keys()


def test_pictures_that_are_too_few_are_looked_at_again_when_the_catalog_has_doubled(
    shop: Shop, weighing: Weighing, settings: Settings
) -> None:
    shop.add(MIN_ITEMS - 1)
    words = next(iter(shop.items.values()))
    shop.items |= {f"w{n}": replace_id(words, f"w{n}") for n in range(MIN_ITEMS)}
    assert weighing.check()
    assert fitted(settings) is None
    assert not weighing.check()


def test_an_index_that_is_away_is_asked_again_and_a_broken_sample_is_not(
    shop: Shop, weighing: Weighing, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add(MIN_ITEMS)
    with monkeypatch.context() as patch:
        patch.setattr(shop, "stored", raising(MilvusUnavailable("away")))
        for _ in range(2):
            with pytest.raises(MilvusUnavailable):
                weighing.check()
    with monkeypatch.context() as patch:
        patch.setattr(shop.sample, "pictures", raising(EvidenceError("broken")))
        with pytest.raises(EvidenceError):
            weighing.check()
    assert not weighing.check()
    shop.add(MIN_ITEMS)
    assert weighing.check()


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def replace_id(item: Item, product_id: str) -> Item:
    """Words without a picture, which are not in the sample."""
    return msgspec.structs.replace(item, product_id=product_id, item_id=f"{product_id}#0")


# The file.


FITTED = FittedWeights(
    model_id="m",
    version="v",
    of_items=60,
    identity=0.2,
    appearance=0.3,
    colour=0.5,
    text=1.0,
    items=60,
    views=240,
    self_at_1=0.8,
    category_at_1=0.5,
    prior_self_at_1=0.6,
    prior_category_at_1=0.5,
)


def test_weights_are_read_as_they_were_written_and_for_their_model_only(
    settings: Settings,
) -> None:
    assert fitted(settings, "m") is None
    FittedFile(settings, "m").write(FITTED)
    assert fitted(settings, "m") == FITTED
    assert fitted(settings, "other") is None
    assert FITTED.weights == PartWeights(0.2, 0.3, 0.5)
    assert FITTED.summary == (
        "identity 20%, appearance 30%, colour 50%; by its own evidence (60 pictures, version v): "
        "self@1 80.0% (prior 60.0%), category@1 50.0% (prior 50.0%)"
    )


def test_a_reader_follows_the_file(settings: Settings) -> None:
    reader, writer = FittedFile(settings, "m"), FittedFile(settings, "m")
    writer.write(FITTED)
    assert reader.read() is reader.read()
    writer.write(msgspec.structs.replace(FITTED, colour=0.4))
    changed = reader.read()
    assert changed
    assert changed.colour == 0.4
    reader.path.unlink()
    assert reader.read() is None
    assert [one.name for one in reader.path.parent.iterdir()] == []


def test_a_damaged_file_is_said_once_and_not_used(settings: Settings) -> None:
    file = FittedFile(settings, "m")
    file.write(FITTED)
    file.path.write_bytes(file.path.read_bytes()[:-20])
    with capture_logs() as logs:
        assert [file.read(), file.read()] == [None, None]
    assert len(logs) == 1
