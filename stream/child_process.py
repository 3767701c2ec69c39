"""Child processes that never outlive their parent, even if that one is killed with SIGKILL.

On Linux the kernel does it (prctl PR_SET_PDEATHSIG). The child must ask for it itself, between
fork and exec; Python code there (`preexec_fn`) may deadlock in a threaded parent, so this file
itself is run as a small wrapper that asks, checks that the parent did not die meanwhile, and
executes the command. On other systems the wrapper only executes the command.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
SIGKILL = 9
ORPHANED = 72  # exit status: the parent was gone before the command could start


def python_module(name: str, *arguments: str) -> list[str]:
    """The command line of `python -m name arguments`, for a child process.

    With `-P` Python does not search the working directory for modules: started in a folder that
    has a `models.py` of its own, the child would import that instead of our package.
    """
    return [sys.executable, "-P", "-m", name, *arguments]


def spawn(
    argv: Sequence[str], *, log_path: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, with standard input closed.

    Output is appended to `log_path`, or discarded. `env` replaces the environment. The child is
    killed when the *thread* that called `spawn` ends (the kernel counts threads): call it from
    the main thread, or from one that lives as long as the child should.

    Raises `OSError` if the log cannot be opened; a command that does not exist ends the child
    with status 127 and a line in the log.
    """
    wrapper = [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]
    if log_path is None:
        return _popen(wrapper, subprocess.DEVNULL, env)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:  # the child keeps its own copy of the descriptor
        return _popen(wrapper, log, env)


def _popen(
    argv: list[str], output: int | IO[bytes], env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - argv is ours, and no shell reads it
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )


def stop(child: subprocess.Popen[bytes], grace_s: float = 5.0) -> int:
    """End the child: SIGTERM, then SIGKILL after `grace_s` seconds. Returns its exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def die_with(parent: int) -> None:
    """Have this process killed when `parent` ends (more exactly, the thread of it that forked)."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - slow to load, and needed only in the child

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != parent:  # it died before we asked: no signal will come
            sys.exit(ORPHANED)


def _execute(parent: int, argv: list[str]) -> None:
    """Tie this process to `parent`, then replace it by `argv`; returns only if that fails."""
    die_with(parent)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - replacing the process is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    _execute(int(sys.argv[1]), sys.argv[2:])
