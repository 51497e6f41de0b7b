#!/usr/bin/env python3
"""Packs built programs for OpenWrt: .ipk (24.10 and before) and .apk (later), for each OpenWrt
architecture that a target serves. The same input gives the same bytes.

usage: openwrt/package/pack.py --target TARGET --from FOLDER --to FOLDER

FOLDER has `fau3`, and where storage on disk is a package of its own, `fau3-disk`. What is installed
beside the program stands in openwrt/fau3/manifest. Exit status: 0 packed, 1 not, 2 wrong usage.
"""

import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import adb
import squeeze

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
FEED = TOP / "openwrt" / "fau3"
RELEASE = 1
# Whom the service runs as; OpenWrt makes both while it installs.
USER, GROUP = "fau3", "fau3"
PROGRAM = "usr/bin/fau3"
# Bits of modes that nobody's file may have: written by anyone, or run as its owner.
MODES_REFUSED = 0o6002

SUMMARY = {
    "fau3": "Keeps voice going when the main server or the uplink is gone",
    "fau3-disk": "Keeps voice going when the main server or the uplink is gone (with storage on disk)",
    "luci-app-fau3": "LuCI pages for fau3",
}
PROGRAMS = ("fau3", "fau3-disk")
PAGES = "luci-app-fau3"
# The second package is the first one's program with more in it: only one of them is installed.
RELATIONS = {
    "fau3": {},
    "fau3-disk": {"Provides": ["fau3"], "Conflicts": ["fau3"]},
    PAGES: {"Depends": ["luci-base", "fau3"]},
}


class Wrong(Exception):
    """What is wrong with the input, in words for a person."""


@dataclass(frozen=True)
class Entry:
    """One thing that is installed; `path` has no leading slash."""

    path: str
    mode: int
    owner: str
    group: str
    kind: str
    data: bytes = b""

    @property
    def is_folder(self):
        return self.kind == "dir"


def manifest(text, files):
    """The entries of the manifest `text`, their content from the folder `files`."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        where = f"openwrt/fau3/manifest:{number}"
        if len(words) != 5 or not re.fullmatch("[0-7]{3,4}", words[1]) or words[4] not in ("conffile", "file", "dir"):
            raise Wrong(f"{where}: expected: path mode owner group conffile|file|dir")
        path, mode, owner, group, kind = words[0].strip("/"), int(words[1], 8), *words[2:]
        if mode & MODES_REFUSED:
            raise Wrong(f"{where}: mode {words[1]}: nothing may be written by anyone, or run as its owner")
        data = b"" if kind == "dir" else content(files / path, where)
        entries.append(Entry(path, mode, owner, group, kind, data))
    listed = {entry.path for entry in entries}
    if len(listed) != len(entries):
        raise Wrong("openwrt/fau3/manifest: a path stands there twice")
    there = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()}
    if there - listed:
        raise Wrong(f"in openwrt/fau3/files, and not in the manifest: {', '.join(sorted(there - listed))}")
    return entries


def content(path, where):
    try:
        return path.read_bytes()
    except OSError as error:
        raise Wrong(f"{where}: {path}: {error.strerror}") from error


def pages():
    """The entries of the LuCI application, placed as its own Makefile (luci.mk) does."""
    entries = []
    for folder, to in (("htdocs", "www"), ("root", "")):
        base = TOP / "openwrt" / PAGES / folder
        for path in sorted(base.rglob("*")):
            if path.is_file():
                where = str(Path(to) / path.relative_to(base))
                mode = 0o755 if where.startswith("etc/uci-defaults/") else 0o644
                entries.append(Entry(where, mode, "root", "root", "file", path.read_bytes()))
    return sorted(entries, key=lambda entry: entry.path)


def version():
    """Of the workspace, as both kinds of package want it: 0.1.0-r1."""
    found = re.search(r'^\[workspace\.package\]\nversion = "([^"]+)"', (TOP / "Cargo.toml").read_text(), re.M)
    if not found:
        raise Wrong("Cargo.toml: no version in [workspace.package]")
    return f"{found[1]}-r{RELEASE}"


def changed_at():
    """Seconds since 1970 that every file bears: SOURCE_DATE_EPOCH, else the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        told = subprocess.run(["git", "-C", TOP, "log", "-1", "--format=%ct"], capture_output=True, text=True)
        given = told.stdout.strip() if told.returncode == 0 else "0"
    return int(given)


