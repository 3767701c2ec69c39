"""Assignment to a memory-mapped bank of up to a million prototypes, against brute-force FAISS.

    lookstream bench assign [--prototypes 1000000] [--queries 20000] [--threads 2]

Synthetic prototypes (512-d, see `SyntheticPrototypes`) and noisy views of some of them. The bank is
built in a temporary folder. Recall is agreement with exact search in full precision, on a sample of
`--compared` vectors, whose brute-force time is the baseline. On a busy machine, compare the rates
per second of processor time. The last line is one JSON object.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import orjson
from threadpoolctl import threadpool_limits

from index.prototypes.mmap_build import build_mapped
from index.vectors import Matrix, Rows
from models.arrays import unit
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

DIM = 512
LATENT = 96
PER_CLUSTER = 1000
WITHIN = 0.7
"""Deviation of prototypes within a cluster, relative to that between clusters."""
RESIDUAL = 0.03
"""Noise of each value of a prototype, outside of the latent dimensions."""
VIEW_NOISE = 0.7
"""Distance of a view from its prototype, in units of its length; the cosine is about .8."""
BLOCK = 16_384


class SyntheticPrototypes:
    """Prototypes in clusters of about a thousand, in 96 latent dimensions of decreasing weight.

    A random rotation spreads the dimensions over all values, as training of every prefix does.
    """

    def __init__(self, prototypes: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.count = prototypes
        self._weight = (1 / np.sqrt(np.arange(1, LATENT + 1) / 8 + 1)).astype(np.float32)
        self._basis = np.linalg.qr(self._rng.standard_normal((DIM, LATENT)))[0].T.astype("f4")
        self._clusters = self._normal(max(8, prototypes // PER_CLUSTER), LATENT) * self._weight

    def write(self, path: Path) -> npt.NDArray[np.float16]:
        """All prototypes, float16 (prototypes, 512), as a memory-mapped file."""
        found = np.lib.format.open_memmap(path, "w+", np.float16, (self.count, DIM))
        for start in range(0, self.count, BLOCK):
            size = min(BLOCK, self.count - start)
            centres = self._clusters[self._rng.integers(len(self._clusters), size=size)]
            latent = centres + WITHIN * self._weight * self._normal(size, LATENT)
            found[start : start + size] = unit(
                latent @ self._basis + RESIDUAL * self._normal(size, DIM)
            )
        return found

    def views(self, prototypes: npt.NDArray[np.float16], count: int) -> Matrix:
        """Noisy vectors (count, 512) of some of the prototypes."""
        chosen = np.sort(self._rng.integers(len(prototypes), size=count))
        weight = self._weight / np.linalg.norm(self._weight)
        noise = (self._normal(count, LATENT) * weight) @ self._basis
        views = prototypes[chosen].astype(np.float32) + VIEW_NOISE * noise
        noisy = views + 0.2 / np.sqrt(DIM) * self._normal(count, DIM)
        return unit(noisy.astype(np.float32))

    def _normal(self, rows: int, columns: int) -> Matrix:
        return self._rng.standard_normal((rows, columns), dtype=np.float32)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result of a function, its seconds, and those of processor time of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def brute_force(prototypes: npt.NDArray[np.float16], vectors: Matrix) -> tuple[Rows, float, float]:
    """Nearest row of each vector by FAISS flat search, (n,), and its seconds: wall, processor.

    Searched in slices, so that float32 copies of a million prototypes need not fit into memory;
    only the searches are timed.
    """
    best = np.full(len(vectors), -np.inf, np.float32)
    rows = np.zeros(len(vectors), np.int64)
    wall = cpu = 0.0
    for start in range(0, len(prototypes), 8 * BLOCK):
        flat: Any = faiss.IndexFlatIP(DIM)
        flat.add(prototypes[start : start + 8 * BLOCK].astype(np.float32))
        (cosines, found), seconds, busy = timed(partial(flat.search, vectors, 1))
        wall, cpu = wall + seconds, cpu + busy
        better = cosines[:, 0] > best
        best[better] = cosines[better, 0]
        rows[better] = found[better, 0] + start
    return rows, wall, cpu


def compare(
    folder: Path,
    count: int,
    queries: int,
    compared: int,
    threads: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Build a memory-mapped bank of synthetic prototypes, and measure it and brute force."""
    synthetic = SyntheticPrototypes(count, seed)
    with progress.task("drawing prototypes"):
        prototypes = synthetic.write(folder / "prototypes.npy")
        vectors = synthetic.views(prototypes, queries)
    compared = min(compared, queries)
    phases = progress.phases()
    bank, build_s, build_cpu_s = timed(
        lambda: build_mapped(
            folder / "bank", prototypes, "synthetic", seed=seed, on_progress=phases
        )
    )
    bank.threads = threads
    with progress.task("assigning"):
        bank.assign(vectors)  # reads the file into the page cache
        (rows, _), wall, cpu = timed(lambda: bank.assign(vectors))
        _, search_wall, _ = timed(lambda: bank.search(vectors, 100))
    sample = np.random.default_rng(seed).choice(queries, compared, replace=False)
    with progress.task("comparing with brute force"):
        exact, flat_wall, flat_cpu = brute_force(prototypes, vectors[sample])
    return {
        "prototypes": count,
        "dim": DIM,
        "assign_per_s": round(queries / wall),
        "assign_per_cpu_s": round(queries / cpu),
        "recall_at_1": round(float((rows[sample] == exact).mean()), 4),
        "build_s": round(build_s, 1),
        "build_cpu_s": round(build_cpu_s, 1),
        "bytes": sum(path.stat().st_size for path in (folder / "bank").iterdir()),
        "flat_per_s": round(compared / flat_wall, 1),
        "flat_per_cpu_s": round(compared / flat_cpu, 1),
        "ratio": round(queries / wall / (compared / flat_wall), 1),
        "cpu_ratio": round(queries / cpu / (compared / flat_cpu), 1),
        "search_100_per_s": round(queries / search_wall),
        "probed": bank.probed,
        "candidates": bank.candidates,
    }


def main() -> None:
    """Run the comparison and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prototypes", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--compared", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    with (
        threadpool_limits(options.threads),
        tempfile.TemporaryDirectory(prefix="lookstream-assign-") as folder,
        open_progress() as progress,
    ):
        found = compare(
            Path(folder),
            options.prototypes,
            options.queries,
            options.compared,
            options.threads,
            options.seed,
            progress,
        )
    print(orjson.dumps(found | {"threads": options.threads}).decode())


if __name__ == "__main__":
    main()
