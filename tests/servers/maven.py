"""Jars from Maven Central for servers of tests, resolved once into `~/.cache/lookstream-tests`."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers import ServerMissing

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "lookstream-tests"


def resolve_jars(what: str, pom: str, jars: Path, **versions: str) -> None:
    """Have the jars that a pom of this folder names, with what they need, in the folder `jars`.

    Raises:
        ServerMissing: Java or Maven is missing, or Maven Central cannot be reached.
    """
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise ServerMissing(f"no {what}, {program} is missing: install Java 17 and Maven")
    if jars.exists():
        return
    draft = jars.with_name(f"{jars.name}.{os.getpid()}")
    maven = ["mvn", "-q", "-B", "-f", str(HERE / pom)]
    maven += [f"-D{name}.version={version}" for name, version in versions.items()]
    copying = ["dependency:copy-dependencies", f"-DoutputDirectory={draft}"]
    done = subprocess.run(
        [*maven, *copying, "-DincludeScope=runtime"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise ServerMissing(f"Maven cannot fetch {what}: {done.stdout[-500:]}")
    if not jars.exists():  # else another process was faster
        draft.replace(jars)
