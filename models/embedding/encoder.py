"""The encoder: pictures and texts in, vectors and juice out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np

from models.arrays import Floats, unit
from models.backbone.checkpoints import MINILM, sha256_of
from models.backbone.load import load_backbone
from models.backbone.protocol import Backbone
from models.backbone.spec import BackboneSpec, named_backbone
from models.embedding.layout import (
    AS_COMPOSED,
    DIM,
    PartWeights,
    compose_item,
    query_for_item,
    replace_text,
)
from models.embedding.projection import Projection, has_identity_branch, load_projection
from models.embedding.protocol import Encoded
from models.embedding.text_projection import PACKAGED as PACKAGED_TEXT
from models.embedding.text_projection import TextProjection, load_text_projection
from models.errors import ProjectionError
from models.images.letterbox import Picture
from models.juicer.caption import enrich_caption, stems
from models.juicer.juice import EMPTY, Int8Matrix, Juice
from models.juicer.juicer import PictureFeatures, extract_features
from models.juicer.object_classes import classify
from models.juicer.saliency import crop_box, select_patches
from models.text.minilm import TextEncoder
from models.weights import WEIGHTS

TOKENS = 16
"""K: patches kept as tokens; one fused token of all others follows them."""

MIN_AGREEMENT = 0.25
"""Cosine between a class's name and the item's words below which the class contradicts them."""

RULES_VERSION = "6"
"""Part of the model id: raise it when the code that makes vectors or juice changes them."""


class Encoder:
    """Encodes products and queries. The same input gives the same bytes in any batch.

    ``model_id`` names backbone, dimensions and a hash of every weight and of `RULES_VERSION`:
    vectors with different ids must never be compared (law 3). ``dim`` is the length of the vectors.
    ``replaces_text`` says that an encoded item can be given another text without its picture,
    ``has_parts`` that a query's parts can be weighed.
    """

    replaces_text = True
    has_parts = True

    def __init__(
        self,
        spec: BackboneSpec,
        backbone: Backbone,
        projection: Projection,
        text_projection: TextProjection,
        model_id: str,
        dim: int = DIM,
    ) -> None:
        self._spec = spec
        self._backbone = backbone
        self._projection = projection
        self._sentence_encoder = TextEncoder()
        self._text_projection = text_projection
        self._class_vector = lru_cache(maxsize=2048)(self._sentence)
        # Juice names a class by its first synonym. Two names stand for two classes of ImageNet each
        # (crane, maillot); the synonyms are those of the first.
        self._label = {_first_synonym(label): label for label in reversed(backbone.layout.labels)}
        self.model_id = model_id
        self.dim = dim
        self._no_picture = Encoded(np.zeros(dim, np.float32), Juice())

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """Encode items of a catalog.

        Args:
            pictures: RGB, uint8 (h, w, 3), any size from 8 × 8; None where there is none. An
                item that this encoder has encoded (no query) stands for its own picture, which is
                not encoded again; the result has the same bytes as if it were.
            texts: title and description; None or "" where there are none.
            categories: category paths, root first; their leaf is read with the text.

        Raises:
            PictureError: a picture is no uint8 (h, w, 3), or smaller than 8 × 8.
        """
        paths = categories if categories is not None else [()] * len(texts)
        encoded = self._encode_pictures(pictures)
        items = []
        for picture, text, path in zip(encoded, texts, paths, strict=True):
            sentence, part = self._encode_text(_append_leaf(text or "", path))
            juice = self._add_text(picture.juice, text or "", sentence)
            items.append(Encoded(replace_text(picture.vector, part), juice))
        return items

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        """Encode shoppers' queries for a catalog whose `part_weights` these are.

        Args:
            pictures: as for `encode_items`.
            texts: a query's words; None or "" where there are none.
            weights: how much the parts of a query count against each other.

        Raises:
            PictureError: a picture is no uint8 (h, w, 3), or smaller than 8 × 8.
            TextError: a query has neither a picture nor a word.
        """
        encoded = self._encode_pictures(pictures)
        queries = []
        for picture, text in zip(encoded, texts, strict=True):
            sentence, part = self._encode_text(text or "")
            vector = query_for_item(picture.vector, part, weights)
            juice = self._add_text(picture.juice, text or "", sentence)
            queries.append(Encoded(vector, juice, weights))
        return queries

    def part_weights(self, items: Floats) -> PartWeights:
        """How much the parts of a query count in a catalog.

        Identity counts as far as the catalog's products are near those that the encoder was trained
        on (`models.embedding.identity_library`). ``items`` are the vectors (n, dim) of some or all
        of its items.
        """
        library = self._projection.library
        share = 0.0 if library is None else library.identity_weight(items)
        return PartWeights.with_identity(share)

    def _encode_pictures(self, pictures: Sequence[Picture | Encoded | None]) -> list[Encoded]:
        """Items of the pictures alone; those that are encoded already come back as they are."""
        fresh = [one for one in pictures if isinstance(one, np.ndarray)]
        features = map(
            self._encode_picture, extract_features(fresh, self._backbone, self._spec.size)
        )
        return [
            next(features) if isinstance(picture, np.ndarray) else picture or self._no_picture
            for picture in pictures
        ]

    def _encode_picture(self, features: PictureFeatures) -> Encoded:
        vector = compose_item(self._projection.project(features), None, dim=self.dim)
        return Encoded(vector, self._make_juice(features))

    def _encode_text(self, text: str) -> tuple[Floats, Floats | None]:
        """The sentence (384,), zeros without a word, and the text's part of the vector (127,)."""
        sentence = self._sentence(text)
        return sentence, self._text_projection.project(text, sentence) if sentence.any() else None

    def _add_text(self, juice: Juice, text: str, sentence: Floats) -> Juice:
        """A picture's juice with this text in place of any that it had.

        Pictures encoded now and pictures encoded before both pass here, so that both give the same
        bytes.
        """
        has_words = bool(sentence.any())

        def fits(label: str) -> bool:
            return not has_words or float(self._class_vector(label) @ sentence) >= MIN_AGREEMENT

        classes = [(self._label.get(name, name), share) for name, share in juice.classes]
        return msgspec.structs.replace(
            juice,
            caption=enrich_caption(text, classes, fits),
            text_matrix=Int8Matrix.pack(sentence[None]) if has_words else EMPTY,
        )

    def _make_juice(self, features: PictureFeatures) -> Juice:
        layout = self._backbone.layout
        tokens = self._projection.patch_tokens(features)
        kept = select_patches(tokens, features.saliency, TOKENS)
        rest = features.saliency.copy()
        rest[kept] = 0
        fused = unit(rest @ tokens)
        classes = classify(features.pooled[-1], layout)
        return Juice(
            grid=layout.grid,
            kept=tuple(int(patch) for patch in kept),
            saliency=np.rint(features.saliency * 255).astype(np.uint8).tobytes(),
            box=crop_box(kept, layout.grid, features.frame),
            classes=tuple((_first_synonym(label), round(share, 4)) for label, share in classes),
            token_matrix=Int8Matrix.pack(np.vstack([tokens[kept], fused])),
            colour_matrix=Int8Matrix.pack(features.colour[None]),
        )

    def _sentence(self, text: str) -> Floats:
        vector: Floats = self._sentence_encoder.encode([text])[0]
        return vector


