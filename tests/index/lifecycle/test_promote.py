"""A catalog built candidate the live one takes its place, and readers follow."""

from pathlib import Path

import numpy as np
import pytest

from index.errors import BankError, GenerationChanged, SearchIndexError
from index.item import Item
from index.lifecycle.promote import promote
from index.lifecycle.repartition import repartition
from index.milvus.config import MilvusConfig
from index.milvus.metadata import resolve_alias
from index.milvus.open import open_collection
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from tests.index.conftest import unit_vectors

VECTORS = unit_vectors(40)
BANK = build(VECTORS[:8], "m", prototypes=2)
OTHER = build(VECTORS[8:30], "m", prototypes=3)


def items(count: int, title: str, bank: PrototypeBank = BANK) -> list[Item]:
    prototypes, _ = bank.assign(VECTORS[:count])
    return [
        Item(
            item_id=f"i{k}",
            product_id=f"p{k}",
            prototype=int(prototype),
            vector=VECTORS[k],
            payload={"title": title},
        )
        for k, prototype in enumerate(prototypes)
    ]


@pytest.mark.parametrize("bank", [BANK, OTHER], ids=["same bank", "other bank"])
def test_a_candidate_becomes_the_live_catalog(
    config: MilvusConfig, name: str, tmp_path: Path, bank: PrototypeBank
) -> None:
    registry = BankRegistry(tmp_path)
    for one in (BANK, bank):
        registry.put(one)
    registry.make_current(BANK.version)
    live, reader = (open_collection(config, BANK, name) for _ in range(2))
    live.write(items(10, "old"))
    assert len(reader.search(VECTORS[:1], 50)[0]) == 10
    candidate = open_collection(config, bank, f"{name}_gen_g")
    candidate.write(items(12, "new", bank))
    expected = candidate.content_hash()
    assert live.generations() == [live.generation], "a repartition would drop the other one"
    live.close()

    assert promote(candidate, name, registry) == live.generation
    candidate.close()

    assert registry.current() == bank.version
    reader._alias_checked_at = -np.inf  # two seconds later
    with pytest.raises(GenerationChanged) as caught:
        reader.search(VECTORS[:1], 50)
    assert caught.value.bank_version == bank.version
    reader.close()
    followed = open_collection(config, registry.get(bank.version), name)
    assert followed.content_hash() == expected
    assert {item.payload["title"] for page in followed.scan() for item in page} == {"new"}
    assert resolve_alias(followed._client, f"{name}_gen_g") is not None, "its own name stays"
    followed.drop_alias(f"{name}_gen_g")

    # It is a catalog as any other: it can be written to and repartitioned.
    followed.write(items(3, "newer", bank))
    assert followed.count() == 12
    successor = repartition(followed, registry, prototypes=5, grace_s=0)
    assert successor.count() == 12
    left = [one for one in successor._client.call("list_collections") if one.startswith(name)]
    assert left == [successor.generation]
    successor.drop_all()
    successor.close()


def test_the_first_catalog_may_be_promoted_too(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    registry = BankRegistry(tmp_path)
    candidate = open_collection(lite_config, BANK, f"{name}_gen_g")
    with pytest.raises(SearchIndexError, match=r"nothing in .*_gen_g"):
        promote(candidate, name, registry)
    candidate.write(items(5, "new"))
    with pytest.raises(BankError, match="put it there"):
        promote(candidate, name, registry)
    registry.put(BANK)
    assert promote(candidate, name, registry) is None
    assert promote(candidate, name, registry) is None, "a crash before the end is mended"
    with open_collection(lite_config, BANK, name) as live:
        assert live.count() == 5
        live.drop_all()
        assert not live.exists()
        assert not [one for one in live._client.call("list_collections") if one.startswith(name)]
    candidate.close()
