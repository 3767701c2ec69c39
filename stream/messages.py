"""The message types of every topic, as frozen msgspec structs.

On the wire a message is one JSON object; its `type` names the struct. Fields that hold their
default are left out. A field that is not known is refused where others write (a typing mistake
would be lost silently), and left alone where we write (a newer worker may have more to say).

An absent `schema` will always mean 1: a later schema is written out. Queries and results have
schema 2; a query is answered in the schema that it was asked in (`stream.schema_1`).

Two absences differ in an offer (price, currency, in_stock, attributes): a field left out
(`UNSET`) keeps what is there, `null` clears it.

An image is a reference: an http(s) URL, a file path, or a `data:` URI that carries the picture
itself (RFC 2397, base64).
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

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
Share = Annotated[float, Meta(ge=0, le=1)]
Level = Annotated[int, Meta(ge=0, le=3)]
Position = Annotated[int, Meta(ge=1)]
Attributes = dict[str, str | int | float | bool]
QueryText = Annotated[str, Meta(max_length=1000)]
FilterText = Annotated[str, Meta(max_length=4000)]
FacetText = Annotated[str, Meta(min_length=1, max_length=2000)]
Group = Literal["product", "none", "near_duplicate"]
Sort = Literal["relevance", "price:asc", "price:desc"]
Action = Literal["click", "basket", "purchase"]

REACHABLE = 1000
"""The last product that pages reach: `top` × `page` is at most this."""


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


class RefusedRecord(Struct, frozen=True, kw_only=True):
    """A record that is in the dead-letter topic now, and why."""

    offset: int
    error_class: str
    reason: str


class Outcomes(Message, tag="outcomes", frozen=True, kw_only=True, forbid_unknown_fields=False):
    """How records of one partition ended: the offsets of each kind of end.

    `coerced` are offsets too, by kind: of what only the worker could see, and so no producer.
    """

    topic: str
    partition: int
    applied: tuple[int, ...] = ()
    superseded: tuple[int, ...] = ()
    refused: tuple[RefusedRecord, ...] = ()
    coerced: dict[str, tuple[int, ...]] = {}


class QueryImage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of several pictures of a query.

    `weight`, −1 to 1, is how much it counts; below 0 it says what is not wanted. `box` selects a
    part of it: (x0, y0, x1, y1) in shares of its width and height, from the upper left.
    """

    image: ImageRef
    weight: Annotated[float, Meta(ge=-1, le=1)] = 1.0
    box: tuple[Share, Share, Share, Share] | None = None

    def __post_init__(self) -> None:
        if not self.weight:
            raise ValueError("a picture of weight 0 asks nothing: leave it out")
        if self.box is not None:
            left, top, right, bottom = self.box
            if left >= right or top >= bottom:
                raise ValueError(
                    "box is (x0, y0, x1, y1) from the upper left to the lower right: x0 < x1 and "
                    "y0 < y1"
                )


class Query(Message, tag="query", frozen=True, kw_only=True):
    """A shopper's photos, words, or both; the answer is a `Result` with the same `query_id`.

    Exactly one comes for every query whose `query_id` can be read. One that cannot be answered (a
    field out of its bounds, a picture that is not there) has `error` in place of items.

    Attributes:
        image, images: a picture; or several, each with a weight, or a part of one.
        text: words, which go with every picture that is wanted.
        objects: `auto` also looks for the objects of `image`, and answers each in a group.
        like: products to find more of, from what is stored of their first pictures; they
            themselves are not found.
        filter: which products may be found (`index.search.filter` has the grammar).
        facets: what to count over all products that pass the filter (`index.search.facets`).
        sort: by relevance, or by price those whose probability is at least `min_probability`.
        top, page: products a page, and which page of them, from 1.
        group: one result a product; `none`: one a picture; `near_duplicate`: products that are the
            same thing collapse into the best of them.
        min_probability: leaves out what is less probably the very product.
        explain: why each result stands where it does.
        repair: whether words that no product has may be repaired by those that products have.
        consistency: `read_your_writes` also finds what was applied a moment before; on Milvus Lite
            every query does.
    """

    schema: Literal[1, 2] = 1  # type: ignore[assignment]
    query_id: Id
    image: ImageRef | None = None
    images: Annotated[tuple[QueryImage, ...], Meta(max_length=8)] = ()
    text: QueryText | None = None
    objects: Literal["off", "auto"] = "off"
    like: Annotated[tuple[Id, ...], Meta(max_length=20)] = ()
    filter: FilterText | None = None
    facets: Annotated[tuple[FacetText, ...], Meta(max_length=20)] = ()
    sort: Sort = "relevance"
    top: Annotated[int, Meta(ge=1, le=100)] = 10
    page: Annotated[int, Meta(ge=1, le=REACHABLE)] = 1
    group: Group = "product"
    min_probability: Probability = 0.0
    explain: bool = False
    repair: bool = True
    consistency: Literal["fast", "read_your_writes"] = "fast"

    def __post_init__(self) -> None:
        if self.image is not None and self.images:
            raise ValueError("field `images`: give image or images, not both")
        if self.objects == "auto" and (self.image is None or self.like):
            raise ValueError("field `objects`: objects are looked for in `image`, without `like`")
        wanted = self.image is not None or any(one.weight > 0 for one in self.images)
        if not wanted and not self.like and not (self.text or "").strip():
            what = "says only what is not wanted" if self.images else "asks nothing"
            raise ValueError(f"the query {what}: give an image, a text, both, or like")
        if self.top * self.page > REACHABLE:
            raise ValueError(
                f"field `page`: page {self.page} of {self.top} products is beyond product "
                f"{REACHABLE}: top × page may be at most {REACHABLE}; narrow the filter instead"
            )


