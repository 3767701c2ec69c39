"""Who listens at a port of this machine: Linux says it in `/proc`, elsewhere nobody is named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"
"""The state in `/proc/net/tcp`."""
MOST_CHARS = 100
"""Of a command line."""


def port_holder(port: int) -> str:
    """ "process 4711 (python server.py)"; "another program" where that cannot be known.

    The processes of other users show their sockets to root only.
    """
    sockets = _listening(port)
    for folder in sorted(PROC.glob("[0-9]*")) if sockets else ():
        with suppress(OSError):  # it ended, or belongs to another user
            if any(_link(one) in sockets for one in (folder / "fd").iterdir()):
                return process_name(int(folder.name))
    return "another program"


def process_name(pid: int) -> str:
    """ "process 4711 (python server.py)"."""
    command = ""
    with suppress(OSError):
        parts = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
        command = " ".join(parts.decode(errors="replace").split())
    if len(command) > MOST_CHARS:
        command = command[:MOST_CHARS] + " …"
    return f"process {pid}" + (f" ({command})" if command else "")


def _listening(port: int) -> set[str]:
    """The sockets that listen at the port, as links in `/proc/PID/fd` name them."""
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                address, state, inode = fields[1], fields[3], fields[9]
                if state == LISTEN and int(address.rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{inode}]")
    return found


def _link(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""
