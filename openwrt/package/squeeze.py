"""Deflate, as small as it gets: with zopfli where it is (openwrt/build.sh has it), else with zlib.
Whatever inflates the one inflates the other. The same bytes are squeezed once."""

import functools
import struct
import zlib

try:
    import zopfli.zlib as zopfli
except ImportError:
    zopfli = None

# Where one block of codes ends and the next begins is found for all of it, not for fifteen blocks at most.
BLOCKS = 0
# Tries; more of them take twice as long and save nothing worth it.
ITERATIONS = 5
# Below this it makes no difference that anyone would see.
WORTH_IT_BYTES = 4096


@functools.cache
def deflate(data):
    """A raw stream of its own."""
    if zopfli and len(data) >= WORTH_IT_BYTES:
        # Without what zlib puts around it.
        return zopfli.compress(data, numiterations=ITERATIONS, blocksplittingmax=BLOCKS)[2:-4]
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return stream.compress(data) + stream.flush()


def deflate_both(first, second):
    """One raw stream of `first` and `second`, of which the second may be shared with other packages."""
    # Ends at a whole byte, and is not the last block.
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return stream.compress(first) + stream.flush(zlib.Z_FULL_FLUSH) + deflate(second)


def gzip(data):
    """Without a name and a time."""
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return header + deflate(data) + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
