"""Fitting the text side: ``lookstream train text``.

Matryoshka InfoNCE (Pailitao-VL, arXiv 2602.13704 §4.1; Kusupati et al. 2022) between documents
and what is typed for them. Batches are made of neighbours, classes next to each other in WordNet
and products from one shelf, so that most negatives are hard ones.
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
from models.text.minilm import WIDTH as SENTENCE_WIDTH
from models.text.minilm import TextEncoder, normalise
from models.training.embedding.fit_pca import fit_principal_axes
from models.training.text.queries import VIEWS, Wording, wordings

STEPS = 800
BATCH = 256
RUN = 16
"""Neighbours taken together; a batch holds 16 such runs."""

TEMPERATURE = 0.05
LEARNING_RATE = 3e-3
WARM_UP = 0.05
LETTERS = (0.3, 0.5, 0.8, 0.8)
"""Weight of the trigrams beside the sentence at the start, by prefix; training moves it. Few
directions drawn at random cannot hold many trigrams, so the short prefixes begin with meaning."""

HELD_OUT = 20
"""Every twentieth run is never trained on: the card says how often its wordings are found."""

Read = Callable[[Sequence[str]], Floats]
"""Sentence vectors (n, 384) of texts."""


@dataclass(frozen=True, eq=False)
class _TrainingData:
    """Texts as rows of numbers, and which of them are wordings of what.

    Attributes:
        sentences: (texts, 384), fp16.
        letters: (texts, 4096), sparse.
        documents, typed: rows of `sentences` for each thing, (things,) and (things, views).
        asked, told: words meant, (things × views, words), and words of documents, (things, words).
    """

    sentences: NDArray[np.float16]
    letters: csr_array
    documents: NDArray[np.intp]
    typed: NDArray[np.intp]
    asked: csr_array
    told: csr_array


def fit_text_projection(
    *,
    seed: int = 0,
    things: int | None = None,
    steps: int = STEPS,
    read: Read | None = None,
    progress: Phases = no_phases,
) -> TextProjection:
    """Fit on `models.training.text.queries`; deterministic for a seed on one machine.

    Args:
        things: about so many classes and made-up products, drawn in runs of neighbours; None
            for all, of which MiniLM reads 34,000 texts in five minutes on a core of its own.
        steps: of 256 wordings each.
        read: in place of MiniLM.
        progress: of reading the texts and of the steps.
    """
    read = read or _reader(of_phase(progress, "reading texts"))
    data = _training_data(_drawn(wordings(seed), things, seed), read)
    runs = np.arange(len(data.documents) // RUN)
    held_out, fitting = runs[::HELD_OUT], np.delete(runs, np.s_[::HELD_OUT])
    maps = _start(data, seed)
    _descend(maps, data, fitting, steps, seed, of_phase(progress, "fitting"))
    meaning, letters = (one.detach().numpy().astype(np.float32) for one in maps)
    found = _recall(maps, data, held_out)
    card: dict[str, object] = {
        "command": f"lookstream train text --seed {seed} --steps {steps}"
        + (f" --things {things}" if things is not None else ""),
        "data": "names and definitions of ImageNet-12k's classes (WordNet, by timm), and made-up "
        "products; no shop's catalog",
        "things": len(data.documents),
        "licence": "Apache-2.0; WordNet 3.0 licence for names and definitions",
        "prefixes": list(PREFIXES),
        "held out, mistyped, R@1 by prefix": found,
    }
    return TextProjection(meaning, letters, card)


def _drawn(made: Sequence[Wording], things: int | None, seed: int) -> list[Wording]:
    """Whole runs of neighbours, drawn by the seed."""
    size = RUN * VIEWS
    order = np.random.default_rng(seed).permutation(len(made) // size)
    chosen = order[: things // RUN] if things is not None else order
    return [one for run in chosen for one in made[run * size : (run + 1) * size]]


def _reader(progress: Progress) -> Read:
    encoder = TextEncoder()

    def read(texts: Sequence[str]) -> Floats:
        rows = np.empty((len(texts), SENTENCE_WIDTH), np.float32)
        for number, text in enumerate(texts):
            progress(number, len(texts))
            rows[number] = encoder.encode([text])[0]
        progress(len(texts), len(texts))
        return rows

    return read


def _training_data(made: Sequence[Wording], read: Read) -> _TrainingData:
    texts = sorted({normalise(text) for one in made for text in (one.document, one.typed)})
    row = {text: number for number, text in enumerate(texts)}
    things = made[::VIEWS]
    vocabulary: dict[str, int] = {}
    return _TrainingData(
        sentences=read(texts).astype(np.float16),
        letters=_hashed(texts),
        documents=np.array([row[normalise(one.document)] for one in things]),
        typed=np.array([row[normalise(one.typed)] for one in made]).reshape(-1, VIEWS),
        asked=_incidence([one.meant for one in made], vocabulary),
        told=_incidence([one.document for one in things], vocabulary),
    )


def _hashed(texts: Sequence[str]) -> csr_array:
    filled: list[NDArray[np.intp]] = []
    values: list[Floats] = []
    for row in map(hash_ngrams, texts):
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


def _start(data: _TrainingData, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal axes for meaning; for letters directions drawn at random, which keep cosines."""
    sentences = data.sentences[data.documents].astype(np.float32)
    axes = fit_principal_axes([np.concatenate([sentences, -sentences])], WIDTH, None).matrix
    drawn = np.random.default_rng(seed).standard_normal((BUCKETS, WIDTH))
    letters = np.repeat(LETTERS, np.diff((0, *PREFIXES))) * drawn / np.sqrt(WIDTH)
    return (
        torch.tensor(axes, dtype=torch.float32, requires_grad=True),
        torch.tensor(letters, dtype=torch.float32, requires_grad=True),
    )


