"""Teaching a backbone's head where products are: what `lookstream train juicer DIR` calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from models.arrays import Floats
from models.backbone.load import load_backbone
from models.backbone.protocol import Backbone
from models.backbone.spec import named_backbone
from models.catalog.folder import read_catalog
from models.errors import CatalogError
from models.images.files import open_picture
from models.images.letterbox import Picture, letterbox, normalise
from models.juicer.objects import overlap
from models.juicer.product_head import ProductHead
from models.progress import Phases, no_phases, of_phase
from models.synthetic.scene import Renderer
from models.training.juicer.fit import fit_head, parameters
from models.training.juicer.pictures import (
    SIDE,
    TaughtPicture,
    cut_out,
    pasted,
    rendered_photos,
    rendered_scenes,
)
from models.training.juicer.targets import targets_of
from models.weights.files import write_weights

EXAMINED = 0.05
"""Share of the pictures that are kept out of the fit, to judge it by."""

BACKGROUNDS = 400
LEAST_CUT_OUTS = 20


@dataclass(frozen=True)
class TaughtCounts:
    """How many pictures of each kind a head is taught on."""

    pasted: int = 2600
    scenes: int = 700
    photos: int = 600

    @property
    def all(self) -> int:
        """Of all kinds."""
        return self.pasted + self.scenes + self.photos

    def scaled_to(self, pictures: int) -> TaughtCounts:
        """So many in all, in the same shares."""
        scenes, photos = (round(one * pictures / self.all) for one in (self.scenes, self.photos))
        return TaughtCounts(pictures - scenes - photos, scenes, photos)


@dataclass(frozen=True, eq=False)
class TaughtHead:
    """A head, and what it was taught on and how well it does."""

    head: ProductHead
    card: dict[str, object]

    def save(self, path: Path) -> None:
        """Write the head (safetensors, fp16) and its card."""
        tensors = {name: row.astype(np.float16) for name, row in self.head.tensors.items()}
        write_weights(path, tensors, self.card)


def teach_head(
    folders: Sequence[Path],
    backbone: str,
    counts: TaughtCounts,
    *,
    passes: int = 12,
    seed: int = 0,
    progress: Phases = no_phases,
) -> TaughtHead:
    """Fit a head for a backbone.

    Args:
        folders: catalogs; products on plain backgrounds are cut out, photos of the split train are
            backgrounds.
        backbone: a name of `models.backbone.spec.named_backbone`.
        counts: of pictures.
        passes: over all of them.
        seed: of everything.
        progress: of the pictures encoded, and of steps.

    Raises:
        CatalogError: a folder cannot be read, or too few products have a plain background.
        SyntheticError: nothing can be rendered here.
        WeightsError: there is no such backbone.
    """
    spec = named_backbone(backbone)
    network = load_backbone(spec, threads=1)
    cutouts, backgrounds = _sources(folders)
    renderer = Renderer(SIDE)
    taught = chain(
        pasted(cutouts, backgrounds, seed + 5, range(counts.pasted)),
        rendered_scenes(renderer, seed + 103, range(counts.scenes)),
        rendered_photos(renderer, seed + 101, range(counts.photos)),
    )
    with_objects = (one for one in taught if one.boxes)
    advance = of_phase(progress, "making pictures and encoding them")
    targets, examined = [], []
    rng = np.random.default_rng(seed)
    for number, (one, depths) in enumerate(_encoded(with_objects, network, spec.size)):
        if rng.random() < EXAMINED:
            examined.append((one, depths))
        else:
            targets.append(targets_of(one, depths, spec.size, network.layout))
        advance(number + 1, counts.all)
    renderer.close()
    head = fit_head(
        targets,
        network.layout.grid,
        passes=passes,
        seed=seed,
        progress=of_phase(progress, "fitting"),
    )
    found = [_overlap(head, one, depths, spec.size, network) for one, depths in examined]
    return TaughtHead(
        head,
        {
            "backbone": backbone,
            "catalogs": [folder.name for folder in folders],
            "cut_outs": len(cutouts),
            "backgrounds": len(backgrounds),
            "pictures": len(targets),
            "parameters": parameters(head),
            "passes": passes,
            "seed": seed,
            "examined": len(examined),
            "box_iou": round(float(np.mean(found)), 4) if found else None,
        },
    )


def _sources(folders: Sequence[Path]) -> tuple[list[Image.Image], list[Picture]]:
    """Cut-out products, and backgrounds: photos of the split train and of no other."""
    cutouts: list[Image.Image] = []
    backgrounds: list[Picture] = []
    for folder in folders:
        catalog = read_catalog(folder)
        for product in catalog.products:
            if product.image and catalog.local_path(product.image):
                found = cut_out(open_picture(Path(catalog.locate(product.image))))
                if found is not None and min(found.size) > LEAST_CUT_OUTS:
                    cutouts.append(found)
        photos = [one for one in catalog.photos if one.split == "train"]
        step = -(-len(photos) * len(folders) // BACKGROUNDS) or 1
        backgrounds += [open_picture(Path(catalog.locate(one.image))) for one in photos[::step]]
    if len(cutouts) < LEAST_CUT_OUTS:
        raise CatalogError(
            f"only {len(cutouts)} products have a picture on a plain background; at least "
            f"{LEAST_CUT_OUTS} are needed to cut out"
        )
    return cutouts, backgrounds


def _encoded(
    pictures: Iterable[TaughtPicture], network: Backbone, size: int
) -> Iterator[tuple[TaughtPicture, list[Floats]]]:
    for one in pictures:
        canvas, _ = letterbox(one.picture, size)
        (rows,) = network.patches(normalise(canvas)[None])
        yield one, network.layout.depths(rows)


def _overlap(
    head: ProductHead, one: TaughtPicture, depths: list[Floats], size: int, network: Backbone
) -> float:
    """Of the surest box with the nearest object that counts whole."""
    _, frame = letterbox(one.picture, size)
    objects = head(depths, frame, network.layout.grid).objects
    products = [box for box, weight in zip(one.boxes, one.weights, strict=True) if weight == 1]
    if not objects:
        return 0.0
    return float(overlap(objects[0].box, np.array(products, np.float32)).max())
