#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that each source of the libraries and the program, and each header, includes what it uses: compiles it alone.

    includes.py BUILD_FOLDER

A build hides a missing include where another file of a joined compilation, or the precompiled header, has it. Sources that the build itself
compiles alone are not compiled again, nor headers that their own source includes first. The commands are those of the build, which must
have compile_commands.json.
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
OF_SOME_MACHINES = re.compile(r"(kernels/(cuda|cpu/onednn)|(tests/)?kernels/emulate|tests/emulated)/")  # their users are compiled where their libraries are


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
    """(source, arguments, whether the build compiles it alone) of each file of ours in the build, those inside joined ones too."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = pathlib.Path(entry["file"])
        joined = re.findall(r'^#include "(/[^"]+[.]cpp)"$', file.read_text(), re.M) if file.name.startswith("unity_") else []
        for source in map(pathlib.Path, joined or [file]):
            if source.is_relative_to(ROOT) and source.relative_to(ROOT).parts[0] in ROOMS:
                yield source, alone(entry["command"]), not joined and " -include " not in entry["command"]


def headers():
    """The headers, without those that their own source includes first."""
    for room in (*ROOMS, "tests"):
        for header in map(lambda path: path.relative_to(ROOT), sorted((ROOT / room).rglob("*.h"))):
            source = ROOT / header.with_suffix(".cpp")
            first = re.search(r"^#include .*", source.read_text(), re.M) if source.exists() and room != "tests" else None
            if not OF_SOME_MACHINES.match(str(header)) and (not first or first[0] != f'#include "{header}"'):
                yield header


def for_headers(commands):
    """Arguments with every folder that any command looks for headers in."""
    compiler = commands[0][0]
    folders = dict.fromkeys(re.findall(r"(?:^|\s)(-I ?\S+|-isystem \S+)", " ".join(" ".join(words) for words in commands)))
    defined = ['-DMIRILLA_SOURCE_DIR=""', '-DMIRILLA_PROGRAM=""', '-DMIRILLA_VERSION=""']
    return [compiler, *" ".join(folders).split(), *defined, "-std=c++20", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror", "-fopenmp", "-fsyntax-only",
            "-fdiagnostics-color=never"]


def errors(arguments, source=None, text=None):
    """What the compiler says of a source, or of TEXT."""
    done = subprocess.run([*arguments, "-x", "c++", source or "-"], input=text, cwd=ROOT, text=True, capture_output=True)
    return done.stderr if done.returncode else ""


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    of_build = {source: (arguments, is_alone) for source, arguments, is_alone in sources(pathlib.Path(sys.argv[1]).resolve())}
    if len(of_build) < 200:
        sys.exit(f"includes: {len(of_build)} sources are too few: is {sys.argv[1]} a complete build?")
    commands = [arguments for arguments, _ in of_build.values()]
    of_header = for_headers(commands)
    if not errors(commands[0], text="std::vector<int> v;\n") or not errors(of_header, text="std::vector<int> v;\n"):
        sys.exit("includes: a missing include was not noticed")
    todo = {source: (arguments, source) for source, (arguments, is_alone) in of_build.items() if not is_alone}
    todo |= {ROOT / header: (of_header, None, 2 * f'#include "{header}"\n') for header in headers()}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = {file: said for file, said in zip(todo, pool.map(lambda one: errors(*one), todo.values())) if said}
    for file, text in found.items():
        print(f"{file.relative_to(ROOT)} does not include what it uses:\n{text}")
    print(f"{len(todo)} files compiled alone, {len(of_build) - sum(f in of_build for f in todo)} were by the build; {len(found)} errors")
    sys.exit(1 if found else 0)


main()
