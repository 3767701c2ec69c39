"""Messages survive the wire, and what does not decode is explained."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import messages as m
from stream.codec import decode, encode
from stream.errors import DecodeError

ids = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
prices = st.floats(min_value=0, allow_infinity=False) | st.none() | st.just(msgspec.UNSET)
flags = st.booleans() | st.none() | st.just(msgspec.UNSET)
scores = st.floats(0, 1)
scalars = (
    texts | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
attributes = st.dictionaries(texts, scalars | st.booleans(), max_size=3)
times = st.integers(0, 253_402_300_799_999)
versions = st.none() | st.integers(0, 2**63 - 1)
shown = st.builds(m.Shown, product_id=ids, item_id=ids, position=st.integers(1, 99), score=scores)
juice = st.builds(m.QueryJuice, grid=st.tuples(st.integers(1, 32), st.integers(1, 32)))
items = st.builds(
    m.ResultItem,
    product_id=ids,
    item_id=ids,
    probability=scores,
    level=st.integers(0, 3),
    position=st.integers(1, 99),
    title=texts,
    attributes=st.none() | attributes,
)
messages = st.one_of(
    st.builds(
        m.ProductUpsert,
        product_id=ids,
        title=texts,
        category=st.lists(texts, max_size=3).map(tuple),
        price=prices,
        in_stock=flags,
        attributes=attributes | st.none() | st.just(msgspec.UNSET),
        event_time=st.none() | times,
        version=versions,
    ),
    st.builds(
        m.OfferPatch,
        product_id=ids,
        price=prices,
        in_stock=st.none() | st.booleans(),
        version=versions,
    ),
    st.builds(m.ProductDelete, product_id=ids, version=versions),
    st.builds(m.Query, query_id=ids, image=st.just("a.jpg"), text=texts, top=st.integers(1, 100)),
    st.builds(
        m.Result,
        query_id=ids,
        items=st.lists(items, max_size=2).map(tuple),
        juice=st.none() | juice,
        took_ms=st.dictionaries(texts, st.floats(0, 1e6), max_size=2),
    ),
    st.builds(m.Impression, query_id=ids, items=st.lists(shown, max_size=2).map(tuple)),
    st.builds(m.Click, click_id=ids, query_id=ids, product_id=ids),
    st.builds(
        m.AttributedClick,
        click_id=ids,
        query_id=ids,
        product_id=ids,
        item_id=ids,
        position=st.integers(1, 99),
        shown=st.lists(shown, max_size=2).map(tuple),
        impression_time=times,
        click_time=times,
    ),
)


@given(messages)
def test_a_message_comes_back_as_it_was(message: m.Message) -> None:
    assert decode(encode(message), type(message)) == message


@given(messages)
def test_the_wire_names_the_type(message: m.Message) -> None:
    wire = msgspec.json.decode(encode(message))
    assert wire["type"] == type(message).__struct_config__.tag


def test_not_said_and_cleared_stay_apart() -> None:
    unsaid = decode(b'{"type":"upsert","product_id":"a"}', m.ProductUpsert)
    cleared = decode(b'{"type":"upsert","product_id":"a","price":null}', m.ProductUpsert)
    assert unsaid.price is msgspec.UNSET
    assert cleared.price is None
    assert b"price" not in encode(unsaid)
    assert b'"price":null' in encode(cleared)


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (None, "the message is empty; expected a JSON object of type 'upsert' or 'patch' or"),
        (b"", "the message is empty"),
        (b'{"type":"upsert"', "not JSON: unexpected end of data: line 1 column 17"),
        (b"\xff\xd8\xff", "the message is not JSON"),
        (b'{"type":"upsert","product_id":"\\ud800"}', "the message is not JSON"),
        (b'{"type":"delete","product_id":"a"} x', "unexpected content after document"),
        (b"[]", "expected object, got array"),
        (b"[" * 100_000, "expected object, got array"),
        (b"{}", "field `type` is missing; expected type 'upsert' or 'patch' or 'delete'"),
        (b'{"type":"insert"}', "field `type` is 'insert'; expected type 'upsert' or"),
        (b'{"type":7}', "field `type` is 7; expected type"),
        (b'{"type":"delete"}', "field `product_id` is missing"),
        (b'{"type":"delete","product_id":7}', "field `product_id`: expected str, got int"),
        (b'{"type":"delete","product_id":""}', "`product_id`: expected str of length >= 1"),
        (b'{"type":"delete","product_id":"a\\n"}', "control characters are not allowed"),
        (
            b'{"type":"delete","product_id":"' + b"a" * 129 + b'"}',
            "`product_id`: expected str of length <= 128",
        ),
        (
            b'{"type":"delete","product_id":"a","colour":1}',
            "unknown field `colour`; known fields: type, schema, event_time, product_id, version",
        ),
        (b'{"type":"upsert","product_id":"a","price":-1}', "`price`: expected float >= 0.0"),
        (b'{"type":"upsert","product_id":"a","price":"9"}', "`price`: expected float | null, got"),
        (b'{"type":"upsert","product_id":"a","price":1e999}', "`price`: the number is out of"),
        (b'{"type":"upsert","product_id":"a","images":[""]}', "field `images[0]`: expected str of"),
        (b'{"type":"upsert","product_id":"a","category":"x"}', "`category`: expected array"),
        (b'{"type":"upsert","product_id":"a","attributes":{"x":[]}}', "field `attributes[...]`"),
        (b'{"type":"delete","product_id":"a","schema":2}', "field `schema` is 2; this reader"),
        (b'{"type":"delete","product_id":"a","event_time":1700000000000000}', "`event_time`: exp"),
        (b'{"type":"delete","product_id":"a","event_time":17e14}', "milliseconds since the epoch"),
        (b'{"type":"patch","product_id":"a"}', "the patch changes nothing: give price, currency"),
    ],
)
def test_what_does_not_decode_says_why(wire: bytes | None, complaint: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(wire, m.CatalogEvent)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (b'{"type":"query","query_id":"a"}', "the query asks nothing"),
        (b'{"type":"query","query_id":"a","text":"  "}', "the query asks nothing"),
        (b'{"type":"query","query_id":"a","text":"b","top":0}', "field `top`: expected int >= 1"),
        (b'{"type":"query","query_id":"a","text":"b","top":101}', "`top`: expected int <= 100"),
        (
            b'{"type":"query","query_id":"a","text":"' + b"b" * 1001 + b'"}',
            "field `text`: expected str of length <= 1000",
        ),
        (b'{"type":"click","query_id":"a"}', "field `type` is 'click'; expected type 'query'"),
    ],
)
def test_a_query_that_asks_nothing_sensible_is_refused(wire: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(wire, m.Query)
    assert complaint in str(refused.value)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, m.CatalogEvent)