def _descend(
    maps: tuple[torch.Tensor, torch.Tensor],
    data: _TrainingData,
    runs: NDArray[np.intp],
    steps: int,
    seed: int,
    progress: Progress,
) -> None:
    random = np.random.default_rng(seed)
    descent = torch.optim.Adam(maps, LEARNING_RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        descent, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
    )
    for step in range(steps):
        progress(step, steps)
        chosen = random.choice(runs, min(BATCH // RUN, len(runs)), replace=False)
        things = (chosen[:, None] * RUN + np.arange(RUN)).reshape(-1)
        views = random.integers(VIEWS, size=len(things))
        loss = _loss(maps, data, things, views)
        descent.zero_grad()
        torch.autograd.backward(loss)
        descent.step()
        rate.step()
    progress(steps, steps)


def _loss(
    maps: tuple[torch.Tensor, torch.Tensor],
    data: _TrainingData,
    things: NDArray[np.intp],
    views: NDArray[np.intp],
) -> torch.Tensor:
    typed = _project(maps, data, data.typed[things, views])
    documents = _project(maps, data, data.documents[things])
    asked = data.asked[things * VIEWS + views]
    shared = (asked @ data.told[things].T).toarray()
    # A document that holds every word that was meant is an answer too, and so is its twin.
    same = data.documents[things][:, None] == data.documents[things]
    answers = torch.from_numpy((shared >= asked.sum(axis=1)[:, None]) | same)
    answers.fill_diagonal_(False)
    target = torch.arange(len(things))
    total = torch.zeros(())
    for width in PREFIXES:
        cosines = (
            functional.normalize(typed[:, :width]) @ functional.normalize(documents[:, :width]).T
        )
        scores = (cosines / TEMPERATURE).masked_fill(answers, -torch.inf)
        total = total + functional.cross_entropy(scores, target)
        total = total + functional.cross_entropy(scores.T, target)
    return total / (2 * len(PREFIXES))


def _project(
    maps: tuple[torch.Tensor, torch.Tensor], data: _TrainingData, rows: NDArray[np.intp]
) -> torch.Tensor:
    sparse = data.letters[rows]
    letters = functional.embedding_bag(
        torch.from_numpy(sparse.indices.astype(np.int64)),
        maps[1],
        torch.from_numpy(sparse.indptr[:-1].astype(np.int64)),
        mode="sum",
        per_sample_weights=torch.from_numpy(sparse.data),
    )
    return torch.from_numpy(data.sentences[rows].astype(np.float32)) @ maps[0] + letters


def _recall(
    maps: tuple[torch.Tensor, torch.Tensor], data: _TrainingData, runs: NDArray[np.intp]
) -> dict[str, float]:
    """Share of held-out garbled texts whose document is nearest among those held out."""
    things = (runs[:, None] * RUN + np.arange(RUN)).reshape(-1)
    with torch.no_grad():
        documents = _project(maps, data, data.documents[things])
        typed = _project(maps, data, data.typed[things, 1])
    rates = {}
    for width in PREFIXES:
        near = (
            functional.normalize(typed[:, :width]) @ functional.normalize(documents[:, :width]).T
        ).argmax(dim=1)
        hits = data.documents[things][near.numpy()] == data.documents[things]
        rates[str(width)] = round(float(hits.mean()), 4)
    return rates
