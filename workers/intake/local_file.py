"""A picture in a file of this machine: only below one of `intake.roots`.

Each failure has a sentence of its own, for the operator. Whoever asked a query is not to learn them
(`workers.intake.reasons`): they tell which files this machine has.
"""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import unquote

from workers.config.sections import IntakeSettings
from workers.errors import FetchError
from workers.intake.limits import check_bytes
from workers.intake.ssrf_guard import redacted


def read_file(reference: str, settings: IntakeSettings) -> bytes:
    """The bytes of the file that a path or a file:// URI names, at most `settings.max_bytes`.

    Links are followed first: what counts is where the file lies.

    Raises:
        FetchError: outside the roots, missing, too large, no regular file, not readable, or empty.
    """
    what = subject = redacted(reference)
    try:
        path = Path(_path(reference)).resolve()
        if what != str(path):
            subject = f"{what} (which is {redacted(str(path))})"
        _check_root(path, subject, settings.roots)
        _check_regular(path, subject)
        with path.open("rb") as file:
            data = file.read(settings.max_bytes + 1)
    except PermissionError as error:
        raise FetchError(
            f"{what} can't be read: permission denied; let the user that the worker runs as read "
            "the file and its folders"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FetchError(
            f"{subject} is missing: there is no such file in the folder that intake.roots allows; "
            "put it there, or correct the reference"
        ) from error
    # RuntimeError: symbolic links in a loop. ValueError: no path can be like this.
    except (OSError, ValueError, RuntimeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or redacted(str(error))
        raise FetchError(f"{what} can't be read: {why}; correct the reference") from error
    return check_bytes(data, subject, settings.max_bytes)


def _path(reference: str) -> str:
    """The path itself, or that of file://HOST/PATH, HOST being this one."""
    _, named, rest = reference.partition("://")
    if not named:
        return reference
    host, _, path = rest.partition("/")
    if host.lower() not in ("", "localhost"):
        raise FetchError(f"file://{redacted(host)}/… names another machine; use file:///PATH")
    return unquote("/" + path)


def _check_root(path: Path, subject: str, roots: tuple[Path, ...]) -> None:
    """Raise outside the roots, before anything is asked about the file."""
    if not any(path.is_relative_to(root.resolve()) for root in roots):
        listed = ", ".join(map(str, roots)) or "none are set"
        raise FetchError(
            f"{subject} is outside the folders that intake.roots allows ({listed}): move the file "
            "into one of them, or add its folder to intake.roots"
        )


def _check_regular(path: Path, subject: str) -> None:
    """Raise for what is no regular file; opening a pipe would wait for ever."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FetchError(f"{subject} is a folder, not a file: name a picture in it")
    if not stat.S_ISREG(mode):
        raise FetchError(f"{subject} is a pipe, socket or device, not a file: name a picture")
