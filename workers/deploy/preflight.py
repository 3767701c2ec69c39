"""Checks before anything starts: the data folder and the ports, each named with its setting."""

from __future__ import annotations

import errno
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.config.sections import EMBEDDED
from workers.config.settings import Settings
from workers.deploy.port_holder import port_holder
from workers.errors import StackError


@dataclass(frozen=True)
class Port:
    """A port of loopback that a process of ours is to open, and the setting that says so."""

    setting: str
    number: int

    def __str__(self) -> str:
        return f"{self.setting} (port {self.number})"


def check_setup(settings: Settings, workers: Sequence[str]) -> None:
    """Raise unless the embedded services and these workers can start here.

    Raises:
        StackError: everything that is in the way, a line each, with the setting to change.
    """
    _check_ports([*_embedded_ports(settings), *_ports(settings, workers)])


def check_worker(settings: Settings, worker: str) -> None:
    """Raise `StackError` unless this worker, started by itself, can run here."""
    if worker == "ingest":  # the others write nothing there
        check_data_dir(settings.data_dir)
    _check_ports(list(_ports(settings, [worker])))


def check_data_dir(folder: Path) -> None:
    """Make the folder if need be; raise `StackError` unless files can be written there."""
    way_out = "set data_dir (LOOKSTREAM_DATA_DIR) to a folder that you may write to"
    in_the_way = next((one for one in (folder, *folder.parents) if one.is_file()), None)
    if in_the_way:
        raise StackError(f"data_dir: {in_the_way} is a file: {way_out}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StackError(f"data_dir: cannot write in {folder}: {error.strerror}: {way_out}") from (
            error
        )


def port_problem(port: Port) -> str:
    """What keeps us from listening there; "" where nothing does."""
    variable = f"LOOKSTREAM_{port.setting.replace('.', '__').upper()}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections don't count
        try:
            probe.bind(("127.0.0.1", port.number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"{port}: {error.strerror}; choose another port ({variable})"
            holder = port_holder(port.number)
            return f"{port} is taken by {holder}: stop that, or choose another port ({variable})"
    return ""


def _check_ports(ports: Sequence[Port]) -> None:
    problems = [problem for problem in map(port_problem, ports) if problem] + _shared(ports)
    if problems:
        raise StackError("\n".join(problems))


def _embedded_ports(settings: Settings) -> Iterator[Port]:
    for setting, address in (
        ("kafka.bootstrap", settings.kafka.bootstrap),
        ("milvus.uri", settings.milvus.uri),
    ):
        if address.startswith(EMBEDDED):
            yield Port(setting, _port_of(setting, address))


def worker_port(settings: Settings, worker: str) -> Port:
    """Where a worker listens once it is ready; port 0 where it does not."""
    if worker == "web":
        return Port("web.port", settings.web.port)
    return Port(f"{worker}.metrics_port", getattr(settings, worker).metrics_port)


def _ports(settings: Settings, workers: Sequence[str]) -> Iterator[Port]:
    for worker in workers:
        if (port := worker_port(settings, worker)).number:
            yield port


def _shared(ports: Sequence[Port]) -> list[str]:
    """Ports that two settings name."""
    settings_of: dict[int, list[str]] = {}
    for port in ports:
        settings_of.setdefault(port.number, []).append(port.setting)
    return [
        f"{' and '.join(names)} are all port {number}: give each its own"
        for number, names in settings_of.items()
        if len(names) > 1
    ]


def _port_of(setting: str, address: str) -> int:
    number = address.rstrip("/").rpartition(":")[2]
    if not number.isdecimal() or not 0 < int(number) < 65536:
        raise StackError(f"{setting} is {address!r}: write it like {EMBEDDED}127.0.0.1:PORT")
    return int(number)
