"""The message types of every topic, as frozen msgspec structs.

On the wire a message is one JSON object; its `type` names the struct. Fields that hold their
default are left out. An absent `schema` will always mean 1: a later schema must be written out.

Two absences differ in an offer (price, currency, in_stock, attributes): a field left out
(`UNSET`) keeps what is there, `null` clears it.

An image is a reference: an http(s) URL, a file path, or a `data:` URI that carries the picture
itself (RFC 2397, base64).
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

# Milliseconds up to the year 9999: micro- and nanoseconds are out of range.
EventTime = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
# Printable on one line everywhere: ids become Kafka keys, primary keys and log fields.
Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]
# An id and the number of a picture: "ID#0". A message has room for fewer than ten million pictures.
ItemId = Annotated[str, Meta(min_length=1, max_length=136, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]
ImageRef = Annotated[str, Meta(min_length=1)]
Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Price = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Position = Annotated[int, Meta(ge=1)]
Attributes = dict[str, str | int | float | bool]
QueryText = Annotated[str, Meta(max_length=1000)]


class Message(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
    tag=False,
):
    """What every message carries.

    `event_time` is when it happened, in milliseconds since the epoch (None: the record's own
    timestamp).
    """

    schema: Literal[1] = 1
    event_time: EventTime | None = None


class ProductUpsert(Message, tag="upsert", frozen=True, kw_only=True):
    """A product as it is now: everything but the offer is replaced.

    `category` is a path from the root; `version`, if given, orders events of the same product
    (higher wins, whatever order they arrive in).
    """

    product_id: Id
    title: str = ""
    description: str = ""
    category: tuple[str, ...] = ()
    image: ImageRef | None = None
    images: tuple[ImageRef, ...] = ()
    price: Price | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    in_stock: bool | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET
    version: Version | None = None


class OfferPatch(Message, tag="patch", frozen=True, kw_only=True):
    """A change of price, stock or attributes; never touches the picture."""

    product_id: Id
    version: Version | None = None
    price: Price | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    in_stock: bool | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if all(x is UNSET for x in (self.price, self.currency, self.in_stock, self.attributes)):
            raise ValueError(
                "the patch changes nothing: give price, currency, in_stock or attributes"
            )


class ProductDelete(Message, tag="delete", frozen=True, kw_only=True):
    """The product is gone."""

    product_id: Id
    version: Version | None = None


CatalogEvent: TypeAlias = ProductUpsert | OfferPatch | ProductDelete


class RefusedRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record that is in the dead-letter topic now, and why."""

    offset: int
    error_class: str
    reason: str


class Outcomes(Message, tag="outcomes", frozen=True, kw_only=True):
    """How records of one partition ended: the offsets of each kind of end.

    `coerced` are offsets too, by kind: of what only the worker could see, and so no producer.
    """

    topic: str
    partition: int
    applied: tuple[int, ...] = ()
    superseded: tuple[int, ...] = ()
    refused: tuple[RefusedRecord, ...] = ()
    coerced: dict[str, tuple[int, ...]] = {}


class Query(Message, tag="query", frozen=True, kw_only=True):
    """A shopper's photo, words, or both; the answer is a `Result` with the same `query_id`.

    Exactly one comes for every query whose `query_id` can be read. One that cannot be answered (a
    field out of its bounds, a picture that is not there) has `error` in place of items.
    """

    query_id: Id
    image: ImageRef | None = None
    text: QueryText | None = None
    top: Annotated[int, Meta(ge=1, le=100)] = 10

    def __post_init__(self) -> None:
        if self.image is None and not (self.text or "").strip():
            raise ValueError("the query asks nothing: give an image, a text or both")


class ResultItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One ranked product.

    `score` is the probability that it is the very product (level 0); `level` is 0 instance,
    1 concept, 2 functional, 3 irrelevant (Pailitao-VL, arXiv 2602.13704 §3). `image` is a
    reference, never a `data:` URI.
    """

    product_id: Id
    item_id: ItemId
    score: Probability
    level: Annotated[int, Meta(ge=0, le=3)]
    position: Position
    title: str = ""
    category: tuple[str, ...] = ()
    image: str | None = None
    price: Price | None = None
    currency: str | None = None
    in_stock: bool | None = None
    attributes: Attributes | None = None
    caption: str = ""


class QueryJuice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the juicer extracted from the query picture (DataJuicer, arXiv 2503.14559).

    `grid` is (rows, columns) of patches; `kept` are row-major patch indices; `box` is
    (x0, y0, x1, y1) relative to the picture, 0..1; `classes` are (name, confidence 0..1).
    """

    grid: tuple[int, int]
    kept: tuple[int, ...] = ()
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    classes: tuple[tuple[str, float], ...] = ()


class Result(Message, tag="result", frozen=True, kw_only=True):
    """The answer to a query, keyed by its `query_id`.

    `items` best first; `retrieved` are product ids in the order of retrieval, before reranking;
    `error` says why there are no items.
    """

    query_id: Id
    items: tuple[ResultItem, ...] = ()
    retrieved: tuple[str, ...] = ()
    juice: QueryJuice | None = None
    model_id: str = ""
    bank_version: str = ""
    took_ms: float = 0.0
    error: str | None = None


class Shown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One place of a result list as the shopper saw it."""

    product_id: Id
    item_id: ItemId
    position: Position
    score: Probability


class Impression(Message, tag="impression", frozen=True, kw_only=True):
    """The list that was shown for a query, with the model that ranked it."""

    query_id: Id
    items: tuple[Shown, ...] = ()
    model_id: str = ""
    bank_version: str = ""


class Click(Message, tag="click", frozen=True, kw_only=True):
    """A click on a shown product; `click_id` makes it idempotent."""

    click_id: Id
    query_id: Id
    product_id: Id


class AttributedClick(Message, tag="attributed_click", frozen=True, kw_only=True):
    """A click joined to the impression it was made on; times in milliseconds since the epoch."""

    click_id: Id
    query_id: Id
    product_id: Id
    item_id: ItemId
    position: Position
    shown: tuple[Shown, ...] = ()
    model_id: str = ""
    bank_version: str = ""
    impression_time: EventTime
    click_time: EventTime
