"""A Milvus that asks who we are: with a token, behind TLS, with a certificate of ours."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from index.errors import MilvusUnavailable
from index.item import Item
from index.milvus.client import Client
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes.kmeans import build
from tests.index.conftest import unit_vectors
from tests.servers import ServerMissing
from tests.servers.certificates import make_certificates
from tests.servers.milvus import ROOT, milvus_server

VECTORS = unit_vectors(4)
BANK = build(VECTORS, "m", prototypes=1)


def works(config: MilvusConfig, name: str) -> bool:
    """Write a row and read it back."""
    with open_collection(config, BANK, name) as collection:
        collection.write([Item(item_id="i", product_id="p", prototype=0, vector=VECTORS[0])])
        found = collection.get(["p"])
        collection.drop_all()
    return [item.item_id for item in found] == ["i"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    try:
        make_certificates(directory)
    except ServerMissing as missing:
        pytest.skip(str(missing))
    return directory


@contextlib.contextmanager
def tls_in_front(port: int, certificates: Path, *, mutual: bool) -> Iterator[int]:
    """Ends TLS and passes the bytes on to `port`, as a gateway in front of Milvus does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    context.set_alpn_protocols(["h2"])
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates / "ca.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def connect(plain: socket.socket) -> None:
        # A client that we don't trust, or that does not trust us, ends here.
        with plain, contextlib.suppress(OSError):
            inside = socket.create_connection(("127.0.0.1", port))
            with inside, context.wrap_socket(plain, server_side=True) as outside:
                back = threading.Thread(target=pump, args=(inside, outside))
                back.start()
                pump(outside, inside)
                back.join()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=connect, args=(plain,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield int(listener.getsockname()[1])


# pymilvus shares connections to the same address, so those that must fail come first.


def test_tls(lite_config: MilvusConfig, certificates: Path, name: str) -> None:
    port = int(lite_config.uri.rpartition(":")[2])
    with tls_in_front(port, certificates, mutual=False) as secure:
        config = MilvusConfig(
            uri=f"https://127.0.0.1:{secure}",
            ca_file=str(certificates / "ca.pem"),
            token="user:hush",
            timeout_s=3,
        )
        for wrong in (
            msgspec.structs.replace(config, uri=f"http://127.0.0.1:{secure}"),
            msgspec.structs.replace(config, ca_file=None),
            msgspec.structs.replace(config, server_name="another.example"),
        ):
            with pytest.raises(MilvusUnavailable, match="does not answer"):
                works(wrong, name)
        assert works(config, name)


def test_a_client_certificate(lite_config: MilvusConfig, certificates: Path, name: str) -> None:
    port = int(lite_config.uri.rpartition(":")[2])
    with tls_in_front(port, certificates, mutual=True) as secure:
        config = MilvusConfig(
            uri=f"https://127.0.0.1:{secure}",
            ca_file=str(certificates / "ca.pem"),
            cert_file=str(certificates / "client.crt"),
            key_file=str(certificates / "client.key"),
            server_name="localhost",
            timeout_s=3,
        )
        with pytest.raises(MilvusUnavailable, match="does not answer"):
            works(msgspec.structs.replace(config, cert_file=None, key_file=None), name)
        assert works(config, name)


@pytest.mark.milvus
def test_a_token(name: str) -> None:
    try:
        with milvus_server(authorization=True) as uri:
            config = MilvusConfig(uri=uri, kind="server", consistency="Strong", token=ROOT)
            for wrong in (None, "root:wrong-one", "nobody:Milvus"):
                with pytest.raises(
                    MilvusUnavailable, match="needs a token or certificates"
                ) as caught:
                    works(msgspec.structs.replace(config, token=wrong), name)
                assert not wrong or wrong not in str(caught.value)
            assert works(config, name)
            client = Client(config)
            client.call("create_user", user_name="shop", password="hush-hush-1")
            client.close()
            shop = msgspec.structs.replace(config, token="shop:hush-hush-1")
            with pytest.raises(MilvusUnavailable, match=r"denies access .*permission deny to shop"):
                works(shop, name)
    except ServerMissing as missing:
        pytest.skip(str(missing))
