"""Downloads: the certificate's name, what is retried, nothing kept between pictures."""

import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpcore
import pytest

from tests.hostile.server import HostileServer, hostile_server
from tests.servers import ServerMissing
from tests.servers.certificates import make_certificates
from workers.config.sections import IntakeSettings
from workers.errors import FetchError
from workers.intake.http import HttpFetcher, open_http
from workers.intake.ssrf_guard import GuardedNetwork

SETTINGS = IntakeSettings.model_validate(
    {"allowed_networks": ["127.0.0.1/32"], "timeout_s": 1, "total_s": 3, "attempts": 3}
)


async def loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


class Shop(BaseHTTPRequestHandler):
    hosts: list[str]

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"picture")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    try:
        make_certificates(folder)
    except ServerMissing as missing:
        pytest.skip(str(missing))
    return folder


@pytest.fixture
def secure_shop(certificates: Path) -> Iterator[ThreadingHTTPServer]:
    """A server with a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("FreshShop", (Shop,), {"hosts": []}))
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@asynccontextmanager
async def client_trusting(authority: Path | None) -> AsyncIterator[HttpFetcher]:
    context = ssl.create_default_context(cafile=authority)
    guard = GuardedNetwork(SETTINGS, loopback)
    async with httpcore.AsyncConnectionPool(ssl_context=context, network_backend=guard) as pool:
        yield HttpFetcher(SETTINGS, pool)


async def test_the_certificate_must_be_for_the_name_not_the_address(
    secure_shop: ThreadingHTTPServer, certificates: Path
) -> None:
    port = secure_shop.server_port
    async with client_trusting(certificates / "ca.pem") as http:
        assert (await http.get(f"https://localhost:{port}/a.png")).data == b"picture"
        with pytest.raises(FetchError, match="certificate is not valid: Hostname mismatch"):
            await http.get(f"https://shop.test:{port}/a.png")
    assert Shop.__subclasses__()[-1].hosts == [f"localhost:{port}"]


async def test_a_certificate_of_nobody_is_refused_at_once(
    secure_shop: ThreadingHTTPServer,
) -> None:
    async with client_trusting(None) as http:
        with pytest.raises(FetchError, match="certificate is not valid") as refusal:
            await http.get(f"https://localhost:{secure_shop.server_port}/a.png")
    assert "tried" not in str(refusal.value)


@pytest.fixture
def hostile() -> Iterator[HostileServer]:
    with hostile_server(forbidden_port=9) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "times"),
    [
        ("404", 1),
        ("500", 3),
        ("to-file", 1),
        ("gzip-bomb", 1),
        ("announces-1TB", 1),
        ("slow-body", 1),
    ],
)
async def test_only_what_can_get_better_is_tried_again(
    hostile: HostileServer, path: str, times: int
) -> None:
    async with open_http(SETTINGS) as http:
        with pytest.raises(FetchError):
            await http.get(f"{hostile.url}/{path}")
    assert hostile.requests[path] == times


async def test_proxies_of_the_environment_are_not_used(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with open_http(SETTINGS) as http:
        assert await http.get(f"{hostile.url}/good")


async def test_secrets_in_a_query_stay_out_of_messages(hostile: HostileServer) -> None:
    async with open_http(SETTINGS) as http:
        with pytest.raises(FetchError) as refusal:
            await http.get(f"{hostile.url}/404?signature=secret")
    assert "secret" not in str(refusal.value)
