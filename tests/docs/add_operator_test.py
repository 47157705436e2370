#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""add_operator_test.py [--fits] SOURCE [FOLDER]: does in a copy of the tree what docs/add-an-operator.md says, builds it, and runs the operator's tests.

A comment before each block of the page says what it is: `write FILE`, `patch FILE` (a diff without line numbers, whose context must stand
exactly once in the file), or `run`. The page touches eight files, no more. With FOLDER the copy is kept there, so that the next run builds
less. With --fits nothing is built: only whether the page fits the tree.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MOST_FILES = 8
LEAST_TESTS = 8  # those of ops_test.cpp for one case
BLOCK = re.compile(r"^<!-- (write|patch|run) ?(\S*) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = shutil.ignore_patterns("build", ".git", "__pycache__", "gpu-check-out")
LEFT_OUT_TO_FIT = shutil.ignore_patterns("build", ".git", ".deps", "oracle", "data", "bench", "weights")


def same(line):  # clang-format aligns the // that keep the list's lines
    return re.sub(r"\s*//$", "", line)


def patched(text, diff, file):
    """TEXT after DIFF. Lines are found by what they say before a trailing //."""
    lines, steps = text.splitlines(), diff.splitlines()
    before = [same(step[1:]) for step in steps if step[:1] != "+"]
    starts = [i for i in range(len(lines)) if [same(line) for line in lines[i : i + len(before)]] == before]
    if len(starts) != 1:
        sys.exit(f"docs/add-an-operator.md: a patch of {file} fits {len(starts)} places, and must fit one:\n{diff}")
    at, result = starts[0], lines[: starts[0]]
    for step in steps:
        if step[:1] == "+":
            result.append(step[1:])
            continue
        if step[:1] != "-":
            result.append(lines[at])
        at += 1
    return "\n".join(result + lines[at:]) + "\n"


def follow(page, tree):
    """Does what PAGE says in TREE; the files that it touched, and its commands."""
    touched, commands = set(), []
    for what, file, text in BLOCK.findall(page):
        if what == "run":
            commands += text.splitlines()
            continue
        target = tree / file
        if what == "write" and target.exists():
            sys.exit(f"docs/add-an-operator.md: {file} exists already")
        target.write_text(text if what == "write" else patched(target.read_text(), text, file))
        touched.add(file)
    return touched, commands


def files_of(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != "build"}


def update(tree, fresh):
    """Gives TREE the files of FRESH. A file that is the same keeps its time, so that only what changed is built again."""
    for file in files_of(tree) - files_of(fresh):
        (tree / file).unlink()
    for file in files_of(fresh):
        if not (tree / file).exists() or (tree / file).read_bytes() != (fresh / file).read_bytes():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(fresh / file, tree / file)


def run(command, tree):
    """Its output, which is also printed; an exit status other than 0 ends the test."""
    print("+", command, flush=True)
    done = subprocess.run(["bash", "-c", command], cwd=tree, stdout=subprocess.PIPE, text=True)
    print("\n".join(done.stdout.splitlines()[-20:]), flush=True)
    if done.returncode != 0:
        sys.exit(f"docs/add-an-operator.md: a command ended with {done.returncode}: {command}")
    return done.stdout


def main():
    words = [word for word in sys.argv[1:] if word != "--fits"]
    if len(words) not in (1, 2):
        sys.exit(__doc__)
    source = pathlib.Path(words[0]).resolve()
    with tempfile.TemporaryDirectory() as made:
        fresh = pathlib.Path(made) / "fresh"
        shutil.copytree(source, fresh, ignore=LEFT_OUT_TO_FIT if "--fits" in sys.argv else LEFT_OUT)
        touched, commands = follow((source / "docs/add-an-operator.md").read_text(), fresh)
        if len(touched) != MOST_FILES or not commands:
            sys.exit(f"the page must touch {MOST_FILES} files and has {len(touched)}, with {len(commands)} commands: {sorted(touched)}")
        if "--fits" in sys.argv:
            return
        tree = pathlib.Path(words[1]).resolve() if len(words) == 2 else pathlib.Path(made) / "tree"
        tree.mkdir(parents=True, exist_ok=True)
        update(tree, fresh)
        run("tests/structure/check_tree.py .", tree)
        output = [run(command.replace("-DMIRILLA_TESTS=ON", "-DMIRILLA_TESTS=ON -DMIRILLA_JOIN=ON"), tree) for command in commands][-1]  # builds faster
        tests = re.search(r"\[  PASSED  \] (\d+) tests", output)
        if not tests or int(tests[1]) < LEAST_TESTS:
            sys.exit("docs/add-an-operator.md: the operator's tests did not run: is the filter of the last command right?")


if __name__ == "__main__":
    main()
