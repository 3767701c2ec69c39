"""The encoder: pictures and texts in, vectors and juice out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Protocol

import msgspec
import numpy as np

from models.arrays import Floats, unit
from models.embedding.identity_library import IdentityLibrary
from models.embedding.layout import (
    AS_COMPOSED,
    DIM,
    NO_PICTURE,
    PartWeights,
    PictureParts,
    appearance_block,
    compose_item,
    compose_query,
    picture_parts,
    query_for_item,
    query_for_words,
    replace_text,
    text_part,
)
from models.embedding.protocol import Encoded
from models.embedding.text_projection import TextProjection
from models.embedding.words_to_pictures import PROBES, measure
from models.images.letterbox import Picture
from models.juicer.caption import enrich_caption, stems
from models.juicer.closer_look import look_closer
from models.juicer.juice import Juice
from models.juicer.juicer import FeatureSource, PictureFeatures
from models.juicer.object_classes import classify
from models.juicer.objects import FoundObject
from models.juicer.packed_matrix import EMPTY, PackedMatrix
from models.juicer.saliency import select_patches
from models.text.vocabulary import Vocabulary

TOKENS = 16
"""K: patches kept as tokens; one fused token of all others follows them."""

MIN_AGREEMENT = 0.25
"""Cosine between a class's name and the item's words below which the class contradicts them."""

RULES_VERSION = "6"
"""Part of the model id: raise it when the code that makes vectors or juice changes them."""


ReadWords = Callable[[str], Floats]
"""A text as an appearance (k,) of length 1: where a picture of what it says would lie."""


class PictureProjection(Protocol):
    """From a picture's features to the parts of its vector, and to its tokens."""

    @property
    def library(self) -> IdentityLibrary | None:
        """The identities of training; None in an encoder without."""
        ...

    def project(self, picture: PictureFeatures) -> PictureParts:
        """The parts of the picture's vector."""
        ...

    def patch_tokens(self, picture: PictureFeatures) -> Floats:
        """One token (patches, at most 64) of length 1 per patch."""
        ...


