#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that each source of the libraries and the program includes what it uses: compiles it alone, without precompiled headers.

    includes.py BUILD_FOLDER

A build hides a missing include where another file of a joined compilation, or the precompiled header, has it. The commands are those of the
build, which must have compile_commands.json.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("apps", "nn", "data", "weights", "engine", "kernels")


def alone(command):
    """The arguments without output, dependency file and precompiled header, and without the source."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        if word in ("-o", "-MF", "-MT", "-include", "-c"):
            next(words)
        elif word not in ("-MD", "-Winvalid-pch"):
            kept.append(word)
    return [*kept, "-fsyntax-only", "-fdiagnostics-color=never"]


def sources(build):
    """(source, arguments) of each file of ours that the build compiles, those inside joined ones too."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = pathlib.Path(entry["file"])
        joined = re.findall(r'^#include "(/[^"]+[.]cpp)"$', file.read_text(), re.M) if file.name.startswith("unity_") else [file]
        for source in map(pathlib.Path, joined):
            if source.is_relative_to(ROOT) and source.relative_to(ROOT).parts[0] in ROOMS:
                yield source, alone(entry["command"])


def errors(source, arguments, text=None):
    done = subprocess.run([*arguments, "-x", "c++", "-" if text else source], input=text, cwd=ROOT, text=True, capture_output=True)
    return done.stderr if done.returncode else ""


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    todo = dict(sources(pathlib.Path(sys.argv[1]).resolve()))
    if len(todo) < 200:
        sys.exit(f"includes: {len(todo)} sources are too few: is {sys.argv[1]} a complete build?")
    if not errors(*next(iter(todo.items())), "std::vector<int> v;\n"):
        sys.exit("includes: a missing include was not noticed")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = {s: e for s, e in zip(todo, pool.map(lambda item: errors(*item), todo.items())) if e}
    for source, text in found.items():
        print(f"{source.relative_to(ROOT)} does not include what it uses:\n{text}")
    print(f"{len(todo)} sources, {len(found)} errors")
    sys.exit(1 if found else 0)


main()
