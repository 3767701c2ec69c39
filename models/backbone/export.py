"""Export a torch backbone to ONNX."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import orjson

from models.backbone.spec import BackboneSpec, Layout
from models.errors import WeightsError


def export_backbone(spec: BackboneSpec, folder: Path) -> None:
    """Write graph, classifier and layout to ``folder`` in one atomic step."""
    from models.backbone.patch_network import export_onnx, patch_network  # noqa: PLC0415

    network, layout = patch_network(spec)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"the exported network cannot be kept in {folder.parent} ({error.strerror}); "
            "set LOOKSTREAM_CACHE to a folder that can be written"
        ) from error
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
        written = Path(scratch) / "done"
        written.mkdir()
        export_onnx(network, spec.size, written / "backbone.onnx")
        if layout.classifier is not None:
            np.savez(
                written / "classifier.npz", weight=layout.classifier[0], bias=layout.classifier[1]
            )
        card = {
            "grid": layout.grid,
            "widths": layout.widths,
            "labels": layout.labels,
            "identity": layout.identity,
        }
        (written / "layout.json").write_bytes(orjson.dumps(card))
        try:
            written.rename(folder)
        except OSError:
            # Another process was first: its files are the same.
            if not (folder / "layout.json").is_file():
                raise


def read_layout(folder: Path) -> Layout:
    """The layout that `export_backbone` wrote."""
    card = orjson.loads((folder / "layout.json").read_bytes())
    rows, columns = card["grid"]
    classifier = None
    if (folder / "classifier.npz").is_file():
        with np.load(folder / "classifier.npz", allow_pickle=False) as arrays:
            classifier = (arrays["weight"], arrays["bias"])
    return Layout(
        (rows, columns), tuple(card["widths"]), classifier, tuple(card["labels"]), card["identity"]
    )
