"""The headers of a request for a picture: ours, and what the settings have for its host.

A host's headers may hold a secret, so they go to its origin (scheme, host and port) alone: each hop
of a redirect gets those of its own.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from workers.config.sections import HEADER_VALUE, IntakeSettings
from workers.errors import SettingsError

Headers = list[tuple[bytes, bytes]]
DEFAULT_PORTS = {"http": 80, "https": 443}


def origin(url: httpx.URL) -> str:
    """The origin of an http(s) URL, SCHEME://HOST:PORT."""
    host = url.raw_host.decode("ascii").lower()
    host = f"[{host}]" if ":" in host else host.removesuffix(".")
    return f"{url.scheme}://{host}:{url.port or DEFAULT_PORTS[url.scheme]}"


class RequestHeaders:
    """Makes the headers of requests.

    Raises:
        SettingsError: a file of `intake.hosts` cannot be read, or holds no header's value.
    """

    def __init__(self, settings: IntakeSettings) -> None:
        self._settings = settings
        for host in settings.hosts.values():
            for path in host.header_files.values():
                _read(path)

    def of(self, url: httpx.URL) -> Headers:
        """The headers for this URL; files are read anew, since secrets change.

        Raises:
            SettingsError: as the class.
        """
        headers = {
            "accept": "image/*",
            "accept-encoding": "identity",
            "user-agent": self._settings.user_agent,
        }
        if (host := self._settings.hosts.get(origin(url))) is not None:
            for name, value in host.headers.items():
                headers[name.lower()] = value.get_secret_value()
            for name, path in host.header_files.items():
                headers[name.lower()] = _read(path)
        return [(b"host", url.netloc), *((n.encode(), v.encode()) for n, v in headers.items())]

    def parallel(self, host: str) -> int:
        """How many requests this origin gets at a time."""
        own = self._settings.hosts.get(host)
        return (own and own.parallel) or self._settings.per_host


def _read(path: Path) -> str:
    try:
        text = path.read_text("ascii").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise SettingsError(f"intake.hosts: header file {path} cannot be read: {why}") from None
    if not HEADER_VALUE.fullmatch(text):
        raise SettingsError(f"intake.hosts: header file {path} is not one line of text")
    return text
