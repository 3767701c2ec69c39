"""The catalog folder: one public format for real data.

    DIR/products.jsonl  {"product_id", "title"?, "description"?, "category"?: [...], "image"?,
                         "images"?: [...], "price"?, "currency"?, "in_stock"?, "attributes"?,
                         "version"?}
    DIR/photos.jsonl    {"image", "product_id"?, "category"?: [...], "text"?, "split"?}

Two ways to read it. `read_catalog` is for evaluation and training: rows are coerced and typed, and
the first bad one is an error with its file and line. `raw_products` is for sending the catalog to
the stream: a line that is no JSON object comes with the reason, and the others come all the same.
Both accept what the ingest worker accepts (`models.catalog.coerce`); a row of products.jsonl may
also be an event of type "patch" or "delete".
"""

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from models.catalog.coerce import OFFER, Coerced, coerce_event, coerce_photo
from models.catalog.json_object import read_object
from models.errors import CatalogError

PRODUCTS = "products.jsonl"
PHOTOS = "photos.jsonl"


# The bounds of catalog events, which this room does not import.
_Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]
_Price = Annotated[float, Meta(ge=0)]
_Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Reference = Annotated[str, Meta(min_length=1)]
_EventTime = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Attributes = dict[str, str | int | float | bool]


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One row of products.jsonl. `category` is a path from the root to the leaf."""

    product_id: _Id
    title: str = ""
    description: str = ""
    category: tuple[str, ...] = ()
    image: _Reference | None = None
    images: tuple[_Reference, ...] = ()
    price: _Price | None = None
    currency: str | None = None
    in_stock: bool | None = None
    attributes: Attributes | None = None
    version: _Version | None = None

    @property
    def text(self) -> str | None:
        """Its words as the encoder reads them, see `product_text`."""
        return product_text(self.title, self.description)


class Photo(msgspec.Struct, frozen=True, kw_only=True):
    """One row of photos.jsonl: a shopper's photo, labelled where its product is known."""

    image: str
    product_id: str | None = None
    category: tuple[str, ...] = ()
    text: str | None = None
    split: str | None = None


