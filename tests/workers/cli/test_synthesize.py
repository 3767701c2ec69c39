"""`lookstream studio`, from the command line."""

from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from models.catalog.folder import read_catalog
from models.errors import SyntheticError
from models.synthetic.scene import Renderer
from tests.needs import load_triton
from workers.cli.synthesize import studio

app = typer.Typer()
app.command()(studio)


@pytest.mark.slow
def test_a_catalog_is_rendered_and_reported(tmp_path: Path) -> None:
    load_triton()
    try:
        Renderer(32).close()
    except SyntheticError as error:
        pytest.skip(str(error))
    options = ["--products", "2", "--photos", "1", "--size", "32", "--processes", "1", "--json"]
    options = [str(tmp_path / "s"), *options, "--shares", "test=1", "--without", "all"]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout.splitlines()[-1])
    assert done.stderr.startswith("rendering\n")
    assert "rendering: 4 in " in done.stderr
    assert (report["products"], report["rendered"], report["splits"]) == (2, 4, {"test": 2})
    catalog = read_catalog(tmp_path / "s")
    assert len(catalog.split("test")) == 2
    assert b'"corruptions":{}' in (tmp_path / "s/photos.jsonl").read_bytes()
    again = CliRunner().invoke(app, [*options, "--quiet"])
    assert again.exit_code == 0, again.output
    assert "rendering" not in again.stderr


@pytest.mark.parametrize("wrong", [["--without", "rain"], ["--shares", "train"]])
def test_impossible_options_are_errors(tmp_path: Path, wrong: list[str]) -> None:
    done = CliRunner().invoke(app, [str(tmp_path / "s"), "--products", "1", *wrong])
    assert done.exit_code == 2
    assert not (tmp_path / "s").exists()
