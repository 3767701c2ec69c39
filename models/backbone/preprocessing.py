"""From a decoded picture to what a network of a Hugging Face folder was trained on.

The picture is resized, cropped and normalised as `preprocessor_config.json` says, with Pillow, the
library behind the processors of transformers and timm: the same bytes come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from PIL import Image

from models.arrays import Floats
from models.errors import WeightsError
from models.images.letterbox import Frame, Picture, check_picture

Channels = tuple[float, float, float]
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)
OPENAI_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Channels = (0.26862954, 0.26130258, 0.27577711)
CROPPED_BELOW = 384
"""Pixels from which ConvNeXt squashes a picture and cuts nothing off."""

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """How a picture becomes a network's input.

    Attributes:
        size: side of the square input, in pixels.
        resize: "squash" the picture to a square of `resized` pixels, or scale its "shortest" side
            to them.
        resized: in pixels; where it is more than ``size``, the middle is cut out.
        resample: Pillow's number of the filter.
        mean, std: of the channels, 0..1.
        rounding: of the margin that is cut off: transformers takes the "floor", timm the "nearest".
    """

    size: int
    resize: Literal["squash", "shortest"]
    resized: int
    resample: int
    mean: Channels
    std: Channels
    rounding: Literal["floor", "nearest"] = "floor"

    def canvas(self, picture: Picture) -> tuple[Picture, Frame]:
        """The resized and cropped picture, uint8 (s, s, 3), and the whole picture's rectangle.

        The rectangle reaches beyond the canvas where something was cut off.

        Raises:
            PictureError: it is no uint8 (h, w, 3), or smaller than 8 × 8.
        """
        check_picture(picture)
        height, width = picture.shape[:2]
        if self.resize == "squash":
            height = width = self.resized
        else:
            short, long = self.resized, int(self.resized * max(height, width) / min(height, width))
            height, width = (short, long) if height <= width else (long, short)
        scaled = Image.fromarray(picture).resize((width, height), Image.Resampling(self.resample))
        left, top = self._margin(width), self._margin(height)
        # Where the input is larger than the resized picture, Pillow fills the border with black.
        cut = scaled.crop((left, top, left + self.size, top + self.size))
        frame = Frame(
            -left / self.size,
            -top / self.size,
            (width - left) / self.size,
            (height - top) / self.size,
        )
        return np.asarray(cut), frame

    def normalise(self, canvas: Picture) -> Floats:
        """Bytes (s, s, 3) to the network's input, float32 (3, s, s)."""
        scaled = canvas.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        normed: Floats = (scaled - mean[:, None, None]) / std[:, None, None]
        return np.ascontiguousarray(normed)

    def _margin(self, side: int) -> int:
        margin = (side - self.size) / 2
        return math.floor(margin) if self.rounding == "floor" else round(margin)


def of_transformers(config: Mapping[str, Any]) -> Preprocessing:
    """What a `preprocessor_config.json` says.

    Raises:
        WeightsError: it asks for a step that is not known here.
    """
    if not config.get("do_resize", True) or config.get("do_pad"):
        raise WeightsError(
            "preprocessor_config.json has do_resize false or do_pad true; networks with an input "
            "of one fixed size are what can be used"
        )
    size, cropped = config.get("size", 224), bool(config.get("do_center_crop"))
    if isinstance(size, int):  # as old files have it
        size = {"shortest_edge": size} if cropped else {"height": size, "width": size}
    edge, side = size.get("shortest_edge"), size.get("height")
    if cropped:
        crop = config.get("crop_size", edge or side)
        side = crop if isinstance(crop, int) else crop.get("height")
        if not isinstance(crop, int) and crop.get("width") != side:
            raise WeightsError(f"preprocessor_config.json crops {dict(crop)}; known are squares")
    resize: Literal["squash", "shortest"] = "shortest"
    if edge and "crop_pct" in config:  # ConvNeXt's own rule
        side = edge
        if edge < CROPPED_BELOW:
            resized = int(edge / config["crop_pct"])
        else:
            resize, resized = "squash", edge
    elif edge and cropped and "longest_edge" not in size:
        resized = edge
    elif size.get("height") and size["height"] == size.get("width"):
        resize, resized = "squash", size["height"]
    else:
        raise WeightsError(
            f"preprocessor_config.json has the size {dict(size)} and do_center_crop {cropped}, "
            "which gives inputs of many shapes; networks with one fixed size are what can be used"
        )
    normalised = config.get("do_normalize", True)
    rescale = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    if not math.isclose(rescale, 1 / 255, rel_tol=1e-6):
        raise WeightsError(
            f"preprocessor_config.json rescales by {rescale}; only 1/255 is known here"
        )
    return Preprocessing(
        size=int(side),
        resize=resize,
        resized=int(resized),
        resample=int(config.get("resample", Image.Resampling.BILINEAR)),
        mean=_channels(config.get("image_mean", IMAGENET_MEAN) if normalised else (0, 0, 0)),
        std=_channels(config.get("image_std", IMAGENET_STD) if normalised else (1, 1, 1)),
    )


def of_timm(config: Mapping[str, Any]) -> Preprocessing:
    """What timm's `pretrained_cfg` says, for its evaluation transform.

    Raises:
        WeightsError: it asks for a step that is not known here.
    """
    _, height, width = config.get("input_size", (3, 224, 224))
    mode, interpolation = config.get("crop_mode") or "center", config.get("interpolation")
    if height != width or mode not in ("center", "squash"):
        raise WeightsError(
            f"pretrained_cfg has input_size {height} × {width} and crop_mode {mode!r}; known are "
            "squares, and the modes center and squash"
        )
    name = interpolation if interpolation in FILTERS else "bicubic"
    return Preprocessing(
        size=height,
        resize="squash" if mode == "squash" else "shortest",
        resized=math.floor(height / (config.get("crop_pct") or 0.875)),
        resample=int(FILTERS[name]),
        mean=_channels(config.get("mean") or IMAGENET_MEAN),
        std=_channels(config.get("std") or IMAGENET_STD),
        rounding="nearest",
    )


def of_open_clip(config: Mapping[str, Any]) -> Preprocessing:
    """What `open_clip_config.json` says, for open_clip's evaluation transform.

    Raises:
        WeightsError: it asks for a step that is not known here.
    """
    settings, pictures = config.get("preprocess_cfg") or {}, config["model_cfg"]["vision_cfg"]
    side, mode = pictures.get("image_size", 224), settings.get("resize_mode") or "shortest"
    if not isinstance(side, int) or mode not in {"shortest", "squash"}:
        raise WeightsError(
            f"open_clip_config.json has image_size {side} and resize_mode {mode!r}; known are "
            "squares, and the modes shortest and squash"
        )
    return Preprocessing(
        size=side,
        resize="squash" if mode == "squash" else "shortest",
        resized=side,
        resample=int(FILTERS.get(settings.get("interpolation", ""), FILTERS["bicubic"])),
        mean=_channels(settings.get("mean") or OPENAI_MEAN),
        std=_channels(settings.get("std") or OPENAI_STD),
        rounding="nearest",
    )


def _channels(values: Any) -> Channels:
    red, green, blue = (float(one) for one in values)
    return red, green, blue