class Encoder:
    """Encodes products and queries. The same input gives the same bytes in any batch.

    ``model_id`` names backbone, dimensions and a hash of every weight and of `RULES_VERSION`:
    vectors with different ids must never be compared (law 3). ``dim`` is the length of the vectors.
    ``replaces_text`` says that an encoded item can be given another text without its picture,
    ``has_parts`` that a query's parts can be weighed, ``reads_words`` that words are compared with
    pictures too, so that they find items without a text.
    """

    replaces_text = True
    has_parts = True

    def __init__(
        self,
        source: FeatureSource,
        projection: PictureProjection,
        text_projection: TextProjection,
        model_id: str,
        dim: int = DIM,
        read_words: ReadWords | None = None,
    ) -> None:
        self._source = source
        self._projection = projection
        self._read_words = read_words
        self.reads_words = read_words is not None
        self._sentence_encoder = text_projection.model.load()
        self._text_projection = text_projection
        self._class_vector = lru_cache(maxsize=2048)(self._sentence)
        # Juice names a class by its first synonym. Two names stand for two classes of ImageNet each
        # (crane, maillot); the synonyms are those of the first.
        labels = source.layout.labels if source.layout else ()
        self._label = {_first_synonym(label): label for label in reversed(labels)}
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
            if part is None or self._read_words is None or picture.juice.has_picture:
                vector = query_for_item(picture.vector, part, weights)
            else:
                vector = query_for_words(self._read_words(text or ""), part, weights, dim=self.dim)
            juice = self._add_text(picture.juice, text or "", sentence)
            queries.append(Encoded(vector, juice, weights))
        return queries

    def find_objects(self, picture: Picture) -> tuple[FoundObject, ...]:
        """The objects that a picture shows, at most eight, the surest first.

        Encodes the picture, and the surroundings of each object.

        Raises:
            PictureError: it is no uint8 (h, w, 3), or smaller than 8 × 8.
        """
        (features,) = self._source.features([picture])
        return look_closer(picture, features.products.objects, self._source)

    def part_weights(self, items: Floats) -> PartWeights:
        """How much the parts of a query count in a catalog.

        Identity counts as far as the catalog's products are near those that the encoder was trained
        on (`models.embedding.identity_library`), and words as `models.embedding.words_to_pictures`
        says. ``items`` are the vectors (n, dim) of some or all of its items.
        """
        library = self._projection.library
        share = 0.0 if library is None else library.identity_weight(items)
        weights = PartWeights.with_identity(share)
        if self._read_words is None or not len(items):
            return weights
        _, appearances, _ = picture_parts(items)
        words = measure(appearances, text_part(items), *self._probes)
        return replace(weights, words=words)

    def empty_vocabulary(self) -> Vocabulary:
        """What a catalog's words are added to: words that its text encoder takes for equal, are."""
        return Vocabulary(self._text_projection.model.normalise, self._sentence_encoder.knows)

    @cached_property
    def _probes(self) -> tuple[Floats, Floats]:
        """`PROBES` as appearances (m, k) and as texts (m, t), as long as in these vectors."""
        read = self._read_words
        words = [] if read is None else [read(probe) for probe in PROBES]
        sentences = [self._text_projection.project(one, self._sentence(one)) for one in PROBES]
        texts = [compose_query(NO_PICTURE, one, dim=self.dim) for one in sentences]
        return appearance_block(np.stack(words), self.dim), text_part(np.stack(texts))

    def _encode_pictures(self, pictures: Sequence[Picture | Encoded | None]) -> list[Encoded]:
        """Items of the pictures alone; those that are encoded already come back as they are."""
        fresh = [one for one in pictures if isinstance(one, np.ndarray)]
        features = map(self._encode_picture, self._source.features(fresh))
        return [
            next(features) if isinstance(picture, np.ndarray) else picture or self._no_picture
            for picture in pictures
        ]

    def _encode_picture(self, features: PictureFeatures) -> Encoded:
        vector = compose_item(self._projection.project(features), None, dim=self.dim)
        return Encoded(vector, self._make_juice(features))

    def _encode_text(self, text: str) -> tuple[Floats, Floats | None]:
        """The sentence vector, zeros without a word, and the text's part of the vector (127,)."""
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
        whole = msgspec.structs.replace(
            juice,
            caption=enrich_caption(text, classes, fits),
            text_matrix=PackedMatrix.pack(sentence[None]) if has_words else EMPTY,
        )
        return whole.cut_to_fit()

    def _make_juice(self, features: PictureFeatures) -> Juice:
        layout, grid = self._source.layout, self._source.grid
        tokens = self._projection.patch_tokens(features)
        kept = select_patches(tokens, features.saliency, TOKENS)
        rest = features.saliency.copy()
        rest[kept] = 0
        fused = unit(rest @ tokens)
        classes = classify(features.pooled[-1], layout) if layout else ()
        return Juice(
            grid=grid,
            kept=tuple(int(patch) for patch in kept),
            saliency=np.rint(features.products.share * 255).astype(np.uint8).tobytes(),
            box=features.products.box,
            classes=tuple((_first_synonym(label), round(share, 4)) for label, share in classes),
            token_matrix=PackedMatrix.pack_directions(np.vstack([tokens[kept], fused])),
            colour_matrix=PackedMatrix.pack(features.colour[None]),
        )

    def _sentence(self, text: str) -> Floats:
        vector: Floats = self._sentence_encoder.encode([text])[0]
        return vector


def _first_synonym(label: str) -> str:
    """The first synonym of a class's label, its name in the juice."""
    return label.split(",", maxsplit=1)[0]


def _append_leaf(text: str, path: Sequence[str]) -> str:
    """The text and the leaf category, unless the text names it already."""
    if not path or stems(path[-1]) <= stems(text):
        return text
    return f"{text}. {path[-1]}" if text else path[-1]
