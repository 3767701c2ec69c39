"""Encoders that are known by one word.

Revisions and hashes are pinned: the same name gives the same vectors next year. Parameters are
counted on the class itself (`tests/models/hub/test_presets.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DINOV3_LICENCE = "DINOv3 License: commercial use is allowed, with conditions"


@dataclass(frozen=True)
class Preset:
    """An encoder of a hub.

    Attributes:
        name: the word.
        repo: OWNER/NAME on the hub.
        revision: the commit that is fetched.
        weights: the file with the weights.
        sha256: of that file, where it is publicly recorded; otherwise what the hub says of the
            pinned commit is believed.
        licence: of the weights, as the hub names it.
        gated: whether the licence has to be accepted on the hub first.
        kind: "two-tower" encodes pictures and texts into one space, "vision" pictures only, "mllm"
            is a vision-language model, which reads both together.
        library: whose class loads it.
        architecture: that class, or timm's or open_clip's name of the network, with timm's tag.
        parameters: of all that is in the file.
        picture_parameters: of what encodes a picture.
        dim: length of its vectors.
        size: side of the square input, in pixels; None where a picture keeps its proportions.
        languages: of texts; "" without a text tower.
        bytes_each: of a parameter in the file.
        note: what else to know before choosing it.
    """

    name: str
    repo: str
    revision: str
    licence: str
    kind: Literal["two-tower", "vision", "mllm"]
    library: Literal["transformers", "timm", "open_clip"]
    architecture: str
    parameters: int
    picture_parameters: int
    dim: int
    size: int | None
    languages: str = ""
    weights: str = "model.safetensors"
    sha256: str | None = None
    gated: bool = False
    bytes_each: int = 4
    note: str = ""


_PRESETS = (
    Preset(
        name="siglip2-base",
        repo="google/siglip2-base-patch16-224",
        revision="75de2d55ec2d0b4efc50b3e9ad70dba96a7b2fa2",
        sha256="612923381c76ec5a9bed335d1c48827e3f2e506ac31b044b63b2031fadee6a0b",
        licence="apache-2.0",
        kind="two-tower",
        library="transformers",
        architecture="SiglipModel",
        parameters=375_187_970,
        picture_parameters=92_884_224,
        dim=768,
        size=224,
        languages="about 100",
    ),
    Preset(
        name="siglip-multilingual",
        repo="google/siglip-base-patch16-256-multilingual",
        revision="8952a4eafcde3cb7ab46b1dd629b33f8784ca9c6",
        licence="apache-2.0",
        kind="two-tower",
        library="transformers",
        architecture="SiglipModel",
        parameters=370_626_050,
        picture_parameters=92_930_304,
        dim=768,
        size=256,
        languages="about 100",
    ),
    Preset(
        name="fashion-clip",
        repo="patrickjohncyh/fashion-clip",
        revision="7e3ba62ce16b379a1ab479346b66f192e76f51b7",
        licence="mit",
        kind="two-tower",
        library="transformers",
        architecture="CLIPModel",
        parameters=151_277_313,
        picture_parameters=87_849_216,
        dim=512,
        size=224,
        languages="English",
        note="trained on clothes, shoes and accessories",
    ),
    Preset(
        name="mobileclip2-s0",
        repo="timm/MobileCLIP2-S0-OpenCLIP",
        revision="095906d28bf54d7584dc411e8ffe448f34289e05",
        weights="open_clip_model.safetensors",
        sha256="ab91a1a0c4330d6b1913e24d5035dfdea15423316aaec649610c6b1c6ddd0e95",
        licence="apple-amlr",
        kind="two-tower",
        library="open_clip",
        architecture="MobileCLIP2-S0",
        parameters=74_835_073,
        picture_parameters=11_406_976,
        dim=512,
        size=256,
        languages="English",
        note="the licence allows research only",
    ),
    Preset(
        name="dinov2-small",
        repo="facebook/dinov2-small",
        revision="ed25f3a31f01632728cabb09d1542f84ab7b0056",
        licence="apache-2.0",
        kind="vision",
        library="transformers",
        architecture="Dinov2Model",
        parameters=22_056_576,
        picture_parameters=22_056_576,
        dim=384,
        size=224,
    ),
    Preset(
        name="dinov3-small",
        repo="facebook/dinov3-vits16-pretrain-lvd1689m",
        revision="114c1379950215c8b35dfcd4e90a5c251dde0d32",
        sha256="4610ad75edef83e75afdebf162d148dc628045ea6cbb83d67d4708c709c4f91d",
        licence="dinov3-license",
        gated=True,
        kind="vision",
        library="transformers",
        architecture="DINOv3ViTModel",
        parameters=21_596_544,
        picture_parameters=21_596_544,
        dim=384,
        size=224,
        note=DINOV3_LICENCE,
    ),
    Preset(
        name="dinov3-small-timm",
        repo="timm/vit_small_patch16_dinov3.lvd1689m",
        revision="3bf4720a82ec2066db88137180ff1f83a675cef0",
        sha256="2a1ec16ae28ffa07bc0ead0241ee7df9fc26451fe6f9f839b7b3afa0a906b040",
        licence="dinov3-license",
        kind="vision",
        library="timm",
        architecture="vit_small_patch16_dinov3.lvd1689m",
        parameters=21_586_944,
        picture_parameters=21_586_944,
        dim=384,
        size=256,
        note=f"dinov3-small for timm; {DINOV3_LICENCE}",
    ),
    Preset(
        name="mobilenetv4-medium",
        repo="timm/mobilenetv4_conv_medium.e500_r256_in1k",
        revision="ad66898c045c1b5223ea3f2c0830b74cf2e75bac",
        licence="apache-2.0",
        kind="vision",
        library="timm",
        architecture="mobilenetv4_conv_medium.e500_r256_in1k",
        parameters=9_715_512,
        picture_parameters=8_434_512,
        dim=1280,
        size=256,
    ),
    Preset(
        name="convnext-tiny",
        repo="timm/convnext_tiny.in12k_ft_in1k",
        revision="aa096f03029c7f0ec052013f64c819b34f8ad790",
        sha256="a1aefa409b513cf209b085424eb3efffe4e4a9f511491bc2c12ea35209e6bb95",
        licence="apache-2.0",
        kind="vision",
        library="timm",
        architecture="convnext_tiny.in12k_ft_in1k",
        parameters=28_589_128,
        picture_parameters=27_820_128,
        dim=768,
        size=224,
    ),
    Preset(
        name="qwen3-vl-embedding-2b",
        repo="Qwen/Qwen3-VL-Embedding-2B",
        revision="9f2f7e710d6d81056aa5c0a4f04764fec6bb7bda",
        sha256="c73fa9caeddeb3ff831d46c085a7a5708343248ca777e90f2d486964464509c1",
        licence="apache-2.0",
        kind="mllm",
        library="transformers",
        architecture="Qwen3VLModel",
        parameters=2_127_532_032,
        picture_parameters=406_957_056,
        dim=2048,
        size=None,
        languages="more than 30",
        bytes_each=2,
        note="a vision-language model: needs lookstream[mllm], and a GPU to be quick",
    ),
)

PRESETS = {preset.name: preset for preset in _PRESETS}
