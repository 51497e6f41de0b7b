#!/usr/bin/env python3
"""Offline check of the dependencies' licences against `licenses.allow` of deny.toml,
for machines without cargo-deny. Reads lines of `package|licence` (`cargo tree`) from standard
input. Ends with 1 and a line for each crate that may not come in."""

import re
import sys
from pathlib import Path

DENY = Path(__file__).resolve().parent.parent / "deny.toml"


def allowed_licences(text):
    """The strings of the list `allow` in the section [licenses]."""
    section = re.search(r"^\[licenses\]$(.*?)(?=^\[|\Z)", text, re.M | re.S)
    listed = section and re.search(r"^allow = \[(.*?)^\]", section.group(1), re.M | re.S)
    if not listed:
        sys.exit(f"{DENY}: no list `allow` in [licenses]")
    without_comments = re.sub(r"#.*", "", listed.group(1))
    return set(re.findall(r'"([^"]+)"', without_comments))


def permits(expression, allowed):
    """Whether an SPDX expression can be met with allowed licences alone.

    AND binds closer than OR; the old slash means OR. An exception (WITH) has to
    be allowed as a whole.
    """
    tokens = re.findall(r"[()]|[^\s()/]+|/", expression)
    position = 0

    def peek():
        return tokens[position] if position < len(tokens) else None

    def take():
        nonlocal position
        if position == len(tokens):
            raise ValueError("ends too early")
        position += 1
        return tokens[position - 1]

    def either():
        met = both()
        while peek() in ("OR", "/"):
            take()
            met = both() or met
        return met

    def both():
        met = one()
        while peek() == "AND":
            take()
            met = one() and met
        return met

    def one():
        name = take()
        if name == "(":
            met = either()
            if take() != ")":
                raise ValueError("unbalanced")
            return met
        if name in (")", "AND", "OR", "WITH", "/"):
            raise ValueError(f"{name} where a licence should be")
        if peek() == "WITH":
            take()
            name = f"{name} WITH {take()}"
        return name in allowed

    met = either()
    if position != len(tokens):
        raise ValueError(f"{tokens[position]} is too much")
    return met


def self_test():
    """The check must be able to fail."""
    allowed = {"MIT", "Apache-2.0", "Unicode-3.0"}
    for expression, wanted in [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-2.0 OR MIT", True),
        ("MIT/Apache-2.0", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("(MIT OR Apache-2.0) AND GPL-2.0", False),
        ("MIT AND GPL-2.0 OR Apache-2.0", True),
        ("GPL-2.0 OR MIT AND GPL-3.0", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("Apache-2.0 WITH LLVM-exception OR MIT", True),
    ]:
        assert permits(expression, allowed) == wanted, expression


def main():
    self_test()
    allowed = allowed_licences(DENY.read_text(encoding="utf-8"))
    # A crate that several need is listed by each, the later times with a mark.
    packages = sorted({line.strip().removesuffix(" (*)") for line in sys.stdin if line.strip()})
    refused = []
    for line in packages:
        package, _, licence = line.partition("|")
        try:
            fine = bool(licence) and permits(licence, allowed)
        except ValueError as error:
            fine, licence = False, f"{licence} ({error})"
        if not fine:
            refused.append(f"{package}: {licence or 'no licence'}")
    for line in refused:
        print(f"not allowed by deny.toml: {line}", file=sys.stderr)
    print(f"{len(packages)} packages, {len(refused)} with a licence that is not allowed")
    sys.exit(1 if refused or not packages else 0)


if __name__ == "__main__":
    main()
