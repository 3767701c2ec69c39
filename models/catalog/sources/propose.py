"""A mapping proposed from a sample of rows: by the names of columns, and by what is in them.

Names are compared without case, accents and punctuation, in the spellings of several languages. A
column is taken only if its values fit: ids that are all there and all different, prices that can be
read, pictures that look like references. What is proposed is for a person to check.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.catalog.coerce import NO, YES
from models.catalog.price_text import parse_price
from models.catalog.sources.evaluate import UNAVAILABLE
from models.errors import CatalogError

NAMES: Mapping[str, str] = {
    "product_id": "productid id sku productsku itemid articleid articlenumber artikelnummer "
    "artikelnr artnr produktid handle code productcode reference referencia ref codigo codice "
    "kod uuid entityid identifier",
    "title": "title name productname producttitle titel bezeichnung artikelbezeichnung "
    "produktname nom titre libelle nombre titulo nome titolo nazwa naam label",
    "description": "description longdescription shortdescription descr desc body bodyhtml text "
    "beschreibung langtext descripcion descrizione descricao opis omschrijving details",
    "category": "category categories categorypath path producttype kategorie warengruppe "
    "kategoriepfad categorie rubrique categoria kategoria breadcrumb taxonomy",
    "image": "image imageurl imagelink imagesrc img picture pictureurl photo photourl mainimage "
    "bild bildurl bildlink hauptbild imagen immagine imagem zdjecie afbeelding baseimage thumbnail",
    "images": "images imageurls imagelinks additionalimages additionalimagelink pictures photos "
    "gallery galerie bilder imagenes immagini moreimages",
    "price": "price saleprice unitprice regularprice variantprice preis bruttopreis vkpreis prix "
    "precio prezzo preco cena prijs amount",
    "currency": "currency currencycode waehrung wahrung devise moneda valuta moeda waluta",
    "in_stock": "instock available availability stock quantity qty inventory inventoryqty "
    "bestand lagerbestand verfugbar verfuegbar disponible disponibilite disponibilidad "
    "disponibilita stan voorraad onhand",
}
"""For each field the names of columns, the likeliest first."""
FILTERS = frozenset(
    {"published", "visible", "active", "enabled", "isactive", "online"}
    | {"veroffentlicht", "aktiv", "sichtbar"}
)
DELETED = ["deletedat", "removedat", "discontinuedat", "archivedat", "geloeschtam"]
_WORD = re.compile(r"[^\W\d][\w:@-]*")
_KEYWORDS = frozenset({"and", "or", "not", "is", "in", "null", "true", "false"})
_PICTURE = re.compile(r"(?i)^(https?://|s3://|//)\S+$|\.(jpe?g|png|webp|gif|avif|bmp|tiff?)(\?|$)")
_SHORT = 60
"""Characters of an attribute's values at most, on average."""


@dataclass
class Proposal:
    """A mapping as the settings have it, and the columns for which there is no place."""

    map: dict[str, Any] = field(default_factory=dict)
    when: dict[str, str] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)
    """Columns, each with the reason."""


