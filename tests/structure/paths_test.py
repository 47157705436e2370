#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""paths_test.py [ROOT]: each path of the tree that is named in a comment, a document or a script exists.

A path is a word that begins with a top-level folder's name and a slash. A name without its ending means the file (kernels/cuda/relu for
relu.cu), and a name with a placeholder (kernels/<device>/conv2d.cpp, data/*_write.h) the files that fit it, at least one. Links in
documents are resolved from the document. Left out: dated records (bench/results, docs/decisions), which describe the tree of their day.
Without ROOT the check is first tried on planted text.
"""
import fnmatch
import os
import pathlib
import re
import sys

ROOMS = "apps bench cmake data docs engine examples kernels nn tests tools weights".split()
# Paths that say nothing about this tree: a user's own files, files that a build or an install makes, text that a test plants.
FOREIGN = re.compile(
    r"^(data/(sea|forest|train|valid|val|test|photos?|data)\b|tests/structure/check_tree_test\.py$|docs/NNN|weights/resnet\d+\.pth)")
LEFT_OUT = ("bench/results/", "docs/decisions/", "tests/structure/check_tree_test.py", "tests/structure/paths_test.py", "tests/oracle/")
TEXT = {".h", ".cpp", ".cu", ".inl", ".md", ".py", ".sh", ".txt", ".cmake", ".tsv", ".js", ".html", ""}
PATH = re.compile(r"(?<![\w./~$}\"'<-])(?:%s)/[\w*<>{},./-]*[\w*>}]" % "|".join(ROOMS))
MADE = re.compile(r"<!-- write (\S+) -->")  # files that a page tells its reader to write
INCLUDE = re.compile(r"^\s*#\s*include")


def tree_of(root):
    found = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in {".git", "build", ".deps", "__pycache__"} and not name.startswith("build")]
        relative = os.path.relpath(folder, root)
        base = "" if relative == "." else relative + "/"
        found.update(base + name for name in folders + names)
    return found


def alternatives(path):
    """kernels/{cpu,cuda}/relu, kernels/<device>/relu -> patterns without braces or angles."""
    path = re.sub(r"<[^<>]*>", "*", path)
    choice = re.search(r"\{([^{}]*)\}", path)
    if not choice:
        return [path]
    return [p for part in choice.group(1).split(",") for p in alternatives(path[:choice.start()] + part.strip() + path[choice.end():])]


def exists(path, tree):
    stem = path.rstrip("/.")
    if "*" in stem:
        return any(fnmatch.fnmatch(name, stem) or fnmatch.fnmatch(name, stem + ".*") for name in tree)
    if re.fullmatch(r"docs/decisions/\d{3}", stem):
        return any(name.startswith(stem + "-") for name in tree)
    return stem in tree or any(stem + ending in tree for ending in (".h", ".cpp", ".cu", ".inl", ".py", ".md"))


def missing_in(name, text, tree):
    made = set(MADE.findall(text))
    for number, line in enumerate(text.split("\n"), 1):
        if INCLUDE.match(line):
            continue  # check_tree.py checks these
        if name.endswith("CMakeLists.txt"):
            line = line.partition("#")[2]  # its own paths are relative to its folder
        for path in PATH.findall(line):
            if FOREIGN.match(path) or path in made:
                continue
            for alternative in alternatives(path):
                if not exists(alternative, tree):
                    yield f"{name}:{number}: there is no {alternative}"


def missing_links(name, text, tree):
    for number, line in enumerate(text.split("\n"), 1):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
            if "://" in target or target.startswith("mailto:"):
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(name), target))
            if path not in tree and path != ".":
                yield f"{name}:{number}: the link {target} leads nowhere"


def check(root):
    tree, complaints = tree_of(root), []
    for name in sorted(tree):
        path = root / name
        if not path.is_file() or path.suffix not in TEXT or name.startswith(LEFT_OUT) or name.split("/")[0] in {"gpu-check-out", "demo-out"}:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        complaints += missing_in(name, text, tree)
        if path.suffix == ".md":
            complaints += missing_links(name, text, tree)
    return complaints


def try_planted():
    tree = {"nn", "nn/modules", "nn/modules/layers.h", "kernels", "kernels/cpu", "kernels/cpu/relu.cpp", "docs", "docs/tour.md"}
    good = "`nn/modules/layers.h:12`, nn/modules/layers and kernels/<device>/relu.cpp, nn/modules/{layers}.h, kernels/cpu/."
    bad = ["see nn/layers.h", "`nn/modules/layer.h`", "kernels/<device>/softmax.cpp", "nn/modules/{layers,watch}.h", "// nn/gone/ has it"]
    assert not list(missing_in("docs/tour.md", good, tree)), list(missing_in("docs/tour.md", good, tree))
    for text in bad:
        assert len(list(missing_in("docs/tour.md", text, tree))) == 1, text
    assert not list(missing_links("docs/tour.md", "[a](../nn/modules/layers.h) [b](https://x.y) [c](tour.md#part)", tree))
    assert len(list(missing_links("docs/tour.md", "[a](../nn/layers.h)", tree))) == 1


if __name__ == "__main__":
    try_planted()
    complaints = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]))
    print("\n".join(complaints))
    sys.exit(1 if complaints else 0)
