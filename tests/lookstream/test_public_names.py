"""What `import lookstream` offers, what it costs, and what it says where a module hides ours."""

import subprocess
import sys
from pathlib import Path

import pytest

import lookstream
from tests.paths import ROOT

HEAVY = ("confluent_kafka", "index", "models", "msgspec", "numpy", "pydantic", "stream", "workers")


def python(code: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program as a user does: its folder is searched for modules before ours."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_public_names() -> None:
    assert lookstream.__all__ == [
        "AccessDenied",
        "AsyncClient",
        "BrokerError",
        "CatalogError",
        "Click",
        "Client",
        "ModelError",
        "OfferPatch",
        "PictureJuice",
        "ProductDelete",
        "ProductUpsert",
        "Query",
        "QueryError",
        "QueryImage",
        "RequestTimeout",
        "Result",
        "ResultItem",
        "SettingsError",
        "StreamError",
        "juice",
        "load_encoder",
        "load_reranker",
        "read_catalog",
    ]
    assert dir(lookstream) == lookstream.__all__


def test_every_public_name_is_there_and_has_a_docstring() -> None:
    for name in lookstream.__all__:
        assert getattr(lookstream, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = lookstream.Klient  # type: ignore[attr-defined]


def test_importing_it_imports_nothing_else(tmp_path: Path) -> None:
    code = (
        "import sys, time; began = time.process_time(); import lookstream\n"
        "print(time.process_time() - began, *sys.modules, sep='\\n')"
    )
    seconds, *modules = python(code, tmp_path).stdout.split()
    assert not set(HEAVY) & set(modules)
    assert float(seconds) < 0.1


def test_a_client_needs_no_model(tmp_path: Path) -> None:
    code = "import lookstream, sys; lookstream.Client; print(*sys.modules, sep='\\n')"
    modules = python(code, tmp_path).stdout.split()
    assert "lookstream.client" in modules
    assert not {"onnxruntime", "pymilvus", "faust", "torch", "models"} & set(modules)


def test_a_module_that_hides_ours_is_named(tmp_path: Path) -> None:
    own = tmp_path / "stream.py"
    own.write_text("")
    error = python("import lookstream; lookstream.Client", tmp_path).stderr.splitlines()[-1]
    assert error == (
        f"ImportError: {own} hides Lookstream's own package 'stream': rename it, or keep its "
        "folder off Python's search path (python -P)"
    )


def test_the_module_runs_the_command_line_beside_modules_of_our_names(tmp_path: Path) -> None:
    for name in ("models", "stream", "workers"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not ours')\n")
    done = subprocess.run(
        [sys.executable, "-m", "lookstream", "search"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "give a photo, --text, or both" in done.stderr
