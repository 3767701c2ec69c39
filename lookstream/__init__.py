"""Lookstream from Python: ask which product a photo shows, send catalog events, load its models.

    import lookstream

    with lookstream.Client() as client:
        result = client.search(lookstream.Query(image="photo.jpg", text="oat milk", top=3))
    print(result.items[0].title)

A name is imported when it is first used, so that `import lookstream` itself costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookstream.client import AsyncClient, Client, Query
    from lookstream.errors import AccessDenied
    from lookstream.picture_juice import PictureJuice, juice
    from models.catalog.folder import read_catalog
    from models.embedding.load import load_encoder
    from models.errors import CatalogError, ModelError
    from models.reranking.linear import load_reranker
    from stream.errors import BrokerError, RequestTimeout, StreamError
    from stream.messages import (
        Click,
        OfferPatch,
        ProductDelete,
        ProductUpsert,
        QueryError,
        QueryImage,
        Result,
        ResultItem,
    )
    from workers.errors import SettingsError

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "BrokerError",
    "CatalogError",
    "Click",
    "Client",
    "ModelError",
    "OfferPatch",
    "PictureJuice",
    "ProductDelete",
    "ProductUpsert",
    "Query",
    "QueryError",
    "QueryImage",
    "RequestTimeout",
    "Result",
    "ResultItem",
    "SettingsError",
    "StreamError",
    "juice",
    "load_encoder",
    "load_reranker",
    "read_catalog",
]

_MODULES = {
    "lookstream.client": ("AsyncClient", "Client", "Query"),
    "lookstream.errors": ("AccessDenied",),
    "lookstream.picture_juice": ("PictureJuice", "juice"),
    "models.catalog.folder": ("read_catalog",),
    "models.embedding.load": ("load_encoder",),
    "models.errors": ("CatalogError", "ModelError"),
    "models.reranking.linear": ("load_reranker",),
    "stream.errors": ("BrokerError", "RequestTimeout", "StreamError"),
    "stream.messages": (
        "Click",
        "OfferPatch",
        "ProductDelete",
        "ProductUpsert",
        "QueryError",
        "QueryImage",
        "Result",
        "ResultItem",
    ),
    "workers.errors": ("SettingsError",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
_PACKAGES = ("configs", "index", "models", "stream", "workers")


def _load(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(_MODULE_OF[name]), name)
    except ImportError as error:
        raise _explained(error) from error
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # to a type checker, every name would be there
    __getattr__ = _load


def __dir__() -> list[str]:
    return __all__


def _explained(error: ImportError) -> ImportError:
    """The error itself, or one that names the module which was found in place of ours."""
    home = Path(__file__).parents[1]
    for package in _PACKAGES:
        module = sys.modules.get(package)
        if module is None:
            continue
        found = Path(module.__file__ or next(iter(module.__path__)))
        if home not in found.parents:
            return ImportError(
                f"{found} hides Lookstream's own package {package!r}: rename it, or keep its "
                "folder off Python's search path (python -P)"
            )
    return error
