"""Which files of a repository are fetched."""

from models.hub.contents import RERANKER_HEAD, wanted
from models.hub.names import source_of


def test_the_head_of_a_reranker_comes_with_its_model_and_is_no_part_of_its_weights() -> None:
    source = source_of("hf:owner/reranker")
    whole = ["config.json", "model.safetensors", RERANKER_HEAD, "README.md"]
    assert wanted(source, whole) == ["config.json", RERANKER_HEAD, "model.safetensors"]
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = "model.safetensors.index.json"
    assert wanted(source, ["config.json", index, *shards, RERANKER_HEAD]) == [
        "config.json",
        RERANKER_HEAD,
        index,
        *shards,
    ]
