"""The reference that the site is built with names every setting, message and command."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from stream.json_schema import MESSAGES
from tests.docs.names import all_commands
from tests.paths import ROOT
from workers.config.settings import Settings

pytest.importorskip("mkdocs", reason="the extra docs")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    path = ROOT / "docs" / "reference" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_is_there(generate: ModuleType) -> None:
    pages = generate.pages()
    for name in Settings.model_fields:
        assert f"`{name}`" in pages["settings"]
    assert "| `max_body_bytes` | integer (" in pages["settings"]
    assert "`LOOKSTREAM_INTAKE__S3__BUCKETS`" in pages["settings"]
    assert all(f"## `{name}`" in pages["messages"] for name in MESSAGES)
    assert all(f"## `lookstream {name}`" in pages["commands"] for name in all_commands())
    assert "### `wait_until_searchable`" in pages["python"]
