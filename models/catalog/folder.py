"""The catalog folder: one public format for real data.

    DIR/products.jsonl  {"product_id", "title"?, "description"?, "category"?: [...], "image"?,
                         "images"?: [...], "price"?, "currency"?, "in_stock"?, "attributes"?,
                         "version"?}
    DIR/photos.jsonl    {"image", "product_id"?, "category"?: [...], "text"?, "split"?}

Two ways to read it. `read_catalog` is for evaluation and training: rows are typed and the first
bad one is an error with its file and line. `raw_products` is for sending the catalog to the
stream: a line that is no JSON object comes with the reason, and the others come all the same.
Unknown fields are ignored here; whether an event may carry them is the stream's decision.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from models.catalog.json_object import read_object
from models.errors import CatalogError

PRODUCTS = "products.jsonl"
PHOTOS = "photos.jsonl"


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One row of products.jsonl. `category` is a path from the root to the leaf."""

    product_id: str
    title: str = ""
    description: str = ""
    category: tuple[str, ...] = ()
    image: str | None = None
    images: tuple[str, ...] = ()
    price: float | None = None
    currency: str | None = None
    in_stock: bool | None = None
    attributes: dict[str, str | int | float | bool] | None = None
    version: int | None = None

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


def product_text(title: str, description: str) -> str | None:
    """A product's words as the encoder reads them; None when there are none."""
    parts = [part.strip().rstrip(".") for part in (title, description) if part.strip()]
    return ". ".join(parts) or None


def locate(folder: Path, reference: str) -> str:
    """A URL or `data:` URI unchanged, a relative path as an absolute one under `folder`."""
    if reference.startswith(("http://", "https://", "data:")):
        return reference
    return str(folder.resolve() / reference)


def read_catalog(folder: Path) -> Catalog:
    """Read a catalog folder, every row checked.

    Either file may be missing, not both. A product id may occur twice, as on the stream: the later
    row replaces the earlier, unless its version is lower. A photo without a
    category takes that of its product.

    Raises:
        CatalogError: no such folder, neither file in it, or a bad row (file, line, field).
    """
    if not (folder / PRODUCTS).is_file() and not (folder / PHOTOS).is_file():
        raise CatalogError(
            f"{folder} is no catalog folder: neither {PRODUCTS} nor {PHOTOS} is in it"
        )
    products: dict[str, Product] = {}
    for product in _typed_rows(folder / PRODUCTS, Product):
        earlier = products.get(product.product_id)
        if earlier is None or (product.version or 0) >= (earlier.version or 0):
            products[product.product_id] = product
    photos = [_with_category(photo, products) for photo in _typed_rows(folder / PHOTOS, Photo)]
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


Row = TypeVar("Row", Product, Photo)


def _typed_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    for line, text in _lines(path, required=False):
        try:
            yield msgspec.convert(read_object(text), kind)
        except (msgspec.ValidationError, CatalogError) as error:
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
