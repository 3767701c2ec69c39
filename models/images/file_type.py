"""File formats by their first bytes, whatever the file name or the server claims."""

from __future__ import annotations

import re

# What shops and phones send. Everything else Pillow could open is attack surface.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC")

_PICTURES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"BM"), "BMP"),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0\x08\0\0\0|MM\0\+\0\x08\0\0"), "TIFF"),
    (re.compile(rb"....ftyp(hei[cmsx]|hev[cmsx])", re.DOTALL), "HEIC"),
    # mif1 and msf1 mean only the container of both: the brands that follow say what is inside.
    (re.compile(rb"....ftyp(mif1|msf1)....(....){0,15}?(hei[cmsx]|hev[cmsx])", re.DOTALL), "HEIC"),
    (re.compile(rb"....ftyp(avi[fs]|mif1|msf1)", re.DOTALL), "AVIF"),
)

# What arrives in place of pictures, so that the error can name it. The first match counts.
_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"....ftyp", re.DOTALL), "a video"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "a JPEG XL picture"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 picture"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb"\0\0[\x01\x02]\0"), "an icon file"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "PostScript"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"\x1f\x8b|\xfd7zXZ\0|BZh|\x28\xb5\x2f\xfd"), "a compressed file"),
    (re.compile(rb"\x7fELF|MZ|\xcf\xfa\xed\xfe"), "a program"),
    (re.compile(rb"\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL), "a video"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml.*?)?<svg[\s>/]", re.DOTALL | re.I), "an SVG drawing"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", re.I), "an HTML page"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<\?xml", re.I), "an XML document"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*[\[{]\s*[\"\]}]"), "JSON"),
)
_HEAD = 1024
"""Bytes looked at; an SVG may begin with a comment or a licence."""


def sniff(data: bytes) -> str | None:
    """The format of a picture, one of FORMATS; None for everything else."""
    for pattern, name in _PICTURES:
        if pattern.match(data):
            return name
    return None


def describe(data: bytes) -> str:
    """What `data` is, when it is no picture: "an HTML page", or its first bytes in hex."""
    head = data[:_HEAD]
    for pattern, name in _OTHERS:
        if pattern.match(head):
            return name
    return f"{len(data)} bytes beginning {data[:8].hex(' ')}"
