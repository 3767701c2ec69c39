"""Google Merchant Center's product data in XML: RSS 2.0 or Atom 1.0, read item by item.

Namespaces are left out of names (`g:image_link` is `image_link`), repeated elements are lists.
Entities that the file defines are refused: a few lines of them can grow to gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError  # nosec B405: classes; defusedxml reads

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from models.catalog.folder import RawRow
from models.errors import CatalogError

ITEMS = ("item", "entry")
MAX_DEPTH = 10
"""Of elements in an item."""


def google_xml_rows(path: Path) -> Iterator[RawRow]:
    """The items, by their number.

    Raises:
        CatalogError: it is no XML, breaks off, or defines entities.
    """
    number = 0
    open_elements: list[Element] = []
    try:
        for event, element in iterparse(path, events=("start", "end")):
            if event == "start":
                open_elements.append(element)
                continue
            open_elements.pop()
            if _name(element) not in ITEMS:
                continue
            number += 1
            yield RawRow(number, _fields(element))
            element.clear()
            if open_elements:  # the parent would keep all of them
                open_elements[-1].remove(element)
    except ParseError as error:
        raise CatalogError(
            f"{path} is no XML, or breaks off after item {number}: {error}"
        ) from error
    except DefusedXmlException as error:
        raise CatalogError(
            f"{path} defines entities, or asks for other files, which feeds need not: {error}"
        ) from error


def _fields(element: Element, depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        name = _name(child)
        if len(child) and depth < MAX_DEPTH:
            value: Any = _fields(child, depth + 1)
        else:  # Atom has its links in an attribute
            value = (child.text or "").strip() or child.get("href") or None
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]
