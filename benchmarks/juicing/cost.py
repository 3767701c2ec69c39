"""What juicing costs: milliseconds beside the network's, and bytes with each item."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.juicing.pictures import Network
from models.embedding.encoder import TOKENS
from models.embedding.load import load_encoder
from models.images.letterbox import Picture, letterbox, normalise
from models.juicer.juicer import pooling_weights
from models.juicer.saliency import cell_pixels, find_background, patch_saliency, select_patches

ROUNDS = 5


def measure_cost(network: Network, pictures: Sequence[Picture]) -> dict[str, object]:
    """Juicing by encoding time, each the median of pictures, of the best of five rounds."""
    encoder = load_encoder("cpu", threads=1)
    encoding, juicing, sizes, tokens = [], [], [], []
    layout = network.backbone.layout
    for picture in pictures:
        canvas, frame = letterbox(picture, network.size)
        (rows,) = network.backbone.patches(normalise(canvas)[None])
        depths, inside = layout.depths(rows), frame.cells(layout.grid)
        patch_tokens = network.see(picture).tokens

        def juice() -> None:
            pixels = cell_pixels(canvas, layout.grid)  # noqa: B023 - called in this round
            flat = find_background(pixels, inside, layout.grid)  # noqa: B023
            salience = patch_saliency(depths[-1], inside, flat)  # noqa: B023
            pooling_weights(salience, inside)  # noqa: B023
            network.head(depths, frame, layout.grid)  # noqa: B023
            select_patches(patch_tokens, salience, TOKENS)  # noqa: B023

        def encode() -> None:
            encoder.encode_items([picture], [None])  # noqa: B023

        juicing.append(_best_ms(juice))
        encoding.append(_best_ms(encode))
        made = encoder.encode_items([picture], [None])[0].juice
        tokens.append(len(made.token_matrix.values))
        sizes.append(len(made.to_bytes()))
    return {
        "overhead": round(float(np.median(juicing) / np.median(encoding)), 4),
        "juicing_ms": round(float(np.median(juicing)), 3),
        "encoding_ms": round(float(np.median(encoding)), 3),
        "item_bytes": int(np.max(tokens)),
        "juice_bytes": int(np.max(sizes)),
    }


def _best_ms(run: Callable[[], None]) -> float:
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        took.append(1000 * (time.perf_counter() - started))
    return min(took)