def architectures(target):
    for line in (HERE / "architectures").read_text().splitlines():
        words = line.split()
        if words and words[0] == target:
            return words[3].split(",")
    raise Wrong(f"openwrt/package/architectures: no target {target}")


# --- scripts -----------------------------------------------------------------

# OpenWrt's own do the work: they make the user, run uci-defaults, enable and start the service, and stop it
# before it goes. Only two things are left: what does not belong to root, and `ubus call fau3`.
def post_install(name, entries):
    """What is done once all is unpacked, beside OpenWrt's own."""
    seen = ["rm -rf /tmp/luci-indexcache.* /tmp/luci-modulecache/"] if name == PAGES else []
    given = [f'[ -n "$IPKG_INSTROOT" ] || chown {entry.owner}:{entry.group} /{entry.path}'
             for entry in entries if entry.owner != "root"]
    again = '[ -n "$IPKG_INSTROOT" ] || killall -HUP rpcd 2>/dev/null'
    return "\n".join([*seen, *given, again, "exit 0"]) + "\n"


FUNCTIONS = '[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0\n. "${IPKG_INSTROOT}/lib/functions.sh"\n'
UNLESS_OFF = '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0\n'


def ipk_scripts(name, entries):
    return {
        "postinst": f"#!/bin/sh\n{UNLESS_OFF}{FUNCTIONS}default_postinst $0 $@\n",
        "postinst-pkg": f"#!/bin/sh\n{post_install(name, entries)}",
        "prerm": f"#!/bin/sh\n{FUNCTIONS}default_prerm $0 $@\n",
    }


def apk_scripts(name, entries):
    named = f'export root="${{IPKG_INSTROOT}}"\nexport pkgname="{name}"\n'
    after = f"{UNLESS_OFF}{FUNCTIONS}{named}add_group_and_user\ndefault_postinst\n{post_install(name, entries)}"
    return {
        "post-install": f"#!/bin/sh\n{after}",
        "post-upgrade": f"#!/bin/sh\nexport PKG_UPGRADE=1\n{after}",
        "pre-deinstall": f"#!/bin/sh\n{FUNCTIONS}{named}default_prerm\n",
    }


# --- .ipk --------------------------------------------------------------------

def tar_gz(entries, mtime, root=True):
    """Sorted, everything root's: users are made only after all is unpacked. Folders come before what is in them."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        folders = {"": 0o755} if root else {}
        for entry in entries if root else []:
            for parent in Path(entry.path).parents:
                folders.setdefault("" if str(parent) == "." else str(parent), 0o755)
        folders.update({entry.path: entry.mode for entry in entries if entry.is_folder})
        members = [(path, mode, None) for path, mode in folders.items()]
        members += [(entry.path, entry.mode, entry.data) for entry in entries if not entry.is_folder]
        for path, mode, data in sorted(members, key=lambda member: member[0]):
            member = tarfile.TarInfo(f"./{path}")
            member.mode, member.mtime, member.uname, member.gname = mode, mtime, "root", "root"
            if data is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return squeeze.gzip(made.getvalue())


def plain(path, text, mode=0o644):
    data = text.encode() if isinstance(text, str) else text
    return Entry(path, mode, "root", "root", "file", data)


def ipk(name, architecture, entries, mtime):
    fields = {
        "Package": name,
        "Version": version(),
        **{field: ", ".join(names) for field, names in RELATIONS[name].items()},
        "Source": "feeds/fau3/fau3",
        "SourceName": "fau3",
        "License": "MIT OR Apache-2.0",
        "Section": "net",
        **({"Require-User": f"{USER}:{GROUP}"} if name in PROGRAMS else {}),
        "SourceDateEpoch": str(mtime),
        "Architecture": architecture,
        "Installed-Size": str(sum(len(entry.data) for entry in entries)),
        "Description": SUMMARY[name],
    }
    control = [plain("control", "".join(f"{field}: {value}\n" for field, value in fields.items()))]
    kept = [f"/{entry.path}\n" for entry in entries if entry.kind == "conffile"]
    if kept:
        control.append(plain("conffiles", "".join(kept)))
    control += [plain(script, text, 0o755) for script, text in ipk_scripts(name, entries).items()]
    parts = [
        plain("debian-binary", "2.0\n"),
        plain("data.tar.gz", tar_gz(entries, mtime)),
        plain("control.tar.gz", tar_gz(control, mtime)),
    ]
    return tar_gz(parts, mtime, root=False)


# --- .apk --------------------------------------------------------------------

def apk_records(name, entries):
    """The files in which OpenWrt's apk keeps what opkg keeps in its control data."""
    kept = [entry for entry in entries if entry.kind == "conffile"]
    made = {"rusers": f"{USER}:{GROUP}\n"} if name in PROGRAMS else {}
    if kept:
        made["conffiles"] = "".join(f"/{entry.path}\n" for entry in kept)
        made["conffiles_static"] = "".join(
            f"/{entry.path} {hashlib.sha256(entry.data).hexdigest()}\n" for entry in kept)
    records = [plain(f"lib/apk/packages/{name}.{record}", text) for record, text in made.items()]
    listed = [entry.path for entry in [*entries, *records] if not entry.is_folder]
    listing = "".join(f"/{path}\n" for path in sorted(listed))
    return [*records, plain(f"lib/apk/packages/{name}.list", listing)]


