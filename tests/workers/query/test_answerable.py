"""What the catalog topic accepts can be answered: every message that names the product decodes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.item import Hit
from index.milvus.schema import check_item
from models.reranking.linear import load_reranker
from stream import messages as m
from stream.codec import decode, encode
from stream.errors import DecodeError
from stream.records import Record
from tests.doubles.colours import ColourEncoder, pixels
from workers.feedback.click_join import PendingClick, RejectedClick, attribute
from workers.ingest.items import (
    FetchedPicture,
    encode_products,
    fetched_product,
    picture_digest,
)
from workers.ingest.last_write_wins import item_id
from workers.query.rerank import rank, result_item
from workers.query.result import impression

LONGEST_ID = 128
MOST_PICTURES = 10_000_000
NOW_MS = 1_795_645_930_000

encoder, reranker = ColourEncoder(), load_reranker()
ids = st.integers(1, LONGEST_ID).flatmap(
    lambda length: st.text(
        st.characters(exclude_categories=["Cc", "Cs"]), min_size=length, max_size=length
    )
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e300, 1e300)
optional: dict[str, st.SearchStrategy[Any]] = {
    "title": texts,
    "description": texts,
    "category": st.lists(texts, max_size=3),
    "image": st.just("a.png"),
    "images": st.integers(0, 12).map(lambda number: [f"{one}.png" for one in range(number)]),
    "price": st.none() | st.floats(0, 1e300),
    "currency": st.none() | texts,
    "in_stock": st.none() | st.booleans(),
    "attributes": st.none() | st.dictionaries(texts, scalars, max_size=3),
    "version": st.integers(0, 2**63 - 1),
}
upserts = st.fixed_dictionaries({"product_id": ids}, optional=optional)


def comes_back(message: Any) -> None:
    assert decode(encode(message), type(message)) == message


@given(upserts)
def test_every_accepted_product_can_be_shown_and_clicked(fields: dict[str, Any]) -> None:
    event = decode(msgspec.json.encode({"type": "upsert", **fields}), m.CatalogEvent)
    count = len({*event.images, *([event.image] if event.image else [])})
    picture = FetchedPicture(picture_digest(b"", encoder.model_id), pixels("red"))
    product = fetched_product(event, [picture] * count, encoder.model_id)
    (items,) = encode_products([product], encoder)
    for item in items:
        check_item(item, encoder.dim, 1)
    (query,) = encoder.encode_queries([pixels("red")], [None])
    offer = {
        name: value
        for name in ("price", "currency", "in_stock", "attributes")
        if (value := getattr(event, name)) is not msgspec.UNSET and value is not None
    }
    for item in items:
        hit = Hit(msgspec.structs.replace(item, offer=offer), 1.0)
        [one] = rank(query, None, [hit], reranker, explain=True)
        shown, retrieved = result_item(one, 1, 1, (event.product_id,)), (event.product_id,)
        result = m.Result(query_id="q", items=(shown,), retrieved=retrieved)
        comes_back(result)
        comes_back(impression(result, NOW_MS))
        click = m.Click(click_id="c", query_id="q", product_id=event.product_id)
        comes_back(click)
        record = Record(
            topic="click", partition=0, offset=0, key=b"q", value=b"", timestamp_ms=NOW_MS
        )
        clicked = attribute(PendingClick(click, record, 0), impression(result, NOW_MS), NOW_MS)
        assert not isinstance(clicked, RejectedClick)
        comes_back(clicked)


@given(ids, st.integers(0, MOST_PICTURES - 1), st.floats(0, 1))
def test_the_name_of_every_picture_fits(product_id: str, picture: int, score: float) -> None:
    name = item_id(product_id, picture)
    shown = m.Shown(product_id=product_id, item_id=name, position=1, score=score)
    comes_back(m.Impression(query_id="q", items=(shown,)))


@pytest.mark.parametrize("letter", ["a", "ø", "漢", "🛒"])
def test_the_longest_id_fits_a_row_and_one_longer_is_refused(letter: str) -> None:
    longest = letter * LONGEST_ID
    event = m.ProductUpsert(product_id=longest)
    ((item,),) = encode_products([fetched_product(event, [], encoder.model_id)], encoder)
    last = msgspec.structs.replace(item, item_id=item_id(longest, MOST_PICTURES - 1))
    check_item(last, encoder.dim, 1)
    with pytest.raises(DecodeError, match="`product_id`: expected str of length <= 128"):
        decode(encode(m.ProductUpsert(product_id=longest + letter)), m.CatalogEvent)