def load_encoder(
    device: str = "auto",
    backbone: str = "lite2",
    threads: int | None = None,
    projection: Path | None = None,
    dim: int = DIM,
) -> Encoder:
    """Load the encoder: "lite2" (default), "lite0" (faster) or a ``TIMM_NAME:SIZE:PATH``.

    ``projection`` is a file that ``lookstream train embedding`` wrote; the packaged one otherwise.
    ``device`` is "cpu", "cuda", or "auto": CUDA where a device is there. ``threads`` serve one
    picture on the CPU (all cores by default, at most 4); results do not depend on it. ``dim`` is
    how long the vectors are: 64, 128, 256, 512 or 768. A network that is
    not packaged is exported to ONNX on its first use, which needs torch and takes seconds.

    Raises:
        WeightsError: weights are missing or changed; the message names the package.
        ProjectionError: no projection, or one of another backbone.
    """
    spec, path = _files(backbone, projection)
    network = load_backbone(
        spec,
        device=best_device() if device == "auto" else device,
        threads=threads or min(4, len(os.sched_getaffinity(0))),
    )
    maps = load_projection(path, network.layout.widths)
    words = load_text_projection()
    return Encoder(spec, network, maps, words, encoder_id(backbone, projection, dim), dim)


def encoder_id(backbone: str = "lite2", projection: Path | None = None, dim: int = DIM) -> str:
    """The model id of what `load_encoder` loads; the files are only hashed, in milliseconds.

    Raises:
        WeightsError, ProjectionError: as `load_encoder` does for files that are not there.
    """
    spec, path = _files(backbone, projection)
    if not path.is_file():
        raise ProjectionError(f"there is no encoder's file {path} (models.projection)")
    parts = (
        RULES_VERSION,
        spec.fingerprint(),
        sha256_of(path),
        sha256_of(PACKAGED_TEXT),
        MINILM.sha256,
    )
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]
    return f"{backbone.partition(':')[0]}-minilm-{dim}-{digest}"


def same_weights(one: str, other: str) -> bool:
    """Whether two model ids are of one encoder, up to how long its vectors are."""
    return _without_length(one) == _without_length(other)


def _without_length(model_id: str) -> list[str]:
    """The parts of NETWORK-TEXT-DIM-DIGEST but the third; of another id, all of it."""
    parts = model_id.rsplit("-", 3)
    return [*parts[:2], parts[3]] if len(parts) == 4 and parts[2].isdecimal() else [model_id]


def _files(backbone: str, projection: Path | None) -> tuple[BackboneSpec, Path]:
    """The network, with its identity branch if the encoder's file has one, and that file."""
    spec, path = named_backbone(backbone), projection or packaged_weights(backbone)
    return (replace(spec, identity_branch=path) if has_identity_branch(path) else spec), path


def packaged_weights(backbone: str) -> Path:
    """Where the packaged encoder's file for a backbone is; there may be none."""
    return WEIGHTS / f"{backbone.partition(':')[0]}.safetensors"


def best_device() -> str:
    """ "cuda" where there is a CUDA device, else "cpu"."""
    if not Path("/dev/nvidiactl").exists() or find_spec("torch") is None:
        return "cpu"
    torch = import_module("torch")  # by name: serving on the CPU never needs it
    return "cuda" if torch.cuda.is_available() else "cpu"


def _first_synonym(label: str) -> str:
    """The first synonym of a class's label, its name in the juice."""
    return label.split(",", maxsplit=1)[0]


def _append_leaf(text: str, path: Sequence[str]) -> str:
    """The text and the leaf category, unless the text names it already."""
    if not path or stems(path[-1]) <= stems(text):
        return text
    return f"{text}. {path[-1]}" if text else path[-1]
