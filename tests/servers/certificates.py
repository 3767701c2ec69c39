"""Temporary certificates for servers on loopback, by the `openssl` command."""

import shutil
import subprocess
from pathlib import Path

from tests.servers import ServerMissing

DAYS = 30


def make_certificates(directory: Path) -> None:
    """Write `ca.pem` and, signed by it, `server.*` and `client.*` into `directory`.

    Each of the two is a `.key`, a `.crt` and a `.pem` with both. The server's is for localhost
    and 127.0.0.1.

    Raises:
        ServerMissing: there is no openssl.
    """
    if not shutil.which("openssl"):
        raise ServerMissing("no openssl: install it to test TLS")
    authority = ["-subj", "/CN=lookstream-test-ca", "-keyout", "ca.key", "-out", "ca.pem"]
    _openssl(directory, "req", "-x509", *_new_key(), "-days", str(DAYS), *authority)
    (directory / "server.cnf").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    (directory / "client.cnf").write_text("extendedKeyUsage=clientAuth\n")
    for name in ("server", "client"):
        subject = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"]
        _openssl(directory, "req", *_new_key(), *subject)
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", str(DAYS)]
        files = ["-in", f"{name}.csr", "-extfile", f"{name}.cnf", "-out", f"{name}.crt"]
        _openssl(directory, "x509", "-req", *signing, *files)
        both = [(directory / f"{name}.{kind}").read_text() for kind in ("key", "crt")]
        (directory / f"{name}.pem").write_text("".join(both))


def _new_key() -> list[str]:
    return ["-newkey", "rsa:2048", "-nodes"]


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
