"""Export a network of a Hugging Face folder to ONNX, once; see `models.backbone.tower_files`."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx_ir
import torch
from torch import nn

from models.backbone import tower_files as files
from models.backbone.tower import PictureTower, TextTower
from models.backbone.tower_network import load_towers
from models.backbone.tower_tokens import read_tokenizer
from models.backbone.trace import trace
from models.errors import WeightsError

LARGEST_DIFFERENCE = 1e-3
"""Of an embedding of length 1 between ONNX Runtime and torch; about 1e-6 is usual."""

TRIED_LENGTHS = (3, 9)
"""Tokens of the texts that the exported text tower is tried on."""


def export_towers(folder: Path, to: Path) -> None:
    """Export the network in ``folder``, in one atomic step.

    What comes out is compared with torch on random input, and is not kept if they disagree.

    Args:
        folder: of a transformers model or a timm network.
        to: the folder to write; what is there already is kept.

    Raises:
        WeightsError: the folder cannot be used, the exporter fails, or the files cannot be written.
    """
    preprocessing = files.read_preprocessing(folder)
    size = preprocessing.size
    pictures, texts, architecture = load_towers(folder, size)
    text = None if texts is None else read_tokenizer(folder)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=to.parent, prefix=".export-")
    except OSError as error:
        raise WeightsError(
            f"the exported network cannot be kept in {to.parent} ({error.strerror}); set "
            "LOOKSTREAM_CACHE to a folder that can be written"
        ) from error
    with scratch as name:
        written = Path(name) / "done"
        written.mkdir()
        picture = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
        names = ["patches", "embedding", "attention"]
        _write(pictures, "picture", picture, names, written / files.PICTURE_GRAPH)
        with torch.inference_mode():
            rows, embedding, attention = pictures(picture)
        tower = PictureTower(written, threads=1)
        found = tower.run(picture[0].numpy())
        difference = _difference(embedding, found.embedding)
        parameters = {id(one): one.numel() for one in pictures.parameters()}
        if texts is not None and text is not None:
            card, tokenizer = text
            tokenizer.save(str(written / files.TOKENIZER))
            length = card.tokens if card.padding is not None else max(TRIED_LENGTHS)
            ids = torch.arange(length).reshape(1, -1) % tokenizer.get_vocab_size()
            _write(
                texts,
                "ids",
                ids,
                ["embedding"],
                written / files.TEXT_GRAPH,
                longest=card.tokens if card.padding is None else None,
            )
            words = TextTower(written, card, threads=1)
            for tried in (length,) if card.padding is not None else TRIED_LENGTHS:
                with torch.inference_mode():
                    wanted = texts(ids[:, :tried])
                difference = max(difference, _difference(wanted, words.run(ids[0, :tried].numpy())))
            parameters |= {id(one): one.numel() for one in texts.parameters()}
        if not difference <= LARGEST_DIFFERENCE:
            raise WeightsError(
                f"{architecture} gives other embeddings on ONNX Runtime than in torch (by up to "
                f"{difference:.2g}), and cannot be used"
            )
        side = math.isqrt(rows.shape[1])
        if side * side != rows.shape[1]:
            raise WeightsError(
                f"{architecture} gives {rows.shape[1]} patches, which make no square"
            )
        towers = files.TowerCard(
            name=folder.resolve().name,
            fingerprint=files.fingerprint(folder),
            architecture=architecture,
            width=embedding.shape[1],
            patch_width=rows.shape[2],
            grid=(side, side),
            attention=attention.shape[1] > 0,
            preprocessing=preprocessing,
            text=None if text is None else text[0],
            parameters=sum(parameters.values()),
            difference=difference,
        )
        (written / files.CARD).write_bytes(
            msgspec.json.format(msgspec.json.encode(towers), indent=1)
        )
        try:
            written.rename(to)
        except OSError:
            # Another process was first: its files are the same.
            if not files.is_exported(to):
                raise


def export_fewer_tokens(folder: Path, to: Path, method: str) -> None:
    """Export the picture tower of ``folder`` with layers that see fewer tokens, in one atomic step.

    Args:
        folder: of a transformers model.
        to: the graph to write; its weights lie beside it.
        method: `models.hub.names.EVIT` or `TOME`.

    Raises:
        WeightsError: the network cannot be used so, the exporter fails, or the files cannot be
            written.
    """
    size = files.read_preprocessing(folder).size
    pictures, _, architecture = load_towers(folder, size, method)
    picture = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        scratch = tempfile.TemporaryDirectory(dir=to.parent, prefix=".export-")
    except OSError as error:
        raise WeightsError(
            f"the exported network cannot be kept in {to.parent} ({error.strerror}): make that "
            "folder writable"
        ) from error
    with scratch as name:
        written = Path(name) / to.name
        _write(pictures, "picture", picture, ["patches", "embedding", "attention"], written)
        with torch.inference_mode():
            _, embedding, _ = pictures(picture)
        found = PictureTower(Path(name), 1, to.name).run(picture[0].numpy())
        if not (difference := _difference(embedding, found.embedding)) <= LARGEST_DIFFERENCE:
            raise WeightsError(
                f"{architecture} with {method} gives other embeddings on ONNX Runtime than in "
                f"torch (by up to {difference:.2g}): leave it out"
            )
        for file in (written.with_suffix(".data"), written):  # the graph last: it says all is there
            file.replace(to.parent / file.name)


def _write(
    network: nn.Module,
    name: str,
    example: torch.Tensor,
    outputs: list[str],
    path: Path,
    longest: int | None = None,
) -> None:
    """Write a graph, and its weights beside it; ``longest`` makes the second axis' length free."""
    free = None if longest is None else ({1: torch.export.Dim("n", min=2, max=longest)},)
    model = trace(network, [example], [name], outputs, dynamic_shapes=free)
    onnx_ir.save(model, path, external_data=path.with_suffix(".data").name)


def _difference(wanted: torch.Tensor, found: Any) -> float:
    """The largest difference of a value, both of length 1; NaN if a value is none."""
    one = nn.functional.normalize(wanted[0], dim=0).numpy()
    other = found / max(float(np.linalg.norm(found)), 1e-12)
    return float(np.abs(one - other).max())
