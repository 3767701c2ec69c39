"""The filter and the facets of a query, read before anything is fetched for it."""

from __future__ import annotations

from dataclasses import dataclass

from index.errors import FilterError
from index.search.facets import Facet, parse_facets
from index.search.filter import Filter, parse_filter
from stream.messages import Query, QueryError


@dataclass(frozen=True)
class Parsed:
    """What a query's texts mean."""

    filter: Filter | None = None
    facets: tuple[Facet, ...] = ()


def parse(query: Query) -> Parsed | QueryError:
    """The query's filter and facets, or what is wrong with one of them."""
    try:
        found = parse_filter(query.filter or "")
    except FilterError as error:
        return _wrong("filter", error)
    try:
        return Parsed(found, parse_facets(query.facets))
    except FilterError as error:
        return _wrong("facets", error)


def _wrong(field: str, error: FilterError) -> QueryError:
    return QueryError(
        code=f"invalid_{field}",
        message=f"field `{field}`: {error}",
        field=field,
        position=error.position,
    )
