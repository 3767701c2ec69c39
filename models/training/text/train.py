"""Training the text projection: ``lookstream train text``.

Matryoshka InfoNCE (Pailitao-VL, arXiv 2602.13704 §4.1; Kusupati et al. 2022) between documents
and queries. Batches are made of runs of neighbours, classes next to each other in WordNet and
products of few categories and brands, so that many negatives are hard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch.nn import functional

from models.arrays import Floats
from models.embedding.text_projection import PREFIXES, WIDTH, TextProjection
from models.progress import Phases, Progress, no_phases, of_phase
from models.text.hashed_ngrams import BUCKETS, hash_ngrams
from models.text.minilm import normalise
from models.text.sentence_encoders import DEFAULT, TextModel, text_model
from models.training.embedding.fit_pca import fit_principal_axes
from models.training.text.queries import QUERIES_PER_DOCUMENT, QueryExample, make_query_examples
from models.training.text.translations import make_translation_examples

STEPS = 800
BATCH = 256
RUN_LENGTH = 16
"""Neighbouring documents; a batch has 16 such runs."""

TEMPERATURE = 0.05
WARM_UP = 0.05

HELD_OUT_EVERY = 20
"""Every twentieth run is held out: the card has the recall of its queries."""


@dataclass(frozen=True)
class Recipe:
    """What is fitted for a sentence encoder, and how far from where it begins.

    Attributes:
        learning_rate: the highest one.
        ngram_weights: initial weight of the n-grams beside the sentence vector, by prefix; training
            changes it. A random projection to few dimensions cannot keep many n-grams apart, so the
            short prefixes begin with the sentence vector.
        translations: passes over names in several languages.
        data: what the card says of the examples.
        licence: of all that is learned from.
    """

    learning_rate: float
    ngram_weights: tuple[float, ...]
    translations: int
    data: str
    licence: str


_DATA = (
    "names and definitions of ImageNet-12k's classes (WordNet, by timm), and made-up products; no "
    "shop's catalog"
)
_LICENCE = "Apache-2.0; WordNet 3.0 licence for names and definitions"
RECIPES = {
    "minilm": Recipe(3e-3, (0.3, 0.5, 0.8, 0.8), 0, _DATA, _LICENCE),
    # Translations lie together before anything is learned. Learned fast, and from English alone,
    # they part: of titles in six languages half as many are found.
    "multilingual": Recipe(
        3e-4,
        (0.3, 0.4, 0.5, 0.5),
        8,
        f"{_DATA}; names of emoji in fourteen languages (CLDR, by emoji)",
        f"{_LICENCE}; Unicode licence v3 for names of emoji",
    ),
}

EncodeSentences = Callable[[Sequence[str]], Floats]
"""Sentence vectors (n, width) of texts."""


@dataclass(frozen=True, eq=False)
class _TrainingData:
    """Features of all texts, and which of them are queries for what.

    Attributes:
        sentences: sentence vectors, (texts, width), fp16.
        ngrams: hashed n-grams, (texts, 4096), sparse.
        documents, queries: rows of both, (documents,) and (documents, queries).
        query_words, document_words: bags of words of intents, (documents × queries, words), and of
            documents, (documents, words).
    """

    sentences: NDArray[np.float16]
    ngrams: csr_array
    documents: NDArray[np.intp]
    queries: NDArray[np.intp]
    query_words: csr_array
    document_words: csr_array


def fit_text_projection(
    *,
    text: str = DEFAULT,
    seed: int = 0,
    documents: int | None = None,
    steps: int = STEPS,
    encode: EncodeSentences | None = None,
    progress: Phases = no_phases,
) -> TextProjection:
    """Fit on `models.training.text.queries`; deterministic for a seed on one machine.

    Args:
        text: the sentence encoder, by name.
        documents: about so many classes and made-up products, drawn in runs of neighbours; None
            for all, whose 34,000 texts take MiniLM five minutes on a core, and the multilingual
            encoder two.
        steps: of 256 queries each.
        encode: in place of the sentence encoder.
        progress: of encoding the texts and of the steps.
    """
    model, recipe = text_model(text), RECIPES[text]
    encode = encode or _sentence_encoder(model, of_phase(progress, "reading texts"))
    examples = make_query_examples(seed)
    if recipe.translations:
        examples = examples[: len(examples) - len(examples) % (RUN_LENGTH * QUERIES_PER_DOCUMENT)]
        examples += make_translation_examples(recipe.translations, RUN_LENGTH, seed)
    data = _training_data(_sample_runs(examples, documents, seed), model, encode)
    runs = np.arange(len(data.documents) // RUN_LENGTH)
    held_out, training = runs[::HELD_OUT_EVERY], np.delete(runs, np.s_[::HELD_OUT_EVERY])
    maps = _initial_maps(data, recipe.ngram_weights, seed)
    _train_maps(
        maps, data, training, steps, recipe.learning_rate, seed, of_phase(progress, "fitting")
    )
    meaning, letters = (one.detach().numpy().astype(np.float32) for one in maps)
    card: dict[str, object] = {
        "command": f"lookstream train text --text {text} --seed {seed} --steps {steps}"
        + (f" --documents {documents}" if documents is not None else ""),
        "data": recipe.data,
        "documents": len(data.documents),
        "licence": recipe.licence,
        "prefixes": list(PREFIXES),
        "held_out_recall_at_1": _recall_at_1(maps, data, held_out),
    }
    return TextProjection(model, meaning, letters, card)


def _sample_runs(
    examples: Sequence[QueryExample], documents: int | None, seed: int
) -> list[QueryExample]:
    """Whole runs of neighbours, drawn by the seed."""
    size = RUN_LENGTH * QUERIES_PER_DOCUMENT
    order = np.random.default_rng(seed).permutation(len(examples) // size)
    chosen = order[: documents // RUN_LENGTH] if documents is not None else order
    return [one for run in chosen for one in examples[run * size : (run + 1) * size]]


def _sentence_encoder(model: TextModel, progress: Progress) -> EncodeSentences:
    encoder = model.load()

    def encode(texts: Sequence[str]) -> Floats:
        rows = np.empty((len(texts), model.width), np.float32)
        for number, text in enumerate(texts):
            progress(number, len(texts))
            rows[number] = encoder.encode([text])[0]
        progress(len(texts), len(texts))
        return rows

    return encode


def _training_data(
    examples: Sequence[QueryExample], model: TextModel, encode: EncodeSentences
) -> _TrainingData:
    texts = sorted(
        {model.normalise(text) for one in examples for text in (one.document, one.query)}
    )
    row = {text: number for number, text in enumerate(texts)}
    documents = examples[::QUERIES_PER_DOCUMENT]
    vocabulary: dict[str, int] = {}
    return _TrainingData(
        sentences=encode(texts).astype(np.float16),
        ngrams=_sparse_ngrams(texts, model),
        documents=np.array([row[model.normalise(one.document)] for one in documents]),
        queries=np.array([row[model.normalise(one.query)] for one in examples]).reshape(
            -1, QUERIES_PER_DOCUMENT
        ),
        query_words=_incidence([one.intent for one in examples], vocabulary),
        document_words=_incidence([one.document for one in documents], vocabulary),
    )


def _sparse_ngrams(texts: Sequence[str], model: TextModel) -> csr_array:
    filled: list[NDArray[np.intp]] = []
    values: list[Floats] = []
    for row in map(hash_ngrams, map(model.ngrams, texts)):
        filled.append(np.flatnonzero(row))
        values.append(row[filled[-1]])
    starts = np.cumsum([0, *map(len, filled)])
    return csr_array(
        (np.concatenate(values), np.concatenate(filled), starts), shape=(len(texts), BUCKETS)
    )


def _incidence(texts: Sequence[str], vocabulary: dict[str, int]) -> csr_array:
    """Which words each text has, 0 or 1, (texts, 2**16)."""
    rows, columns = [], []
    for number, text in enumerate(texts):
        for word in set(normalise(text).replace(",", " ").replace(".", " ").split()):
            rows.append(number)
            columns.append(vocabulary.setdefault(word, len(vocabulary)))
    ones = np.ones(len(rows), np.float32)
    return csr_array((ones, (rows, columns)), shape=(len(texts), 2**16))


def _initial_maps(
    data: _TrainingData, ngram_weights: Sequence[float], seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal axes of sentence vectors; for n-grams a random projection, which keeps cosines."""
    sentences = data.sentences[data.documents].astype(np.float32)
    axes = fit_principal_axes([np.concatenate([sentences, -sentences])], WIDTH, None).matrix
    drawn = np.random.default_rng(seed).standard_normal((BUCKETS, WIDTH))
    letters = np.repeat(ngram_weights, np.diff((0, *PREFIXES))) * drawn / np.sqrt(WIDTH)
    return (
        torch.tensor(axes, dtype=torch.float32, requires_grad=True),
        torch.tensor(letters, dtype=torch.float32, requires_grad=True),
    )


