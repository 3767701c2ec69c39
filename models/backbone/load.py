"""Load a backbone for a device."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from models.backbone import tower_files
from models.backbone.exported import is_exported
from models.backbone.onnx import OnnxBackbone
from models.backbone.protocol import Backbone
from models.backbone.spec import BACKBONES, BackboneSpec
from models.backbone.tower import PictureTower, Tower
from models.cache import cache_folder
from models.errors import WeightsError
from models.hub.names import Variant, is_hub_name, plain_name, variant_of
from models.hub.resolve import local_folder

HUB_EXTRA = "pip install 'lookstream[hub]'"
"""What exporting a Hugging Face folder takes; serving it needs none of that."""

AS_IT_IS = Variant()


def load_backbone(spec: BackboneSpec, *, device: str = "cpu", threads: int = 2) -> Backbone:
    """Load a backbone for ``device``: "cpu" (ONNX Runtime) or "cuda" (torch).

    A network that was not exported yet is exported to the cache on its first use.

    Raises:
        WeightsError: no such device; weights are missing or don't fit; or torch is needed and is
            not installed.
    """
    if device == "cuda":
        backbone: Backbone = _torch_module("cuda", "CUDA").TorchBackbone(spec)
        return backbone
    if device != "cpu":
        raise WeightsError(f"unknown device {device!r}: use 'cpu' or 'cuda'")
    return OnnxBackbone(exported_folder(spec), spec.identity_branch, threads)


def exported_folder(spec: BackboneSpec) -> Path:
    """Where the exported network is; exports it if nobody has."""
    if spec.exported is not None:
        return spec.exported
    network = BackboneSpec(spec.timm_name, spec.weights, spec.size)  # whatever the identity branch
    folder = cache_folder() / f"{spec.timm_name}-{network.fingerprint()}"
    if not is_exported(folder):
        _torch_module("export", f"{spec.timm_name} is not exported to ONNX yet, which").export(
            network, folder
        )
    return folder


def network_folder(name: str, *, offline: bool = False) -> Path | None:
    """The Hugging Face folder that a backbone's name stands for; None for networks by timm's names.

    Args:
        name: a folder, or what `models.hub.resolve.local_folder` knows, which is fetched if it is
            not here.
        offline: fetch nothing.

    Raises:
        HubError: it cannot be fetched.
        WeightsError: a variant of a packaged network is wanted, and there is none.
    """
    if name not in BACKBONES and plain_name(name) in BACKBONES:
        raise WeightsError(f"{plain_name(name)} is served as it is: leave out {variant_of(name)}")
    if name in BACKBONES:
        return None
    if is_hub_name(name):
        return local_folder(name, offline=offline)
    folder = Path(plain_name(name))
    return folder if folder.is_dir() else None


def exported_towers(folder: Path) -> Path:
    """Where the exported network of a Hugging Face folder is; exports it if nobody has.

    A folder that holds an exported network already is its own.

    Raises:
        WeightsError: the folder cannot be used; or torch or transformers is needed and is not
            installed.
    """
    if tower_files.is_exported(folder):
        return folder
    if tower_files.is_vision_language(folder):
        raise WeightsError(
            f"{folder} holds a vision-language model, which only encodes catalogs and queries "
            "(models.backbone): name another network here"
        )
    to = cache_folder() / f"{folder.resolve().name}-{tower_files.fingerprint(folder)}"
    if not tower_files.is_exported(to):
        purpose = f"{folder} is not exported to ONNX yet, which"
        _check_exporter(folder, purpose)
        _torch_module("tower_export", purpose).export_towers(folder, to)
    return to


def picture_tower(
    folder: Path, exported: Path, device: str, threads: int, variant: Variant = AS_IT_IS
) -> Tower:
    """The picture tower of a folder on a device.

    Args:
        folder: of the network.
        exported: where `exported_towers` has it.
        device: "cpu" (ONNX Runtime) or "cuda" (torch, in bf16).
        threads: that serve one picture on the CPU.
        variant: of the network; weights of 8 bits are for the CPU alone.

    Raises:
        WeightsError: it cannot run there, or a package is missing.
    """
    if device != "cuda":
        return PictureTower(exported, threads, picture_graph(folder, exported, variant).name)
    if variant.int8 or folder == exported:
        why = "8 bits are" if variant.int8 else "an exported network is"
        raise WeightsError(f"{folder}: {why} for the CPU; set models.device to auto or cpu")
    size = tower_files.read_card(exported).preprocessing.size
    made = _torch_module("tower_cuda", "CUDA").TorchPictureTower
    tower: Tower = made(folder, size, fewer_tokens=variant.fewer_tokens)
    return tower


def picture_graph(folder: Path, exported: Path, variant: Variant = AS_IT_IS) -> Path:
    """The graph of an exported picture tower; that of a variant is made if nobody has.

    Raises:
        WeightsError: it cannot be made or written, or a package for that is not installed.
    """
    path = exported / tower_files.picture_graph(variant)
    if path.is_file() or variant == AS_IT_IS:
        return path
    if variant.int8:
        whole = picture_graph(folder, exported, Variant(variant.fewer_tokens))
        if find_spec("onnx") is None:
            raise WeightsError(
                f"the network in {exported} has no weights of 8 bits yet, and to make them needs "
                f"onnx: run `{HUB_EXTRA}`"
            )
        import_module("models.backbone.tower_int8").quantise(whole, path)
        return path
    if folder == exported:
        raise WeightsError(
            f"{folder} holds an exported network, which keeps all its tokens: leave out {variant}, "
            "or name the folder that it was exported from"
        )
    purpose = f"{folder} is not exported with {variant} yet, which"
    _check_exporter(folder, purpose)
    _torch_module("tower_export", purpose).export_fewer_tokens(folder, path, variant.fewer_tokens)
    return path


def _check_exporter(folder: Path, purpose: str) -> None:
    """Raise WeightsError where a package is missing that exports a folder."""
    libraries = ["open_clip"] if tower_files.is_open_clip(folder) else []
    for package in ("timm", "transformers", "onnxscript", *libraries):
        if find_spec(package) is None:
            raise WeightsError(f"{purpose} needs {package}: run `{HUB_EXTRA}`")


def _torch_module(name: str, purpose: str):  # type: ignore[no-untyped-def]
    """A module of this room that needs torch: imported by name, so that serving never does."""
    if find_spec("torch") is None:
        raise WeightsError(f"{purpose} needs torch: run `pip install 'lookstream[train]'`")
    return import_module(f"models.backbone.{name}")
