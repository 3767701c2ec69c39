"""The packaged parameters, with the packaged encoder and real pictures."""

from pathlib import Path

import pytest

from models.catalog.folder import read_catalog
from models.embedding.load import encoder_id, load_encoder
from models.images.files import open_picture
from models.reranking.linear import Candidate, load_reranker, packaged_reranker
from models.text.sentence_encoders import TEXT_MODELS
from tests.paths import SHARED_GROCERY as GROCERY


def test_reranking_does_not_lower_the_hit_rates_of_the_card() -> None:
    card = load_reranker().parameters.card
    for catalog in ("known", "unknown"):
        reports = card[catalog]
        assert isinstance(reports, dict)
        for modality in ("picture", "text", "both"):
            report = reports[modality]
            before, after = report["retrieval"], report["cross_validated"]
            assert after["i_hr_1"] >= before["i_hr_1"]
            assert after["calibration_error"] < 0.12


def test_there_is_one_for_each_sentence_encoder() -> None:
    for text in TEXT_MODELS:
        fitted = load_reranker(packaged_reranker("lite2", text)).parameters.encoder
        assert fitted == encoder_id("lite2", text=text), (
            f"fit it again: LOOKSTREAM_MODELS__TEXT={text} lookstream train reranker"
        )


@pytest.mark.slow
@pytest.mark.skipif(not GROCERY.is_dir(), reason="../shared/data/grocery is not there")
def test_products_pictures_with_the_packaged_encoder() -> None:
    encoder, reranker = load_encoder("cpu", threads=1), load_reranker()
    assert reranker.parameters.encoder == encoder.model_id, (
        "the encoder changed: run `lookstream train reranker ../shared/data/grocery` again"
    )
    catalog = read_catalog(GROCERY)
    products = [product for product in catalog.products if product.category[0] == "Fruit"][::3]
    items = [
        encoder.encode_items(
            [open_picture(Path(catalog.locate(product.image or "")))],
            [product.text],
            [product.category],
        )[0]
        for product in products
    ]
    for product, itself in zip(products, items, strict=True):
        query = encoder.encode_queries(
            [open_picture(Path(catalog.locate(product.image or "")))], [None]
        )[0]
        ranked = reranker.rerank(
            query,
            None,
            [
                Candidate(other.product_id, float(item.vector @ query.vector), item.juice)
                for other, item in zip(products, items, strict=True)
            ],
        )
        best = ranked[0]
        assert items[best.index] is itself
        assert best.level == 0
        assert best.score > 0.5
        assert best.comparison > best.null
