#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes copies of the CUDA kernels in which each barrier can be left out and each bound moved by one, at run time.

    mutate.py SOURCE_ROOT OUT

OUT/kernels/cuda/... has the copies, OUT/mutants.tsv one line per mutant: number, file, line, kind, text. One build then holds all mutants;
the environment variable MIRILLA_MUTANT says which of them is active (tests/mutation/mutant.h).

Only device code is mutated: functions marked __global__ or __device__. A bound is a comparison of integers by <, <=, > or >=; which
comparisons are of integers only the compiler knows, so the others are marked too and are dropped when they run.
"""
import collections
import pathlib
import re
import sys

BARRIER = re.compile(r"\b(__syncthreads(?:_count|_and|_or)?|__syncwarp)\(")
BOUND = re.compile(r" (<=|>=|<|>) ")
KINDS = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}


def blank_comments(text):
    """The text with comments and strings blanked, of the same length, so that positions agree."""
    pattern = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def device_ranges(code):
    """(start, end) of the bodies of device functions."""
    ranges = []
    for mark in re.finditer(r"__(?:global|device)__", code):
        position, depth = mark.end(), 0
        while position < len(code) and not (code[position] in "{;" and depth == 0):  # past the parameters
            depth += {"(": 1, ")": -1}.get(code[position], 0)
            position += 1
        if position == len(code) or code[position] == ";":
            continue
        start, depth = position, 0
        while position < len(code):
            depth += {"{": 1, "}": -1}.get(code[position], 0)
            position += 1
            if depth == 0:
                break
        if not ranges or start >= ranges[-1][1]:
            ranges.append((start, position))
    return ranges


def closing(code, opening):
    depth = 0
    for position in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[position], 0)
        if depth == 0:
            return position
    raise SystemExit("mutate.py: a parenthesis is never closed")


def edits_of(code, start, end):
    """(position, length, kind, replacement with {id}) of each mutant in a range."""
    for m in BARRIER.finditer(code, start, end):
        last = closing(code, m.end() - 1)
        argument = code[m.end():last].strip()
        left_out = f"int({argument})" if m[1] not in ("__syncthreads", "__syncwarp") else "void()"
        call = code[m.start():last + 1]
        yield m.start(), len(call), m[1], f"(::mirilla::mutation::alive({{id}}) ? {left_out} : {call})"
    for m in BOUND.finditer(code, start, end):
        line = code[code.rfind("\n", 0, m.start()) + 1:code.find("\n", m.start())]
        statement = code[max(code.rfind(c, 0, m.start()) for c in ";{}") + 1:m.start()]
        if re.search(r"\b(constexpr|static_assert|template|requires)\b", statement) or line.lstrip().startswith("#"):
            continue
        yield m.start(1), len(m[1]), m[1], f"< ::mirilla::mutation::Bound<{{id}}, ::mirilla::mutation::Order::{KINDS[m[1]]}>() >"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    number, rows = 0, []
    for path in sorted((root / "kernels/cuda").rglob("*")):
        name = path.relative_to(root)
        if path.suffix not in (".cu", ".h") or "platform" in name.parts or "vendor" in name.parts:
            continue
        text = path.read_text()
        code = blank_comments(text)
        edits = sorted(e for r in device_ranges(code) for e in edits_of(code, *r))
        pieces, done, seen = [], 0, collections.Counter()
        for position, length, kind, replacement in edits:
            number += 1
            line = text.count("\n", 0, position) + 1
            seen[line, kind] += 1  # the second of its kind on a line is called <#2
            kind += f"#{seen[line, kind]}" if seen[line, kind] > 1 else ""
            rows.append(f"{number}\t{name}\t{line}\t{kind}\t{text.splitlines()[line - 1].strip()}")
            pieces += [text[done:position], replacement.replace("{id}", str(number))]
            done = position + length
        pieces.append(text[done:])
        copy = out / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        new = '#include "tests/mutation/mutant.h"\n' + f'#line 1 "{name}"\n' + "".join(pieces)
        if path.suffix == ".h":
            new = "#pragma once\n" + new
        if not copy.exists() or copy.read_text() != new:
            copy.write_text(new)
    (out / "mutants.tsv").write_text("".join(row + "\n" for row in rows))


main()
