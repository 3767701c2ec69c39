"""The settings `[catalog]`: which topics catalogs come from, and what their rows mean."""

from __future__ import annotations

import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from workers.config.sections import Section
from workers.errors import SettingsError

if TYPE_CHECKING:  # a client that maps nothing needs no models
    from models.catalog.sources.feeds import FeedFormat
    from models.catalog.sources.formats import TopicFormat
    from models.catalog.sources.mapping import SourceMapping

Format = Literal[
    "auto",
    "native",
    "debezium",
    "unwrapped",
    "outbox",
    "cloudevents",
    "google",
    "shopify",
    "woocommerce",
    "csv",
    "jsonl",
    "parquet",
]


class SourceSettings(Section):
    """What records and files are written in; `auto` looks at each."""

    format: Format = "auto"


class MapSettings(Section):
    """Which expression gives each field of an event (`models.catalog.sources.expression`).

    `attributes` are columns that keep their names, a table of names and expressions, or one
    expression that gives an object.
    """

    product_id: str | None = None
    version: str | None = Field(
        None, description="what orders events; of Debezium the log sequence number if not given"
    )
    event_time: str | None = None
    title: str | None = None
    description: str | None = None
    category: str | None = None
    image: str | None = None
    images: str | tuple[str, ...] | None = None
    price: str | None = None
    currency: str | None = None
    in_stock: str | None = None
    attributes: str | tuple[str, ...] | dict[str, str] | None = None


class WhenSettings(Section):
    """Conditions on rows; a row that `filter` leaves out, or that is `deleted`, is a delete."""

    filter: str | None = None
    deleted: str | None = None
    truncate: Literal["refuse"] = Field(
        "refuse", description="what becomes of a truncated table: a dead letter that says so"
    )

    @field_validator("truncate", mode="before")
    @classmethod
    def _refuse_only(cls, value: object) -> object:
        if value == "delete_all":
            raise ValueError(
                "a truncate is one record in one partition, and what it deletes is in all of them: "
                "send a file of what is left with `lookstream produce FILE --complete`"
            )
        return value


class CatalogSettings(Section):
    """Catalogs that come in without code (docs/catalog-sources.md).

    `topics` are read beside PREFIX.catalog. Nothing is mapped while `map` is empty.
    """

    topics: tuple[str, ...] = ()
    source: SourceSettings = SourceSettings()
    map: MapSettings = MapSettings()
    when: WhenSettings = WhenSettings()

    @cached_property
    def mapping(self) -> SourceMapping | None:
        """The mapping of records; None while there is none, or it is one of files alone."""
        named = self._named
        of_files = self.feed_format is not None or "product_id" not in named
        if not named or (of_files and not self.topics):
            return None
        from models.catalog.sources.mapping import read_mapping

        return read_mapping(named, self._conditions)

    def feed_mapping(self, form: FeedFormat) -> SourceMapping | None:
        """The mapping of a file: that of its format, each field overridden by the settings'."""
        from models.catalog.sources.feeds import FEEDS
        from models.catalog.sources.mapping import read_mapping

        feed = FEEDS.get(form)
        named = {**(feed.map if feed else {}), **self._named}
        conditions = {**(feed.when if feed else {}), **self._conditions}
        return read_mapping(named, conditions) if named else None

    @property
    def topic_format(self) -> TopicFormat:
        """That of records; a format of files says nothing of them."""
        from models.catalog.sources.formats import TopicFormat

        known = {one.value for one in TopicFormat}
        given = self.source.format
        return TopicFormat(given) if given in known else TopicFormat.AUTO

    @property
    def feed_format(self) -> FeedFormat | None:
        """That of files; None to look at each."""
        from models.catalog.sources.feeds import FeedFormat

        known = {one.value for one in FeedFormat}
        return FeedFormat(self.source.format) if self.source.format in known else None

    @property
    def _named(self) -> dict[str, object]:
        return self.map.model_dump(exclude_none=True)

    @property
    def _conditions(self) -> dict[str, str | None]:
        given = {"filter": self.when.filter, "deleted": self.when.deleted}
        return {name: text for name, text in given.items() if text is not None}

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Every expression can be read; a file's format may name the product_id."""
        if not (self._named or self._conditions or self.topics):
            return self
        from models.catalog.sources.mapping import read_mapping
        from models.errors import MappingError

        try:
            read_mapping({"product_id": "id", "title": "t", **self._named}, self._conditions)
            _ = self.mapping
        except MappingError as error:
            raise ValueError(str(error)) from error
        given = self.source.format
        if self.topics and self.feed_format is not None:
            raise ValueError(
                f"{given} is a format of files: give the topics' own, or auto, and a file its "
                "mapping with `lookstream produce FILE --map`"
            )
        if self.topics and not self._named and given not in ("auto", "native"):
            raise ValueError(
                f"topics of format {given} need a mapping: `lookstream map TOPIC` proposes one"
            )
        return self


def read_mapping_file(path: Path) -> CatalogSettings:
    """The tables `[catalog.…]` of a TOML file, as `lookstream map` prints them.

    Raises:
        SettingsError: it is no such file; names each wrong key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return CatalogSettings.model_validate(tables.get("catalog", {}))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(['catalog', *map(str, one['loc'])])}: {one['msg']}"
            for one in error.errors(include_url=False)
        )
        raise SettingsError(f"{path}: {wrong}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise SettingsError(f"{path} is no TOML file: {error}") from error
