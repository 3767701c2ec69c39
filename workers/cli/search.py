"""`lookstream search PHOTO`."""

from __future__ import annotations

import uuid
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, finish, print_line, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.messages import QueryImage, Result, ResultItem


class Ordering(StrEnum):
    """The orders of results."""

    RELEVANCE = "relevance"
    CHEAPEST = "price:asc"
    DEAREST = "price:desc"


class Grouping(StrEnum):
    """What is one result."""

    PRODUCT = "product"
    PICTURE = "none"
    NEAR_DUPLICATE = "near_duplicate"


def search(
    photo: Annotated[
        str | None, typer.Argument(help="A picture: a file or an http(s) URL.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option(help="Words, with or instead of a photo.")] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="A product's id: find more like it. Repeatable."),
    ] = None,
    box: Annotated[
        str | None, typer.Option(help="A part of the photo: X0,Y0,X1,Y1 in shares, 0 to 1.")
    ] = None,
    objects: Annotated[
        bool, typer.Option("--objects", help="Find the photo's objects, and answer each by itself.")
    ] = False,
    passing: Annotated[
        str | None,
        typer.Option("--filter", help="Which products: 'price:<20 && attributes.colour:=red'."),
    ] = None,
    facet: Annotated[
        list[str] | None,
        typer.Option(help="Count this: category, attributes.NAME, 'price(0, 10, 50)'. Repeatable."),
    ] = None,
    sort: Annotated[Ordering, typer.Option(help="Their order.")] = Ordering.RELEVANCE,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many products a page.")] = 10,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
    group: Annotated[
        Grouping, typer.Option(help="One result a product, a picture, or a group of duplicates.")
    ] = Grouping.PRODUCT,
    min_probability: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out what is less probably the product.")
    ] = 0.0,
    explain: Annotated[bool, typer.Option(help="Say why each stands where it does.")] = False,
    repair: Annotated[
        bool, typer.Option(help="Repair words that no product has: typos, words run together.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")] = 15.0,
    json: Json = False,
) -> None:
    """Find the products that a photo, words, or both show.

    [bold]Examples[/]

      lookstream search photo.jpg
      lookstream search photo.jpg --text "oat milk" --top 3
      lookstream search --text "red apples"
      lookstream search photo.jpg --filter 'in_stock:=true && price:[5..20]' --facet category
      lookstream search --like 4711 --text "in blue"
      lookstream search room.jpg --objects --top 3
      lookstream search photo.jpg --sort price:asc --min-probability 0.2 --page 2
    """
    from models.catalog.folder import local_path
    from stream.connection import check_broker
    from stream.messages import Query
    from stream.request_reply import Client
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of, topics_of
    from workers.errors import FetchError, QueryFailed
    from workers.intake.limits import too_large
    from workers.jobs.produce import picture_reference

    settings = load_settings()
    if photo is None and not (text or "").strip() and not like:
        raise QueryFailed("nothing to search for: give a photo, --text, or both; or --like")
    image = None
    if photo is not None:
        path, limit = local_path(Path(), photo), settings.intake.max_bytes
        try:
            if path is not None and not path.is_file():
                raise FetchError(f"no picture at {photo}: give a file or an http(s) URL")
            if path is not None and path.stat().st_size > limit:
                raise too_large(photo, limit)
            # A file is sent whole: the worker may be on another machine.
            image = picture_reference(Path(), photo, inline=limit // 2)
        except OSError as error:
            raise FetchError(f"{photo} can't be read: {error.strerror}") from error
    try:
        query = Query(
            query_id=uuid.uuid4().hex,
            image=image if box is None else None,
            images=_part(image, box),
            text=text,
            objects="auto" if objects else "off",
            like=tuple(like or ()),
            filter=passing,
            facets=tuple(facet or ()),
            sort=sort.value,
            top=top,
            page=page,
            group=group.value,
            min_probability=min_probability,
            explain=explain,
            repair=repair,
        )
    except ValueError as error:
        raise QueryFailed(str(error)) from error
    check_broker(kafka_of(settings))
    with Client(kafka_of(settings), topics_of(settings), timeout) as client:
        result = client.search(query)
    if result.error:
        raise QueryFailed(result.error.message)
    if not json:
        _show(result, filtered=bool(passing and passing.strip()))
    import msgspec

    finish(msgspec.to_builtins(result), json)


def _part(image: str | None, box: str | None) -> tuple[QueryImage, ...]:
    """A part of the photo, if one is wanted; ValueError where it is none."""
    from stream.messages import QueryImage

    if box is None:
        return ()
    if image is None:
        raise ValueError("--box is a part of a photo: give one")
    try:
        left, top, right, bottom = map(float, box.split(","))
    except ValueError:
        raise ValueError(f"--box {box}: give X0,Y0,X1,Y1 in shares, as 0.1,0,0.9,0.5") from None
    return (QueryImage(image=image, box=(left, top, right, bottom)),)


def _show(result: Result, *, filtered: bool) -> None:
    """The list for the person at the terminal, the facets below it."""
    if not result.items and not result.found:
        say(
            "nothing passes the filter"
            if filtered
            else "nothing found: has a catalog been produced? (lookstream produce DIR)"
        )
    if result.searched_for is not None:
        say(f"searched for {result.searched_for!r}; as typed: --no-repair")
    if result.not_reranked is not None:
        say(result.not_reranked)
    _show_items(result.items)
    for group in result.groups:
        left, top, right, bottom = group.box
        print_line(f"object at {left:.2f},{top:.2f},{right:.2f},{bottom:.2f}:")
        _show_items(group.items)
    if result.part_weights:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in result.part_weights.items())
        print_line(f"part weights: {weights}")
    for facet in result.facets:
        counts = ", ".join(f"{one.value} ({one.count})" for one in facet.counts) or "none"
        print_line(f"{facet.field}: {counts}" + (f", {facet.more} more" if facet.more else ""))
    if result.no_match:
        say(f"probably none of these is the very product ({result.no_match_probability:.0%})")
    if result.found:
        about = "" if result.found_is_exact else "at least "
        say(f"page {result.page}; {about}{result.found} products found")


def _show_items(items: Sequence[ResultItem]) -> None:
    for item in items:
        kind = ("the product", "same kind", "same purpose", "other")[item.level]
        also = f"  (+{item.also_seen} the same)" if item.also_seen else ""
        print_line(
            f"{item.position:3d}. {item.probability:6.1%}  {kind:<12}  "
            f"{item.title or item.product_id}  [{' / '.join(item.category)}]"
            f"{_offer(item.price, item.currency, item.in_stock)}{also}"
        )
        for part in sorted(item.why, key=lambda part: -abs(part.contribution)):
            value = "not known" if part.value is None else f"{part.value:.3f}"
            print_line(f"       {part.contribution:+7.2f}  {part.feature} ({value})")


def _offer(price: float | None, currency: str | None, in_stock: bool | None) -> str:
    offer = f"  {price_text(price)} {currency or ''}".rstrip() if price is not None else ""
    return offer + ("" if in_stock is None else "  in stock" if in_stock else "  sold out")


def price_text(price: float) -> str:
    """A price as shops write it, never with an exponent: 1299000, 1.90; 1.305 as it is.

    Two decimals where there is a fraction, more where a price has more: some currencies have a
    thousandth, and screws cost less than a cent. Beyond 15 digits a double knows no digit.
    """
    if not price < 1e15:
        return f"{price:g}"
    exact = Decimal(repr(round(price, 6) or price))
    if exact == exact.to_integral_value():
        return f"{exact:.0f}"
    return f"{exact:.2f}" if exact == round(exact, 2) else f"{exact:f}"
