#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The code of docs/course.md, to be run by a test.

    blocks.py cpp PAGE OUT.cpp     its C++ as one program: the blocks that begin with #include, then the others inside main()
    blocks.py sh PAGE              its commands

Both on a small scale: SMALL and the test's `mirilla` function replace the course's sizes, so that the lines of the page run unchanged
in seconds.
"""
import pathlib
import re
import sys

SMALL = {".resize = 256": ".resize = 72", ".size = 128": ".size = 64", ".batch_size = 128": ".batch_size = 8", "fine_tune(10,": "fine_tune(1,"}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def program(page):
    """One translation unit. A size that SMALL names and the page does not is an error: the test would take minutes."""
    found = blocks(page, "cpp")
    heads = "\n".join(block for block in found if block.startswith("#include"))
    body = "\n".join(block for block in found if not block.startswith("#include"))
    for course, small in SMALL.items():
        if course not in body:
            sys.exit(f"{page}: '{course}' stands nowhere in its C++")
        body = body.replace(course, small)
    return f"{heads}\nint main() {{\n{body}}}\n"


def main():
    if sys.argv[1:2] == ["cpp"] and len(sys.argv) == 4:
        pathlib.Path(sys.argv[3]).write_text(program(pathlib.Path(sys.argv[2])))
    elif sys.argv[1:2] == ["sh"] and len(sys.argv) == 3:
        print("".join(blocks(pathlib.Path(sys.argv[2]), "sh")), end="")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
