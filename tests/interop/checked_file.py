"""Safetensors files with the checksum that the programs' own files carry (file_checksum.h)."""

import json
import struct

from safetensors.torch import save

DIGITS = "00000000"


def make_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = make_table()


def crc32c(data):
    """Castagnoli's (RFC 3720)."""
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


assert crc32c(b"123456789") == 0xe3069283


def save_checked(tensors, path, metadata):
    data = save(tensors)
    length, = struct.unpack("<Q", data[:8])
    header = {"__metadata__": {"crc32c": DIGITS, **metadata}, **json.loads(data[8:8 + length])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file = struct.pack("<Q", len(text)) + text + data[8 + length:]
    place = file.index(DIGITS.encode())
    path.write_bytes(file[:place] + b"%08x" % crc32c(file) + file[place + len(DIGITS):])
