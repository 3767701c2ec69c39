"""What became of every row of an export: searchable, partial, refused with a reason, or lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.shop.export import Product, Row
from index.item import Item
from stream.dead_letter import DeadLetter
from workers.ingest.missing import PARTIAL


@dataclass
class Account:
    """Counts of products, and of rows that were refused; `examples` are of what went wrong.

    Attributes:
        searchable: products in the index with the words, price and stock that were sent.
        partial: of these, the ones without some picture, which a dead letter names.
        lost_silently: products that are not there, or not as sent, and nothing says so.
        refused: rows that were not applied.
        refused_without_reason: of these, the ones without a sentence.
        wrongly_refused, wrongly_accepted: good rows that were refused, wrong ones that were not.
    """

    searchable: int = 0
    partial: int = 0
    lost_silently: int = 0
    refused: int = 0
    refused_without_reason: int = 0
    wrongly_refused: int = 0
    wrongly_accepted: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """How much should not have been so."""
        return (
            self.lost_silently
            + self.refused_without_reason
            + self.wrongly_refused
            + self.wrongly_accepted
        )


def account(
    rows: Sequence[Row],
    host: str,
    report: Mapping[str, Any],
    letters: Iterable[DeadLetter],
    index: Iterable[Item],
) -> Account:
    """Compare what was sent with what there is.

    Args:
        rows: of the export.
        host: the URL before the paths of pictures.
        report: of `lookstream produce --json`.
        letters: the dead letters since the export was sent.
        index: every item that a search could find.
    """
    found = Account()
    reasons = {one["line"]: one["reason"] for one in report["refusals"]}
    found.refused = report["refused"]
    found.refused_without_reason = report["refused"] - sum(map(bool, reasons.values()))
    missing = {
        (letter.record.key or b"").decode(): letter.reason
        for letter in letters
        if letter.error_class == PARTIAL
    }
    items: dict[str, list[Item]] = defaultdict(list)
    for item in index:
        items[item.product_id].append(item)
    products: dict[str, Product] = {}
    for line, row in enumerate(rows, start=1):
        if row.product is None and line not in reasons:
            found.wrongly_accepted += 1
            found.examples.append(f"line {line} was not refused: {row.text[:200]!r}")
        if row.product is not None and line in reasons:
            found.wrongly_refused += 1
            found.examples.append(f"line {line} was refused: {reasons[line]}")
        if row.product is not None and not reasons.get(line):
            products[row.product.product_id] = row.product
    for product_id, product in products.items():
        fault = _fault(product, host, items[product_id], missing.get(product_id, ""))
        if fault:
            found.lost_silently += 1
            found.examples.append(f"product {product_id}: {fault}")
        else:
            found.searchable += 1
            found.partial += product_id in missing
    return found


def _fault(product: Product, host: str, items: Sequence[Item], letter: str) -> str:
    """What of a product is not as it was sent, and nothing says so; "" if all is well."""
    if not items:
        return "is not in the index"
    pictures = {item.payload["image"] for item in items}
    for path in product.pictures:
        if host + path not in pictures and host + path not in letter:
            return f"has no {path}, and no letter names it"
    for item in items:
        if item.payload["title"] != product.title:
            return f"has the title {item.payload['title']!r} in place of {product.title!r}"
        offer = {**item.offer, **item.offer["attributes"]}
        for name in ("price", "in_stock", "material"):
            if offer.get(name) != getattr(product, name):
                return f"has the {name} {offer.get(name)!r} in place of {getattr(product, name)!r}"
    return ""
