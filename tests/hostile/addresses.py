"""Server-side request forgery: references to the worker's own machine, network or cloud.

None may lead to a connection. Most name a port of 127.0.0.1 that counts connections
(`tests.hostile.intakes.forbidden_port`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hostile.case import Case, refused

NOT_PUBLIC = "not a public address"
NOT_A_HOST = "no proper host name|not a URL|not an http"

# Hosts, and a pattern of the reason for which each is refused.
HOSTS: tuple[tuple[str, str], ...] = (
    *((host, NOT_PUBLIC) for host in ("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0")),
    *((host, NOT_PUBLIC) for host in ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1")),
    *((host, NOT_PUBLIC) for host in ("100.64.0.1", "100.100.100.200", "100.127.255.255")),
    *((host, NOT_PUBLIC) for host in ("169.254.169.254", "169.254.170.2", "169.254.0.1")),
    *((host, NOT_PUBLIC) for host in ("168.63.129.16", "192.0.0.192", "192.0.0.8")),
    *((host, NOT_PUBLIC) for host in ("192.0.2.1", "198.51.100.7", "203.0.113.9")),
    *((host, NOT_PUBLIC) for host in ("198.18.0.1", "192.88.99.1", "0.1.2.3")),
    *((host, NOT_PUBLIC) for host in ("224.0.0.1", "239.255.255.250", "240.0.0.1")),
    ("255.255.255.255", NOT_PUBLIC),
    ("[::1]", NOT_PUBLIC),
    ("[::]", NOT_PUBLIC),
    ("[0:0:0:0:0:0:0:1]", NOT_PUBLIC),
    ("[::ffff:127.0.0.1]", NOT_PUBLIC),
    ("[::ffff:7f00:1]", NOT_PUBLIC),
    ("[::ffff:169.254.169.254]", NOT_PUBLIC),
    ("[::127.0.0.1]", NOT_PUBLIC),  # IPv4-compatible, deprecated
    ("[64:ff9b::7f00:1]", NOT_PUBLIC),  # NAT64
    ("[64:ff9b::a9fe:a9fe]", NOT_PUBLIC),
    ("[64:ff9b:1::7f00:1]", NOT_PUBLIC),  # NAT64 of a local kind
    ("[2002:7f00:1::]", NOT_PUBLIC),  # 6to4
    ("[2002:a9fe:a9fe::]", NOT_PUBLIC),
    ("[2001:0:7f00:1::]", NOT_PUBLIC),  # Teredo
    ("[2001:0:53aa:64c:0:7a:80ff:fffe]", NOT_PUBLIC),
    ("[2001:470:1f0b::5efe:7f00:1]", NOT_PUBLIC),  # ISATAP
    ("[fe80::1]", NOT_PUBLIC),
    ("[fec0::1]", NOT_PUBLIC),
    ("[fc00::1]", NOT_PUBLIC),
    ("[fd00:ec2::254]", NOT_PUBLIC),  # metadata of AWS
    ("[fd20:ce::254]", NOT_PUBLIC),  # metadata of Google's cloud
    ("[ff02::1]", NOT_PUBLIC),
    ("[2001:db8::1]", NOT_PUBLIC),
    ("[3fff::1]", NOT_PUBLIC),
    ("[5f00::1]", NOT_PUBLIC),
    ("[100::1]", NOT_PUBLIC),
    ("[fe80::1%25eth0]", NOT_A_HOST),
    ("[::1%25lo]", NOT_A_HOST),
    ("2130706433", NOT_A_HOST),  # decimal
    ("017700000001", NOT_A_HOST),  # octal
    ("0x7f000001", NOT_A_HOST),  # hexadecimal
    ("0x7f.0x0.0x0.0x1", NOT_A_HOST),
    ("0177.0.0.1", NOT_A_HOST),
    ("127.1", NOT_A_HOST),
    ("127.0.1", NOT_A_HOST),
    ("0", NOT_A_HOST),
    ("127.0.0.1.", NOT_A_HOST),
    ("00127.0.0.1", NOT_A_HOST),
    ("256.256.256.256", NOT_A_HOST),
    ("4294967297", NOT_A_HOST),
    ("%31%32%37.0.0.1", NOT_A_HOST),
    ("127%2e0%2e0%2e1", NOT_A_HOST),
    ("127。0。0。1", NOT_A_HOST + "|" + NOT_PUBLIC),
    ("①②⑦.⓪.⓪.①", NOT_A_HOST),
    ("１２７.0.0.1", NOT_A_HOST),
    ("xn--a", NOT_A_HOST + "|has no address"),
    ("a..b", NOT_A_HOST),
    ("-a.example", NOT_A_HOST),
    ("a b.example", NOT_A_HOST),
    ("a" * 64 + ".example", NOT_A_HOST),
    ("a." * 127 + "example", NOT_A_HOST),
    ("a\nb", NOT_A_HOST),
    ("a\0b", NOT_A_HOST),
    ("[::1", NOT_A_HOST),
    ("[]", NOT_A_HOST),
    ("", NOT_A_HOST),
    ("localhost", NOT_PUBLIC),
    ("LOCALHOST", NOT_PUBLIC),
    # Names that `lookup` resolves.
    ("loopback.test", NOT_PUBLIC),
    ("loopback6.test", NOT_PUBLIC),
    ("metadata.google.internal", NOT_PUBLIC),
    ("public-and-private.test", NOT_PUBLIC),
    ("private-and-public.test", NOT_PUBLIC),
    ("mapped.test", NOT_PUBLIC),
    ("scoped.test", NOT_PUBLIC),
    ("unknown.test", "has no address"),
)

NAMES: dict[str, list[str]] = {
    "localhost": ["127.0.0.1", "::1"],
    "loopback.test": ["127.0.0.1"],
    "loopback6.test": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "public-and-private.test": ["93.184.216.34", "127.0.0.1"],
    "private-and-public.test": ["10.0.0.7", "93.184.216.34"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "scoped.test": ["fe80::1%lo"],
}


def addresses(port: int) -> Iterator[Case]:
    """URLs of every such host with this port, and other ways to disguise one."""
    for host, reason in HOSTS:
        for scheme in ("http", "https"):
            url = f"{scheme}://{host}:{port}/a.png"
            yield Case(f"{scheme} to {host!r:.60}", url, refused(reason))
    here = f"127.0.0.1:{port}"
    for url, reason in (
        (f"http://shop.example@{here}/a.png", "user name or password"),
        (f"http://shop.example:80@{here}/a.png", "user name or password"),
        (f"http://{here}#@shop.example/a.png", NOT_PUBLIC),
        (f"http://{here}\\@shop.example/a.png", "."),
        (f"http://shop.example\\@{here}/a.png", "."),
        (f"http:\\\\{here}\\a.png", "."),
        (f"http:/{here}/a.png", "intake.roots"),
        (f"http:///{here}/a.png", NOT_A_HOST),
        (f"//{here}/a.png", "intake.roots"),
        (f"HtTp://{here}/a.png", NOT_PUBLIC),
        (f" http://{here}/a.png", "not a kind of picture reference"),
        (f"http://{here}/a.png\r\nHost: shop.example", "not a URL"),
        ("http://shop.example:0/a.png", "no proper port"),
        ("http://shop.example:99999/a.png", "no proper port|not a URL"),
        ("http://shop.example:-1/a.png", "not a URL|no proper port"),
        ("http://shop.example:port/a.png", "not a URL"),
        ("http://93.184.216.34:22/", "port 22"),
        ("http://93.184.216.34:6379/", "port 6379"),
        ("http://[2606:2800:220:1:248:1893:25c8:1946]:25/", "port 25"),
        ("http://" + "a/" * 40_000, "not a URL"),
    ):
        yield Case(f"address {url!r:.60}", url, refused(reason))


def other_references(folder: Path) -> Iterator[Case]:
    """References that are neither an allowed file nor an allowed URL.

    `folder` is not below any of the allowed roots; links are made in it.
    """
    folder.mkdir(exist_ok=True)
    (folder / "link.png").symlink_to("/etc/passwd")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    for reference, reason in (
        *((f"{scheme}://shop.example/a.png", "not a kind of picture") for scheme in SCHEMES),
        ("/etc/passwd", "intake.roots"),
        ("file:///etc/passwd", "intake.roots"),
        ("file://localhost/etc/passwd", "intake.roots"),
        ("file://10.0.0.1/share/a.png", "another machine"),
        ("FILE:///proc/self/environ", "intake.roots"),
        ("file:///%65tc/passwd", "intake.roots"),
        ("/proc/self/mem", "intake.roots"),
        ("/dev/zero", "intake.roots"),
        ("/dev/stdin", "intake.roots"),
        ("../../../../etc/passwd", "intake.roots"),
        (f"{folder}/link.png", "intake.roots"),
        (f"{folder}/circle.png", "intake.roots|can't be read"),
        (f"{folder}/../../etc/passwd", "intake.roots"),
        (str(folder), "intake.roots"),
        ("a\0b", "can't be read"),
        ("x" * 100_000, "can't be read|intake.roots"),
        ("\ud800.png", "can't be read|intake.roots"),
        ("", "intake.roots"),
        ("javascript:alert(1)", "intake.roots"),
        ("s3://private/a.png", "intake.s3.buckets"),
        ("s3://../a.png", "s3://BUCKET/KEY"),
        ("s3://Bucket_/a.png", "s3://BUCKET/KEY"),
        ("s3://bucket", "s3://BUCKET/KEY"),
        ("s3://127.0.0.1:9000/bucket/a.png", "s3://BUCKET/KEY|intake.s3.buckets"),
        ("data:", "no comma"),
        ("data:,", "is empty"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64,@@@@", "not valid base64"),
        ("data:image/png;base64,AAA", "not valid base64"),
        ("data:image/png;base64,AA\ud800A", "not text"),
        ("data:image/png;base64," + "A" * 27_000_000, "larger than 20 MB"),
        ("data:," + "%41" * 20_000_001, "larger than 20 MB"),
    ):
        yield Case(f"reference {reference[:60]!r}", reference, refused(reason))


SCHEMES = ("ftp", "gopher", "dict", "ldap", "tftp", "jar", "php", "ws", "git+ssh", "smb", "expect")


async def lookup(host: str, port: int) -> list[str]:
    """A resolver that knows NAMES and numeric addresses, and sends nothing."""
    if host in NAMES:
        return NAMES[host]
    if host.replace(".", "").isdigit() or ":" in host:
        return [host]
    raise OSError(f"{host} is not known")
