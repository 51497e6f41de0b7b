"""Writes apk's own binary format, version 3, as apk-tools' manual has it: apk-v3(5) says how values
and blocks are laid out, apk-package(5) which fields a package has. Nothing here reads it: the tests
do, with a reader of their own.

A value is a 32-bit word, little-endian: four bits of type, and 28 that are the value itself or where
it stands in the database. Objects and arrays are slots, the first of which is how many there are.
"""

import hashlib
import struct

import squeeze

# Types of values, the upper four bits of the word.
NULL = 0
INT, INT32 = 0x1 << 28, 0x2 << 28
BLOB8, BLOB16, BLOB32 = 0x8 << 28, 0x9 << 28, 0xA << 28
ARRAY, OBJECT = 0xD << 28, 0xE << 28
DIRECT_MAX = (1 << 28) - 1

# Blocks: two bits of type, thirty of length, this word included; the next one begins at a multiple of 8.
BLOCK_ADB, BLOCK_DATA = 0, 2
BLOCK_MAX = (1 << 30) - 1
ALIGNMENT = 8

PACKAGE_ID_BYTES = 20

# Slots of each object, in order from 1 (apk-package(5); apk-tools numbers them so).
INFO = ("name version unique-id description arch license origin maintainer url repo-commit build-time "
        "installed-size file-size provider-priority depends provides replaces install-if").split()
ACCESS = ("mode", "user", "group")
FILE = ("name", "access", "size", "mtime", "hash")
FOLDER = ("name", "access", "files")
SCRIPTS = "trigger pre-install post-install pre-deinstall post-deinstall pre-upgrade post-upgrade".split()
PACKAGE = ("info", "paths", "scripts")
DEPENDENCY = ("name", "version", "match")


class Database:
    """Values as they are written; the same bytes are kept once."""

    def __init__(self):
        # Version 0, compatible with 0; then the root value, which comes last.
        self.bytes = bytearray(8)
        self.known = {}

    def put(self, raw, alignment, shared=True):
        """Where `raw` stands."""
        if shared and (raw, alignment) in self.known:
            return self.known[raw, alignment]
        self.bytes += bytes(-len(self.bytes) % alignment)
        at = len(self.bytes)
        self.bytes += raw
        if at > DIRECT_MAX:
            raise ValueError("a package's description holds at most 256 MiB")
        if shared:
            self.known[raw, alignment] = at
        return at

    def number(self, value):
        if value <= DIRECT_MAX:
            return INT | value
        return INT32 | self.put(struct.pack("<I", value), 4)

    def blob(self, value, shared=True):
        value = value.encode() if isinstance(value, str) else value
        if not value:
            return NULL
        for kind, form, width in ((BLOB8, "<B", 1), (BLOB16, "<H", 2), (BLOB32, "<I", 4)):
            if len(value) < 1 << (8 * width):
                return kind | self.put(struct.pack(form, len(value)) + value, width, shared)
        raise ValueError("a value is longer than 4 GiB")

    def slots(self, kind, words):
        while words and words[-1] == NULL:
            words = words[:-1]
        if not words:
            return NULL
        return kind | self.put(struct.pack(f"<{len(words) + 1}I", len(words) + 1, *words), 4)

    def object(self, fields, values):
        """`values` by name; what is missing is null."""
        return self.slots(OBJECT, [values.get(field, NULL) for field in fields])

    def array(self, words):
        return self.slots(ARRAY, list(words))

    def finish(self, root):
        struct.pack_into("<I", self.bytes, 4, root)


def dependencies(db, names):
    """`name` or `name=version`."""
    def one(text):
        name, _, version = text.partition("=")
        return db.object(DEPENDENCY, {"name": db.blob(name), "version": db.blob(version)})
    return db.array(one(text) for text in sorted(set(names)))


def folders(entries):
    """Every folder on the way to every entry, the root as '', each with its files, all in order."""
    found = {"": {"mode": 0o755, "user": "root", "group": "root", "files": []}}
    for entry in entries:
        parts = entry.path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            found.setdefault("/".join(parts[:depth]), {"mode": 0o755, "user": "root", "group": "root", "files": []})
        if entry.is_folder:
            found.setdefault(entry.path, {"files": []}).update(mode=entry.mode, user=entry.owner, group=entry.group)
        else:
            found["/".join(parts)]["files"].append(entry)
    for folder in found.values():
        folder["files"].sort(key=lambda entry: entry.path.split("/")[-1].encode())
    return sorted(found.items(), key=lambda item: item[0].encode())


def block(kind, payload):
    size = 4 + len(payload)
    if size > BLOCK_MAX:
        raise ValueError("a file is larger than 1 GiB")
    return struct.pack("<I", kind << 30 | size) + payload + bytes(-size % ALIGNMENT)


def package(info, entries, scripts, mtime):
    """The bytes of one unsigned package.

    `info`: strings and numbers by the names of INFO, lists of dependencies where that is asked for.
    `entries`: have path (without a leading slash), mode, owner, group, is_folder, data.
    """
    db = Database()

    def access(mode, user, group):
        return db.object(ACCESS, {"mode": db.number(mode), "user": db.blob(user), "group": db.blob(group)})

    def file(entry):
        return db.object(FILE, {
            "name": db.blob(entry.path.split("/")[-1]),
            "access": access(entry.mode, entry.owner, entry.group),
            "size": db.number(len(entry.data)),
            "mtime": db.number(mtime),
            "hash": db.blob(hashlib.sha256(entry.data).digest()),
        })

    def value(given):
        if isinstance(given, list):
            return dependencies(db, given)
        return db.number(given) if isinstance(given, int) else db.blob(given)

    tree = folders(entries)
    paths = db.array(
        db.object(FOLDER, {
            "name": db.blob(name),
            "access": access(folder["mode"], folder["user"], folder["group"]),
            "files": db.array(file(entry) for entry in folder["files"]),
        })
        for name, folder in tree
    )
    words = {name: value(given) for name, given in info.items()}
    words["installed-size"] = db.number(max(1, sum(len(entry.data) for entry in entries)))
    # What the package is known by is the hash of its own description, taken while this is zero.
    words["unique-id"] = db.blob(bytes(PACKAGE_ID_BYTES), shared=False)
    db.finish(db.object(PACKAGE, {
        "info": db.object(INFO, words),
        "paths": paths,
        "scripts": db.object(SCRIPTS, {name: db.blob(text) for name, text in scripts.items()}),
    }))
    at = (words["unique-id"] & DIRECT_MAX) + 1
    db.bytes[at:at + PACKAGE_ID_BYTES] = hashlib.sha256(db.bytes).digest()[:PACKAGE_ID_BYTES]

    # Files follow in the order of the description; one without content has no block.
    content = [
        block(BLOCK_DATA, struct.pack("<II", folder, number) + entry.data)
        for folder, (_, listed) in enumerate(tree, 1)
        for number, entry in enumerate(listed["files"], 1)
        if entry.data
    ]
    description = b"ADB." + b"pckg" + block(BLOCK_ADB, bytes(db.bytes))
    return b"ADBd" + squeeze.deflate_both(description, b"".join(content))
