#!/usr/bin/env python3
"""Cuts off what is behind the last byte that a program's segments have: the linker leaves a table there for
MIPS (.pdr, some 340,000 bytes) which no kernel reads, and the names of sections.

usage: openwrt/package/strip.py PROGRAM
"""

import struct
import sys
from pathlib import Path


def stripped(data):
    """The same program without section headers. Raises ValueError for what is no ELF program."""
    if data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
        raise ValueError("not an ELF program")
    order, wide = "<" if data[5] == 1 else ">", data[4] == 2
    word = "Q" if wide else "I"
    # e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx (ELF, "ELF Header")
    form = f"{order}{word}{word}IHHHHHH"
    at = 32 if wide else 28
    segments, _, flags, size, entry, count, _, _, _ = struct.unpack_from(form, data, at)
    # p_offset and p_filesz, of each segment.
    places = (8, 32) if wide else (4, 16)
    end = segments + entry * count
    for number in range(count):
        start = segments + entry * number
        offset, length = (struct.unpack_from(order + word, data, start + place)[0] for place in places)
        end = max(end, offset + length)
    if end > len(data):
        raise ValueError("a segment ends behind the file")
    head = bytearray(data[:end])
    struct.pack_into(form, head, at, segments, 0, flags, size, entry, count, 0, 0, 0)
    return bytes(head)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = Path(sys.argv[1])
    program.write_bytes(stripped(program.read_bytes()))