def propose_mapping(rows: Sequence[Mapping[str, Any]], key: str | None = None) -> Proposal:
    """The mapping that a sample of rows suggests; `key` is the column that they are keyed by."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    values = {name: _values(rows, name) for name in columns}
    left = [name for name in columns if not name.startswith("__")]
    proposal = Proposal()
    for target in NAMES:
        keyed = key if target == "product_id" and key in left else None
        chosen = keyed or _chosen(target, left, values, len(rows))
        if chosen is not None:
            proposal.map[target] = _EXPRESSIONS.get(target, _plain)(chosen, values[chosen])
            left.remove(chosen)
    for name in list(left):
        if _normal(name) in FILTERS and _all(_is_truth, values[name]):
            proposal.when.setdefault("filter", quoted(name))
            left.remove(name)
        elif _normal(name) in DELETED:
            proposal.when.setdefault("deleted", f"{quoted(name)} is not null")
            left.remove(name)
    attributes = [name for name in left if _is_attribute(values[name])]
    if attributes:
        proposal.map["attributes"] = [quoted(name) for name in attributes]
    proposal.unmapped = [_why_not(name, values[name]) for name in left if name not in attributes]
    return proposal


def quoted(name: str) -> str:
    """A column as an expression names it."""
    if _WORD.fullmatch(name) and name.lower() not in _KEYWORDS:
        return name
    return f"`{name}`" if "`" not in name else f'"{name}"'


def _chosen(
    target: str, left: Sequence[str], values: Mapping[str, list[Any]], rows: int
) -> str | None:
    """The first column by the order of `NAMES` whose values fit."""
    rank = {name: number for number, name in enumerate(NAMES[target].split())}
    named = [name for name in left if _normal(name) in rank]
    named.sort(key=lambda name: rank[_normal(name)])
    fitting = [name for name in named if values[name] and _fits(target, values[name], rows)]
    if not fitting and target == "image":  # a column of pictures, whatever it is called
        fitting = [name for name in left if values[name] and _all(_is_picture, values[name])]
    return next(iter(fitting), None)


def _fits(target: str, values: list[Any], rows: int) -> bool:
    match target:
        case "product_id":
            texts = [str(one) for one in values if isinstance(one, str | int | float)]
            return len(texts) == rows == len(set(texts))
        case "price":
            return _all(_is_price, values)
        case "image":
            return _all(_is_picture, values)
        case "images":
            return _all(lambda one: _is_picture(_first(one)), values)
        case "in_stock":
            return _all(lambda one: _is_truth(one) or _is_number(one), values)
    return _all(lambda one: isinstance(one, str | list | int | float), values)


def _plain(name: str, _values: list[Any]) -> str:
    return quoted(name)


def _category(name: str, values: list[Any]) -> str:
    texts = [one for one in values if isinstance(one, str)]
    for separator in (">", "/", "|"):
        if texts and sum(separator in one for one in texts) * 2 > len(texts):
            return f"split({quoted(name)}, '{separator}')"
    return quoted(name)


def _images(name: str, values: list[Any]) -> str:
    texts = [one for one in values if isinstance(one, str)]
    for separator in (",", "|", ";"):
        if any(separator in one for one in texts):
            return f"split({quoted(name)}, '{separator}')"
    return quoted(name)


def _in_stock(name: str, values: list[Any]) -> str:
    return quoted(name) if _all(_is_truth, values) else f"{quoted(name)} > 0"


_EXPRESSIONS: Mapping[str, Callable[[str, list[Any]], str]] = {
    "category": _category,
    "images": _images,
    "in_stock": _in_stock,
}


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """What is in a column, without what is empty."""
    found = [row.get(name) for row in rows]
    return [one for one in found if one is not None and one is not UNAVAILABLE and one != ""]


def _is_attribute(values: list[Any]) -> bool:
    if not values or not _all(lambda one: isinstance(one, str | int | float), values):
        return False
    return sum(len(str(one)) for one in values) <= _SHORT * len(values)


def _why_not(name: str, values: list[Any]) -> str:
    if not values:
        return f"{name}: empty in the sample"
    if any(isinstance(one, dict | list) for one in values):
        return f"{name}: nested; name a place in it ({quoted(name)}.…), or json({quoted(name)})"
    return f"{name}: long texts, which no field is for"


def _normal(name: str) -> str:
    """A name in small letters of the alphabet."""
    plain = unicodedata.normalize("NFKD", name.casefold().replace("ß", "ss"))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum())


def _all(fits: Callable[[Any], bool], values: Sequence[Any]) -> bool:
    return all(fits(one) for one in values)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or str(value).strip().lower() in (YES | NO)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None


def _is_price(value: Any) -> bool:
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    try:
        parse_price(value, "USD" if "$" in value else None)
    except (CatalogError, TypeError):
        return False
    return True


def _is_picture(value: Any) -> bool:
    return isinstance(value, str) and _PICTURE.search(value.strip()) is not None


def _first(value: Any) -> Any:
    if isinstance(value, list):
        return value[0] if value else ""
    return re.split(r"[,|;]", value)[0] if isinstance(value, str) else value