def _train_maps(
    maps: tuple[torch.Tensor, torch.Tensor],
    data: _TrainingData,
    runs: NDArray[np.intp],
    steps: int,
    learning_rate: float,
    seed: int,
    progress: Progress,
) -> None:
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(maps, learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
    )
    for step in range(steps):
        progress(step, steps)
        drawn = rng.choice(runs, min(BATCH // RUN_LENGTH, len(runs)), replace=False)
        chosen = _documents_of(drawn)
        views = rng.integers(QUERIES_PER_DOCUMENT, size=len(chosen))
        loss = _loss(maps, data, chosen, views)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    progress(steps, steps)


def _loss(
    maps: tuple[torch.Tensor, torch.Tensor],
    data: _TrainingData,
    chosen: NDArray[np.intp],
    views: NDArray[np.intp],
) -> torch.Tensor:
    """Matryoshka InfoNCE in both directions, of one query (``views``) for each chosen document."""
    queries = _project(maps, data, data.queries[chosen, views])
    documents = _project(maps, data, data.documents[chosen])
    words = data.query_words[chosen * QUERIES_PER_DOCUMENT + views]
    shared = (words @ data.document_words[chosen].T).toarray()
    # A document with every word of the intent is a positive too, and so is one of the same text.
    same = data.documents[chosen][:, None] == data.documents[chosen]
    positives = torch.from_numpy((shared >= words.sum(axis=1)[:, None]) | same)
    positives.fill_diagonal_(False)
    target = torch.arange(len(chosen))
    total = torch.zeros(())
    for width in PREFIXES:
        scores = _cosines(queries, documents, width) / TEMPERATURE
        scores = scores.masked_fill(positives, -torch.inf)
        total = total + functional.cross_entropy(scores, target)
        total = total + functional.cross_entropy(scores.T, target)
    return total / (2 * len(PREFIXES))


def _cosines(queries: torch.Tensor, documents: torch.Tensor, width: int) -> torch.Tensor:
    return functional.normalize(queries[:, :width]) @ functional.normalize(documents[:, :width]).T


def _project(
    maps: tuple[torch.Tensor, torch.Tensor], data: _TrainingData, rows: NDArray[np.intp]
) -> torch.Tensor:
    sparse = data.ngrams[rows]
    letters = functional.embedding_bag(
        torch.from_numpy(sparse.indices.astype(np.int64)),
        maps[1],
        torch.from_numpy(sparse.indptr[:-1].astype(np.int64)),
        mode="sum",
        per_sample_weights=torch.from_numpy(sparse.data),
    )
    return torch.from_numpy(data.sentences[rows].astype(np.float32)) @ maps[0] + letters


def _recall_at_1(
    maps: tuple[torch.Tensor, torch.Tensor], data: _TrainingData, runs: NDArray[np.intp]
) -> dict[str, float]:
    """By prefix: the share of held-out corrupted queries whose document is nearest among those."""
    chosen = _documents_of(runs)
    with torch.no_grad():
        documents = _project(maps, data, data.documents[chosen])
        queries = _project(maps, data, data.queries[chosen, 1])
    rates = {}
    for width in PREFIXES:
        nearest = _cosines(queries, documents, width).argmax(dim=1).numpy()
        hits = data.documents[chosen][nearest] == data.documents[chosen]
        rates[str(width)] = round(float(hits.mean()), 4)
    return rates


def _documents_of(runs: NDArray[np.intp]) -> NDArray[np.intp]:
    return (runs[:, None] * RUN_LENGTH + np.arange(RUN_LENGTH)).reshape(-1)
