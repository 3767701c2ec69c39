"""A bank from what curation wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.errors import CurationError
from tests.doubles.colours import ColourEncoder, picture_png
from workers.errors import SettingsError
from workers.jobs.prototypes import cluster_bank


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, colour in (("a", "red"), ("b", "blue"), ("photo", "darkred"), ("odd", "green")):
        (tmp_path / f"{name}.png").write_bytes(picture_png(colour))
    products = [
        {"product_id": "a", "image": "a.png", "title": "Apple"},
        {"product_id": "b", "image": "b.png", "title": "Berry"},
    ]
    (tmp_path / "products.jsonl").write_text("\n".join(map(json.dumps, products)))
    return tmp_path


def write_clusters(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "clusters.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def member(name: str) -> dict[str, object]:
    return {"document": name, "weight": 1.0, "verdict": "kept"}


def test_each_cluster_is_a_prototype_among_its_product_s_items(shop: Path) -> None:
    clusters = write_clusters(
        shop,
        {"label": "a", "members": [member("a.png"), member("photo.png")]},
        {"label": "b", "members": [member("b.png")]},
        {"label": "new:odd.png", "members": [member("odd.png")]},
        {"label": None, "members": [member("missing.png")]},
    )
    encoder, seen = ColourEncoder(), []
    bank = cluster_bank(clusters, shop, encoder, lambda done, total: seen.append((done, total)))
    assert sorted(map(str, bank.names)) == ["a", "b", "new:odd.png"]
    assert bank.counts is not None
    assert bank.counts[bank.rows["a"]] == 2
    assert (bank.model_id, bank.origin.created_from) == ("colour-8", "clusters.jsonl")
    assert seen[-1] == (4, 4)
    photo = (np.full((16, 16, 3), (139, 0, 0), np.uint8), "Apple")
    (item,) = encoder.encode_items([photo[0]], [photo[1]])
    assert bank.names[int(bank.assign(item.vector[None])[0][0])] == "a"


def test_no_cluster_is_no_bank(shop: Path) -> None:
    with pytest.raises(SettingsError, match="holds no cluster"):
        cluster_bank(write_clusters(shop), shop, ColourEncoder())
    with pytest.raises(CurationError, match="cannot read"):
        cluster_bank(shop / "none.jsonl", shop, ColourEncoder())