def apk(name, architecture, entries, mtime):
    everything = [*entries, *apk_records(name, entries)]
    # As in an .ipk: the user is not there yet.
    everything = [Entry(e.path, e.mode, "root", "root", e.kind, e.data) for e in everything]
    info = {
        "name": name,
        "version": version(),
        "description": SUMMARY[name],
        "arch": "noarch" if architecture == "all" else architecture,
        "license": "MIT OR Apache-2.0",
        "origin": "fau3",
        "build-time": mtime,
    }
    needed = RELATIONS[name].get("Depends")
    if needed:
        info["depends"] = needed
    provided = RELATIONS[name].get("Provides")
    if provided:
        # With its version it is the only one of that name.
        info["provides"] = [f"{other}={version()}" for other in provided]
    return adb.package(info, everything, apk_scripts(name, entries), mtime)


# --- all of it ---------------------------------------------------------------

def pack(target, source, to):
    """Writes the packages of `target`; gives their paths."""
    mtime, made = changed_at(), []
    try:
        text = (FEED / "manifest").read_text()
    except OSError as error:
        raise Wrong(f"openwrt/fau3/manifest: {error.strerror}") from error
    beside = manifest(text, FEED / "files")
    programs = [name for name in PROGRAMS if (source / name).is_file()]
    if "fau3" not in programs:
        raise Wrong(f"{source}/fau3: no such file: openwrt/build.sh {target} makes it")
    for name in programs:
        program = Entry(PROGRAM, 0o755, "root", "root", "file", (source / name).read_bytes())
        entries = sorted([program, *beside], key=lambda entry: entry.path)
        for architecture in architectures(target):
            made += write(name, architecture, entries, mtime, to)
    return made + write(PAGES, "all", pages(), mtime, to)


def write(name, architecture, entries, mtime, to):
    """Both kinds of one package; gives their paths."""
    made = {
        to / f"{name}_{version()}_{architecture}.ipk": ipk(name, architecture, entries, mtime),
        to / architecture / f"{name}-{version()}.apk": apk(name, architecture, entries, mtime),
    }
    for path, data in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return list(made)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--target", required=True)
    arguments.add_argument("--from", dest="source", type=Path, required=True, metavar="FOLDER")
    arguments.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    given = arguments.parse_args()
    try:
        for path in pack(given.target, given.source, given.to):
            print(f"{path.stat().st_size:9d} bytes  {path}")
    except Wrong as wrong:
        sys.exit(f"pack.py: {wrong}")


if __name__ == "__main__":
    main()
