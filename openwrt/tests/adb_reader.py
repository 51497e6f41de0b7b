"""Reads apk's packages of version 3 for the tests: from apk-v3(5) alone, without what writes them,
and strictly. What is not exactly as it should be is an error that says where."""

import hashlib
import struct
import zlib
from dataclasses import dataclass

# Slots by number, as apk-tools has them.
INFO = {1: "name", 2: "version", 3: "unique-id", 4: "description", 5: "arch", 6: "license", 7: "origin",
        11: "build-time", 12: "installed-size", 15: "depends", 16: "provides"}
SCRIPT = {1: "trigger", 2: "pre-install", 3: "post-install", 4: "pre-deinstall", 5: "post-deinstall",
          6: "pre-upgrade", 7: "post-upgrade"}


@dataclass
class Member:
    path: str
    mode: int
    user: str
    group: str
    data: bytes = None  # None: a folder


class Malformed(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Malformed(what)


class Values:
    """The database of one ADB block."""

    def __init__(self, payload):
        check(len(payload) >= 16, "an ADB block of less than 16 bytes")
        check(payload[:4] == bytes(4), "a version of the format that is not 0")
        self.payload = payload
        self.root, = struct.unpack_from("<I", payload, 4)

    def at(self, offset, form):
        size = struct.calcsize(form)
        check(offset + size <= len(self.payload), f"a value at {offset} that ends behind the block")
        check(offset >= 8 and offset % min(size, 4) == 0, f"a value at {offset}, which is not where one may be")
        return struct.unpack_from(form, self.payload, offset)[0]

    def number(self, word):
        kind, rest = word >> 28, word & 0xFFFFFFF
        if kind == 1:
            return rest
        check(kind == 2, f"a number is expected, not {word:08x}")
        return self.at(rest, "<I")

    def blob_at(self, word):
        """Offset and length."""
        forms = {8: "<B", 9: "<H", 10: "<I"}
        kind, rest = word >> 28, word & 0xFFFFFFF
        if word == 0:
            return 0, 0
        check(kind in forms, f"bytes are expected, not {word:08x}")
        length, start = self.at(rest, forms[kind]), rest + struct.calcsize(forms[kind])
        check(start + length <= len(self.payload), f"bytes at {rest} that end behind the block")
        return start, length

    def blob(self, word):
        start, length = self.blob_at(word)
        return bytes(self.payload[start:start + length])

    def text(self, word):
        return self.blob(word).decode()

    def slots(self, word, kind):
        """Words from slot 1 on, of an array (13) or an object (14)."""
        if word == 0:
            return []
        check(word >> 28 == kind, f"type {kind} is expected, not {word:08x}")
        start = word & 0xFFFFFFF
        count = self.at(start, "<I")
        check(count >= 1, f"slots at {start} without their number")
        words = [self.at(start + 4 * index, "<I") for index in range(1, count)]
        check(not words or words[-1] != 0, f"slots at {start} that end in nothing")
        return words

    def array(self, word):
        return self.slots(word, 13)

    def object(self, word):
        return dict(enumerate(self.slots(word, 14), 1))


def blocks(plain):
    """(type, payload) of each block; padding is zero, and nothing follows the last one."""
    position = 8
    while position < len(plain):
        check(position % 8 == 0 and position + 4 <= len(plain), f"a block begins at {position}")
        word, = struct.unpack_from("<I", plain, position)
        kind, size = word >> 30, word & 0x3FFFFFFF
        end = position + size
        check(kind in (0, 1, 2) and size >= 4 and end <= len(plain), f"block {word:08x} at {position}")
        after = (end + 7) // 8 * 8
        check(plain[end:after] == bytes(after - end), f"padding at {end}")
        yield kind, plain[position + 4:end]
        position = after


class Package:
    """`info` and `scripts` by name, `members` by path."""

    def __init__(self, data):
        check(data[:4] == b"ADBd", "not a deflated ADB file")
        inflate = zlib.decompressobj(-15)
        plain = inflate.decompress(data[4:]) + inflate.flush()
        check(inflate.eof and not inflate.unused_data, "the deflated stream does not end where the file does")
        check(plain[:8] == b"ADB.pckg", "not a package")
        found = list(blocks(plain))
        check(found and found[0][0] == 0, "the first block is not the description")
        check(all(kind == 2 for kind, _ in found[1:]), "blocks other than files after the description")
        self.values = Values(found[0][1])
        root = self.values.object(self.values.root)
        self.read_info(root.get(1, 0))
        scripts = self.values.object(root.get(3, 0))
        self.scripts = {SCRIPT[slot]: self.values.text(word) for slot, word in scripts.items() if word}
        self.members = {}
        self.read_paths(root.get(2, 0), [payload for _, payload in found[1:]])

    def read_info(self, word):
        self.info = {}
        for slot, given in self.values.object(word).items():
            if not given:
                continue
            name = INFO[slot]
            if name in ("build-time", "installed-size"):
                self.info[name] = self.values.number(given)
            elif name in ("depends", "provides"):
                self.info[name] = [self.dependency(one) for one in self.values.array(given)]
            elif name == "unique-id":
                start, length = self.values.blob_at(given)
                check(length == 20, "a unique id that does not have 20 bytes")
                emptied = bytearray(self.values.payload)
                emptied[start:start + length] = bytes(length)
                check(hashlib.sha256(emptied).digest()[:20] == self.values.blob(given),
                      "the unique id is not the description's hash")
            else:
                self.info[name] = self.values.text(given)

    def dependency(self, word):
        slots = self.values.object(word)
        check(slots.get(3, 0) == 0, "a dependency on something other than one version")
        version = self.values.text(slots.get(2, 0))
        return self.values.text(slots[1]) + (f"={version}" if version else "")

    def access(self, word):
        slots = self.values.object(word)
        check(set(slots) == {1, 2, 3}, "an owner, a group or a mode is missing")
        return self.values.number(slots[1]), self.values.text(slots[2]), self.values.text(slots[3])

    def read_paths(self, word, content):
        listed = [self.values.object(folder) for folder in self.values.array(word)]
        names = [self.values.blob(folder.get(1, 0)) for folder in listed]
        check(names == sorted(set(names)), "folders are not in order")
        for number, (name, folder) in enumerate(zip(names, listed), 1):
            path = name.decode()
            self.members[path] = Member(path, *self.access(folder[2]))
            files = [self.values.object(file) for file in self.values.array(folder.get(3, 0))]
            own = [self.values.blob(file[1]) for file in files]
            check(own == sorted(set(own)), f"files of {path} are not in order")
            for index, file in enumerate(files, 1):
                self.read_file(f"{path}/{self.values.text(file[1])}".strip("/"), file, (number, index), content)
        check(not content, f"{len(content)} files that the description does not have")

    def read_file(self, path, file, place, content):
        size, data = self.values.number(file[3]), b""
        self.values.number(file[4])
        if size:
            check(content and struct.unpack_from("<II", content[0]) == place, f"{path} is not where it should be")
            data = content.pop(0)[8:]
        check(len(data) == size, f"{path} has another size than is said")
        check(hashlib.sha256(data).digest() == self.values.blob(file[5]), f"{path} has another hash than is said")
        self.members[path] = Member(path, *self.access(file[2]), data)
