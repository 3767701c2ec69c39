"""`lookstream search PHOTO`."""

from __future__ import annotations

import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, finish, print_line, say


def search(
    photo: Annotated[
        str | None, typer.Argument(help="A picture: a file or an http(s) URL.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option(help="Words, with or instead of a photo.")] = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many products.")] = 10,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")] = 15.0,
    json: Json = False,
) -> None:
    """Find the products that a photo, words, or both show.

    [bold]Examples[/]

      lookstream search photo.jpg
      lookstream search photo.jpg --text "oat milk" --top 3
      lookstream search --text "red apples"
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
    if photo is None and not (text or "").strip():
        raise QueryFailed("nothing to search for: give a photo, --text, or both")
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
    query = Query(query_id=uuid.uuid4().hex, image=image, text=text, top=top)
    check_broker(kafka_of(settings))
    with Client(kafka_of(settings), topics_of(settings), timeout) as client:
        result = client.search(query)
    if result.error:
        raise QueryFailed(result.error)
    if not json:
        if not result.items:
            say("nothing found: has a catalog been produced? (lookstream produce DIR)")
        for item in result.items:
            kind = ("the product", "same kind", "same purpose", "other")[item.level]
            print_line(
                f"{item.position:3d}. {item.score:6.1%}  {kind:<12}  "
                f"{item.title or item.product_id}  [{' / '.join(item.category)}]"
                f"{_offer(item.price, item.currency, item.in_stock)}"
            )
    import msgspec

    finish(msgspec.to_builtins(result), json)


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
