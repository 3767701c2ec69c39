"""Compressed zeros, made without compressing them: one flushed block, repeated."""

import struct
import zlib

MEBIBYTE = 2**20


def zlib_zeros(mebibytes: int) -> bytes:
    """So many MiB of zeros as a zlib stream, about a thousandth as long."""
    size = mebibytes * MEBIBYTE
    checksum = size % 65521 << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + _deflated(mebibytes) + struct.pack(">I", checksum)


def gzip_zeros(mebibytes: int) -> bytes:
    """So many MiB of zeros as a gzip file, about a thousandth as long."""
    block, checksum = bytes(MEBIBYTE), 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(block, checksum)
    head = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return head + _deflated(mebibytes) + struct.pack("<II", checksum, mebibytes * MEBIBYTE)


def _deflated(mebibytes: int) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    # A full flush forgets what was before, so that every block has the same bytes.
    block = compressor.compress(bytes(MEBIBYTE)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return block * mebibytes + compressor.flush()