class _Upsert(Product, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Literal["upsert"] = "upsert"
    schema: Literal[1] = 1
    event_time: _EventTime | None = None


class _Patch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Literal["patch"]
    product_id: _Id
    schema: Literal[1] = 1
    event_time: _EventTime | None = None
    version: _Version | None = None
    price: _Price | msgspec.UnsetType | None = msgspec.UNSET
    currency: str | msgspec.UnsetType | None = msgspec.UNSET
    in_stock: bool | msgspec.UnsetType | None = msgspec.UNSET
    attributes: Attributes | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def offer(self) -> dict[str, Any]:
        """The fields that it sets."""
        named = {name: getattr(self, name) for name in OFFER}
        return {name: value for name, value in named.items() if value is not msgspec.UNSET}

    def __post_init__(self) -> None:
        if not self.offer:
            raise ValueError("the patch changes nothing: give price, currency, in_stock or others")


class _Delete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Literal["delete"]
    product_id: _Id
    schema: Literal[1] = 1
    event_time: _EventTime | None = None
    version: _Version | None = None


_Row: TypeAlias = _Upsert | _Patch | _Delete
_ROWS: dict[str, type[_Row]] = {"upsert": _Upsert, "patch": _Patch, "delete": _Delete}


@dataclass(frozen=True, slots=True)
class RawRow:
    """One line of products.jsonl: a JSON object whose fields are unchecked.

    Where it is none, or holds what JSON cannot, `fields` is empty and `problem` says why.
    """

    line: int
    fields: dict[str, object]
    problem: str = ""


@dataclass(frozen=True)
class Catalog:
    """Products and photos of one folder."""

    folder: Path
    products: tuple[Product, ...]
    photos: tuple[Photo, ...]

    @cached_property
    def by_id(self) -> dict[str, Product]:
        """The products by their id."""
        return {product.product_id: product for product in self.products}

    def split(self, name: str) -> tuple[Photo, ...]:
        """Photos of one split, in file order.

        Raises:
            CatalogError: no photo belongs to it; the message lists the splits there are.
        """
        chosen = tuple(photo for photo in self.photos if photo.split == name)
        if not chosen:
            splits = sorted({photo.split for photo in self.photos if photo.split is not None})
            raise CatalogError(
                f"{self.folder / PHOTOS}: no photo of split {name!r}; "
                f"the splits are {', '.join(splits) or 'not given'}"
            )
        return chosen

    def locate(self, reference: str) -> str:
        """An image reference as other processes can use it: see `locate`."""
        return locate(self.folder, reference)

    def local_path(self, reference: str) -> Path | None:
        """The file that an image reference names, None if it is elsewhere: see `local_path`."""
        return local_path(self.folder, reference)


def product_text(title: str, description: str) -> str | None:
    """A product's words as the encoder reads them; None when there are none."""
    parts = [part.strip().rstrip(".") for part in (title, description) if part.strip()]
    return ". ".join(parts) or None


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:", re.IGNORECASE)
_FILE = re.compile(r"file:(?://(?:localhost)?(?=/)|(?=/(?!/)))", re.IGNORECASE)


def local_path(folder: Path, reference: str) -> Path | None:
    """The file that an image reference of a folder names: a path, or a file: URI.

    None if it is elsewhere: on the web, in object storage, on another machine, or in a `data:` URI.
    """
    if file := _FILE.match(reference):
        return Path(unquote(reference[file.end() :]))
    return None if _URL.match(reference) else folder.resolve() / reference


def locate(folder: Path, reference: str) -> str:
    """A reference as other processes can use it: a file's absolute path, a URL unchanged."""
    path = local_path(folder, reference)
    return reference if path is None else str(path)


def read_catalog(folder: Path) -> Catalog:
    """Read a catalog folder, every row checked.

    Either file may be missing, not both. A product id may occur twice, as on the stream: the later
    row replaces the earlier, unless its version is lower. A photo without a category takes that of
    its product.

    Raises:
        CatalogError: no such folder, neither file in it, or a bad row (file, line, field).
    """
    if not (folder / PRODUCTS).is_file() and not (folder / PHOTOS).is_file():
        raise CatalogError(
            f"{folder} is no catalog folder: neither {PRODUCTS} nor {PHOTOS} is in it"
        )
    products = _read_products(folder / PRODUCTS)
    rows = _rows(folder / PHOTOS, lambda fields: _convert(coerce_photo(fields), Photo))
    photos = [_with_category(photo, products) for photo in rows]
    return Catalog(folder=folder, products=tuple(products.values()), photos=tuple(photos))


def raw_products(folder: Path) -> Iterator[RawRow]:
    """Every line of products.jsonl that is not blank, in order.

    Raises:
        CatalogError: the file is missing.
    """
    for line, text in _lines(folder / PRODUCTS, required=True):
        try:
            yield RawRow(line, read_object(text))
        except CatalogError as error:
            yield RawRow(line, {}, str(error))


def _read_products(path: Path) -> dict[str, Product]:
    """The products that the rows leave, in the order in which each was named first."""
    products: dict[str, Product] = {}
    newest: dict[str, int] = {}

    def apply(fields: dict[str, Any]) -> None:
        row = _event(fields)
        if row.version is not None:
            if row.version < newest.get(row.product_id, 0):
                return
            newest[row.product_id] = row.version
        if isinstance(row, _Upsert):
            kept = {name: getattr(row, name) for name in Product.__struct_fields__}
            products[row.product_id] = Product(**kept)
        elif isinstance(row, _Delete):
            products.pop(row.product_id, None)
        elif row.product_id in products:
            changed = msgspec.structs.replace(products[row.product_id], **row.offer)
            products[row.product_id] = changed
        else:
            raise CatalogError(f"there is no product {row.product_id!r} to patch before this line")

    for _ in _rows(path, apply):
        pass
    return products


def _event(fields: dict[str, Any]) -> _Row:
    kind = fields.get("type", "upsert")
    if not isinstance(kind, str) or kind not in _ROWS:
        raise CatalogError(f"field `type` is {kind!r}; expected {' or '.join(map(repr, _ROWS))}")
    return _convert(coerce_event(fields), _ROWS[kind])


Row = TypeVar("Row")


def _convert(coerced: Coerced, kind: type[Row]) -> Row:
    try:
        return msgspec.convert(coerced.fields, kind)
    except msgspec.ValidationError as error:
        raise CatalogError(str(error)) from error


def _rows(path: Path, read: Callable[[dict[str, Any]], Row]) -> Iterator[Row]:
    """What `read` makes of each line of a file, if there is one."""
    for line, text in _lines(path, required=False):
        try:
            yield read(read_object(text))
        except CatalogError as error:
            raise CatalogError(f"{path}:{line}: {error}") from error


def _lines(path: Path, *, required: bool) -> Iterator[tuple[int, bytes]]:
    if not path.is_file():
        if required:
            raise CatalogError(f"{path} is missing: a catalog folder lists its products there")
        return
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            # Programs of some systems begin a file with a byte-order mark.
            stripped = (text.removeprefix(codecs.BOM_UTF8) if number == 1 else text).strip()
            if stripped:
                yield number, stripped


def _with_category(photo: Photo, products: dict[str, Product]) -> Photo:
    product = products.get(photo.product_id) if photo.product_id is not None else None
    if photo.category or product is None:
        return photo
    return msgspec.structs.replace(photo, category=product.category)