class FeatureContribution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one feature of the reranker says of a result.

    `value` is the feature itself, None where it is not known; `contribution` is by how much it
    raises or lowers the comparative score against that of a usual candidate.
    """

    feature: str
    value: float | None = None
    contribution: float = 0.0


class ChunkComparison(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a result stood among the candidates that it was compared with side by side.

    `place` of `size` in chunk number `chunk`, all from 1. `score` is comparable within the chunk
    only; `null` is the score of "none of these" there. `ahead_of` is the product of the next
    candidate of the chunk, and `decided_by` the feature that speaks most for this one against it;
    None where there is no next, or where no feature does.
    """

    chunk: Annotated[int, Meta(ge=1)]
    place: Position
    size: Position
    score: float
    null: float
    ahead_of: Id | None = None
    decided_by: str | None = None


class PatchMatches(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Patches of the query's picture and of the item's that are most alike.

    `grid` is (rows, columns) of the item's; that of the query is in the result's `juice`. `pairs`
    are (query's patch, item's patch, cosine −1 to 1), most alike first. Patches are row-major over
    the picture centred on a square.
    """

    grid: tuple[int, int]
    pairs: tuple[tuple[int, int, float], ...] = ()


class Suggested(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A colour word, and a category path from its root; empty where nothing was predicted."""

    colour: str = ""
    category: tuple[str, ...] = ()


class ResultItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ranked product.

    `probability` is that it is the very product (level 0); `level` is 0 instance, 1 concept,
    2 functional, 3 irrelevant (Pailitao-VL, arXiv 2602.13704 §3). `image` is a reference, never a
    `data:` URI. `also_seen` counts the near duplicates that collapsed into this one, and
    `near_duplicates` names the first of them: ask with the filter `product_id:=[…]` to see them.
    `why`, `compared` and `patches` come with `explain`. `by_words` says that the reranker looks at
    pictures and had none of this one. `suggested` is predicted from the picture, by the catalog's
    other products, where the shop says nothing.
    """

    product_id: Id
    item_id: ItemId
    probability: Probability
    level: Level
    position: Position
    title: str = ""
    category: tuple[str, ...] = ()
    image: str | None = None
    price: Price | None = None
    currency: str | None = None
    in_stock: bool | None = None
    attributes: Attributes | None = None
    caption: str = ""
    also_seen: Annotated[int, Meta(ge=0)] = 0
    near_duplicates: tuple[Id, ...] = ()
    why: tuple[FeatureContribution, ...] = ()
    compared: ChunkComparison | None = None
    patches: PatchMatches | None = None
    by_words: bool = False
    suggested: Suggested | None = None

    @property
    def score(self) -> float:
        """The probability, by its name in schema 1."""
        return self.probability


class FacetCount(Struct, frozen=True, kw_only=True):
    """How many products have a value; of numbers between edges it is "LOW..HIGH"."""

    value: str | int | float | bool
    count: int


class FacetCounts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A facet as it was asked for, most products first; `more` is how many values are left out."""

    field: str
    counts: tuple[FacetCount, ...] = ()
    more: int = 0


class QueryError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a query has no items: `message` says what to do, `field` is the query's that is wrong.

    `position` is the character of that field that it is about, from 0.
    """

    code: str
    message: str
    field: str | None = None
    position: int | None = None

    def __str__(self) -> str:
        return self.message


class QueryJuice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the juicer extracted from the query picture (DataJuicer, arXiv 2503.14559).

    `grid` is (rows, columns) of patches; `kept` are row-major patch indices; `box` is
    (x0, y0, x1, y1) relative to the picture, 0..1; `classes` are (name, confidence 0..1).
    """

    grid: tuple[int, int]
    kept: tuple[int, ...] = ()
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    classes: tuple[tuple[str, float], ...] = ()


class ObjectGroup(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found for one object of a picture.

    `box` is (x0, y0, x1, y1) relative to the picture, `score` how sure it is that an object is
    there; the others are as in `Result`.
    """

    box: tuple[Share, Share, Share, Share]
    score: Share
    items: tuple[ResultItem, ...] = ()
    no_match: bool = False
    no_match_probability: Probability | None = None


class Result(Message, tag="result", frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The answer to a query, keyed by its `query_id`.

    Attributes:
        schema: that it is sent in; a result of schema 1 has other fields on the wire.
        items: best first, one page of them.
        no_match: more probably than not none of what was found is the very product.
        no_match_probability: how probable that is; None without candidates.
        groups: with `objects`, one for each object where the picture shows several, from the left.
        found: products that pass the filter; with `min_probability`, how many of them are probable
            enough.
        found_is_exact: false where not every product that passes could be judged.
        facets: as asked for; they count every product that passes the filter.
        page: which one this is.
        searched_for: what was searched for in place of the query's words; None where those were.
        retrieved: product ids in the order of retrieval, before reranking; `top` at most.
        juice: what was extracted from the query's picture.
        part_weights: with `explain`, how much the parts of the query's vector counted.
        probed: with `explain`, where not every product was compared: prototypes `opened`, `of` how
            many, and items `seen` in them (0 where Milvus does not tell).
        generation: the index that was searched.
        took_ms: milliseconds by stage, and in `total`.
        not_reranked: why some of the list is in retrieval's order; None where all was reranked.
        error: why there are no items.
    """

    # A factory, so that it is written out.
    schema: Literal[1, 2] = field(default_factory=lambda: 2)  # type: ignore[assignment]
    query_id: Id
    items: tuple[ResultItem, ...] = ()
    no_match: bool = False
    no_match_probability: Probability | None = None
    groups: tuple[ObjectGroup, ...] = ()
    found: int = 0
    found_is_exact: bool = True
    facets: tuple[FacetCounts, ...] = ()
    page: int = 1
    searched_for: str | None = None
    retrieved: tuple[str, ...] = ()
    juice: QueryJuice | None = None
    part_weights: dict[str, float] = {}
    probed: dict[str, int] = {}
    generation: str = ""
    model_id: str = ""
    bank_version: str = ""
    took_ms: dict[str, float] = {}
    not_reranked: str | None = None
    error: QueryError | None = None


class Shown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place of a result list as the shopper saw it."""

    product_id: Id
    item_id: ItemId
    position: Position
    score: Probability


class Impression(Message, tag="impression", frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The list that was shown for a query, with the model that ranked it."""

    query_id: Id
    items: tuple[Shown, ...] = ()
    model_id: str = ""
    bank_version: str = ""


class Click(Message, tag="click", frozen=True, kw_only=True):
    """A click on a shown product; `click_id` makes it idempotent.

    `action` says what it led to where it was more: into the basket, or bought. Each is a message of
    its own, with an id of its own.
    """

    click_id: Id
    query_id: Id
    product_id: Id
    action: Action = "click"


class AttributedClick(
    Message, tag="attributed_click", frozen=True, kw_only=True, forbid_unknown_fields=False
):
    """A click joined to the impression it was made on; times in milliseconds since the epoch."""

    click_id: Id
    query_id: Id
    product_id: Id
    action: Action = "click"
    item_id: ItemId
    position: Position
    shown: tuple[Shown, ...] = ()
    model_id: str = ""
    bank_version: str = ""
    impression_time: EventTime
    click_time: EventTime
