"""The settings of catalogs that come in without code: what is wrong is said when they are read."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from workers.config.catalog import CatalogSettings, read_mapping_file
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics
from workers.errors import SettingsError


@pytest.mark.parametrize(
    ("catalog", "complaint"),
    [
        ({"map": {"product_id": "id", "title": "a b"}}, r"title: 'a b': expected the end"),
        ({"map": {"product_id": "id", "colour": "c"}}, "Extra inputs are not permitted"),
        ({"map": {"product_id": "id"}, "topics": ["t"]}, "nothing but product_id is mapped"),
        ({"map": {"title": "t"}, "topics": ["t"]}, "product_id is missing"),
        ({"source": {"format": "debezium"}, "topics": ["t"]}, "lookstream map TOPIC"),
        ({"source": {"format": "csv"}, "topics": ["t"]}, "csv is a format of files"),
        ({"when": {"truncate": "delete_all"}}, "lookstream produce FILE --complete"),
        ({"when": {"filter": "a ="}}, "filter: 'a =': expected a column"),
    ],
)
def test_what_is_wrong(catalog: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CatalogSettings.model_validate(catalog)


def test_topics_that_bring_products_come_first() -> None:
    def topics(**fields: str) -> tuple[str, ...]:
        catalog = {"topics": ["shop.products"], "map": {"product_id": "id", **fields}}
        return catalog_topics(Settings.model_validate({"catalog": catalog}))

    assert topics(title="name") == ("shop.products", "lookstream.catalog")
    assert topics(price="price") == ("lookstream.catalog", "shop.products")
    assert catalog_topics(Settings()) == ("lookstream.catalog",)


def test_a_mapping_of_a_file_is_none_of_records() -> None:
    csv = CatalogSettings.model_validate(
        {"source": {"format": "csv"}, "map": {"product_id": "a", "title": "b"}}
    )
    assert csv.mapping is None
    part = CatalogSettings.model_validate({"map": {"currency": "'EUR'"}})
    assert part.mapping is None


def test_a_mapping_file(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text('[catalog.map]\nproduct_id = "id"\ntitle = "name"\n')
    assert read_mapping_file(path).map.title == "name"
    for text, complaint in [("x", "no TOML"), ("[catalog.map]\ntitel = 'n'", "catalog.map.titel")]:
        path.write_text(text)
        with pytest.raises(SettingsError, match=complaint):
            read_mapping_file(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_mapping_file(tmp_path / "nowhere.toml")
