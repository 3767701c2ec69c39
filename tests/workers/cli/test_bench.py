"""`lookstream bench`: benchmarks are listed without importing them, and say what they need."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.paths import ROOT
from workers.cli import app, bench
from workers.errors import SettingsError

LIST = """
import sys
from workers.cli import app
app(["bench"], standalone_mode=False)
assert not [name for name in sys.modules if name.partition(".")[0] in ("benchmarks", "tests")]
"""

Add = Callable[[str, str], None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Add:
    """Writes a benchmark into a package that is run in place of the real one."""
    package = f"benchmarks_of_{request.node.name}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bench, "PACKAGE", package)
    monkeypatch.setattr(sys, "argv", [])

    def write(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)

    return write


def run(*arguments: str) -> str:
    """What the command prints; its errors are raised."""
    result = CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_benchmarks_are_listed_without_importing_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules = (ROOT / "benchmarks").glob("[!_]*.py")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in modules)
    assert all(len(line.split()) > 3 for line in lines), "each has a summary"


def test_a_benchmark_gets_the_arguments_behind_its_name(add: Add) -> None:
    add("echo", "import sys\n\ndef main():\n    print(sys.argv)\n")
    assert "['lookstream bench echo', '--items', '5']" in run("echo", "--items", "5", "--json")


@pytest.mark.parametrize("lazily", [False, True])
def test_a_missing_package_is_named_with_the_extra_that_has_it(add: Add, *, lazily: bool) -> None:
    line = "import no_such_package.inside"
    add("needy", f"def main():\n    {line}\n" if lazily else f"{line}\n")
    with pytest.raises(SettingsError, match=r"needs no_such_package.*'lookstream\[bench\]'"):
        run("needy")
    assert "needy" in run()


def test_what_only_a_checkout_has_is_named(add: Add) -> None:
    add("needy", "import tests.no_such_module\n")
    with pytest.raises(SettingsError, match="only a checkout"):
        run("needy")


def test_a_missing_module_of_our_own_is_a_bug_and_keeps_its_traceback(add: Add) -> None:
    add("broken", "import workers.no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match=r"workers\.no_such_module"):
        run("broken")


def test_without_the_package_the_error_says_where_benchmarks_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "PACKAGE", "no_such_package")
    with pytest.raises(SettingsError, match="not installed: run `lookstream bench` in a checkout"):
        run()
