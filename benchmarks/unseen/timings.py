"""How long a catalog of 1,000 items takes to be weighed and adapted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.assign import timed
from benchmarks.unseen.catalog_task import VIEWS
from benchmarks.unseen.features import picture_of
from benchmarks.unseen.left_out import LeftOut
from models.embedding.adapt import examine, learn_query_map
from models.embedding.layout import PRIOR_IDENTITY, PartWeights
from models.embedding.load import load_encoder
from models.embedding.part_weights import Witnesses, weigh_parts

TIMED_PICTURES, TIMED_ITEMS = 25, 1000


def timings(catalogs: Sequence[LeftOut], encoder_file: Path, threads: int) -> dict[str, Any]:
    """Seconds of weighing and of adapting 1,000 items; on a busy machine, see processor time."""
    witnesses = _first_items([one.witnesses(mild=False) for one in catalogs], TIMED_ITEMS)
    mild = np.arange(len(witnesses.views)) % 2 == 0
    half = replace(witnesses, views=witnesses.views[mild], shown=witnesses.shown[mild])
    prior = PartWeights.with_identity(PRIOR_IDENTITY)
    encoder = load_encoder(threads=threads, projection=encoder_file)
    share = -(-TIMED_PICTURES // len(catalogs)) * VIEWS
    sources = [one.task.sources[row] for one in catalogs for row in one.task.views[:share]]

    def learn() -> None:
        examine(witnesses, prior)
        learn_query_map(witnesses, prior)

    def encode() -> None:
        for source in sources:
            encoder.encode_items([picture_of(source)], [None])

    _, weigh_s, _ = timed(lambda: weigh_parts(half, prior))
    _, learn_s, learn_cpu_s = timed(learn)
    _, encode_s, encode_cpu_s = timed(encode)
    scale = VIEWS * TIMED_ITEMS / len(sources)
    return {
        "weigh_seconds": round(weigh_s, 2),
        "adapt_seconds_1000": round(scale * encode_s + learn_s, 1),
        "adapt_cpu_seconds_1000": round(scale * encode_cpu_s + learn_cpu_s, 1),
        "adapt_seconds_1000_measured": (
            f"exam and map: {learn_s:.1f} s, of {len(witnesses.items):,} items of all catalogs "
            f"together; encoding: scaled from {len(sources)} views"
        ),
    }


def _first_items(catalogs: Sequence[Witnesses], most: int) -> Witnesses:
    """The items of several catalogs as if of one, at most so many."""
    starts = np.cumsum([0, *(len(one.items) for one in catalogs)])[:-1]
    count = min(most, sum(len(one.items) for one in catalogs))
    shown = np.concatenate([one.shown + at for one, at in zip(catalogs, starts, strict=True)])
    kinds = np.concatenate(
        [
            np.where(one.categories >= 0, one.categories + at, -1)
            for one, at in zip(catalogs, starts, strict=True)
        ]
    )
    return Witnesses(
        np.concatenate([one.items for one in catalogs])[:count],
        np.arange(count),
        kinds[:count],
        np.concatenate([one.views for one in catalogs])[shown < count],
        shown[shown < count],
    )
