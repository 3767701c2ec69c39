"""A catalog folder of small drawn pictures, and a network of random weights that reads them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from models.embedding.pca import PrincipalAxes

PRODUCTS = 70


def write_tiny_backbone(folder: Path) -> str:
    """A backbone with all the stages of a large one, random weights and small pictures."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = folder / "lite0.safetensors"
    save_file(timm.create_model("tf_efficientnet_lite0").state_dict(), path)
    return f"tf_efficientnet_lite0:64:{path}"


def write_shop(
    folder: Path, products: int = PRODUCTS, *, photos: bool = True, ground: int = 90
) -> Path:
    """Products of two colours on white, and a photo of each on another ground.

    Photos are of three splits in turn; one is of no known product.
    """
    random = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    shown: list[dict[str, object]] = []
    for number in range(products):
        colours = [tuple(int(v) for v in random.choice((0, 70, 140, 210), 3)) for _ in range(2)]
        for name, grey in ((f"{number}.png", 255), (f"{number}-photo.png", ground)):
            image = Image.new("RGB", (72, 64), (grey,) * 3)
            ImageDraw.Draw(image).rectangle((16, 12, 52, 34), fill=colours[0])
            ImageDraw.Draw(image).rectangle((16, 34, 52, 56), fill=colours[1])
            image.save(folder / name)
        kind = ["Toys", f"Kind {number % 5}"]
        product: dict[str, object] = {"product_id": f"p{number}", "image": f"{number}.png"}
        rows.append(product | {"category": kind})
        split = ("val", "test", "train", "train")[number % 4]
        shown.append({"image": f"{number}-photo.png", "product_id": f"p{number}", "split": split})
    shown[1] |= {"product_id": None, "split": "train"}
    (folder / "products.jsonl").write_text("\n".join(map(json.dumps, rows)))
    if photos:
        (folder / "photos.jsonl").write_text("\n".join(map(json.dumps, shown)))
    return folder


def write_weak_encoder(shop: Path, backbone: str, path: Path) -> Path:
    """An encoder's file by which all pictures look alike, so that any training makes it better."""
    from models.embedding.projection import save_projection
    from models.training.embedding.pca_init import fit_projection

    fitted = fit_projection([shop], backbone=backbone)
    appearance, colour = one_value(fitted.appearance), one_value(fitted.fine_colour)
    save_projection(replace(fitted, appearance=appearance, fine_colour=colour), path)
    return path


def one_value(axes: PrincipalAxes) -> PrincipalAxes:
    """Axes by which all pictures look alike."""
    matrix = np.zeros_like(axes.matrix)
    matrix[:, 0] = 1
    return replace(axes, matrix=matrix)
