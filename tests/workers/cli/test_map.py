"""`lookstream map`: the mapping that it proposes is one that `produce --map` takes."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from typer.testing import CliRunner

from stream.connection import Kafka
from stream.publisher import Publisher
from stream.topics import Topic, create_topics
from tests.doubles.debezium import MODES, Table
from workers.cli import app
from workers.config.catalog import read_mapping_file
from workers.jobs.catalog_source import open_source

GERMAN = (
    "Artikel-Nr.;Bezeichnung;Warengruppe;Bild URL;Preis;Lagerbestand;Farbe;Aktiv;Langes\n"
    f"17;Käse;Essen > Käse;https://c/k.jpg;1,50 €;3;gelb;ja;{'x' * 90}\n"
    f"18;Brot;Essen;https://c/b.jpg;4,20 €;0;braun;ja;{'y' * 90}\n"
)


def propose(*arguments: str) -> tuple[dict[str, Any], str]:
    done = CliRunner().invoke(app, ["map", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_file_is_mapped_by_names_and_values(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(GERMAN.replace("ja;", "yes;"), encoding="cp1252")
    report, _ = propose(str(tmp_path / "t.csv"))
    assert report["map"] == {
        "product_id": "`Artikel-Nr.`",
        "title": "Bezeichnung",
        "category": "Warengruppe",
        "image": "`Bild URL`",
        "price": "Preis",
        "in_stock": "Lagerbestand > 0",
        "attributes": ["Farbe"],
    }
    assert report["when"] == {"filter": "Aktiv"}
    assert report["unmapped"] == ["Langes: long texts, which no field is for"]
    assert report["rows"][0]["after"]["product_id"] == "17"
    (tmp_path / "map.toml").write_text(report["toml"])
    source = open_source(tmp_path / "t.csv", read_mapping_file(tmp_path / "map.toml"))
    first, second = (row.fields for row in source.read())
    assert (first["title"], first["in_stock"], second["in_stock"]) == ("Käse", True, False)


def test_a_table_without_an_id_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,price\nMilk,1\n")
    done = CliRunner().invoke(app, ["map", str(tmp_path / "t.csv")])
    assert done.exit_code == 1
    assert "set product_id yourself" in done.output


def test_a_topic(embedded: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic(name=f"m{uuid4().hex}.products", key="id", partitions=1, retention_ms=-1)
    create_topics(embedded, [topic])
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", embedded.bootstrap)
    table = Table(MODES[1], large=())
    with Publisher(embedded) as publisher:
        for number in (1, 2):
            row = {"id": number, "name": "Milk", "img": "https://c/1.jpg", "price": None}
            for key, value in table.insert(row):
                publisher.publish(topic.name, key, value)
    report, _ = propose(topic.name)
    assert report["format"] == "debezium"
    assert report["map"] == {"product_id": "id", "title": "name", "image": "img"}
    assert report["rows"][0]["after"]["version"] == table.lsn - 56
