#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_tree.py ROOT: checks the tree against its rules and prints each violation on one line. Exits 1 if there are any.

  arrows     apps -> nn, data, weights -> engine -> kernels, and within a top-level folder as BELOW says; a device's kernels do not include
             another device's, and only kernels/devices.cpp includes all of them
  folders    are known here: first give a new one its place in the order
  includes   are written from the tree's root and exist
  vendors    oneDNN only below kernels/cpu/onednn (and bench/onednn), CUDA only below kernels/cuda (its runtime below
             kernels/emulate too, and in the programs of tests/emulated), cuDNN and cuBLAS only in its vendor/ and below kernels/emulate
             (and their tests), LibTorch only in bench
  switches   no #if on CUDA, oneDNN, MPI or LibTorch outside those folders: an absent part is a stub file that CMake selects
  names      an operator has one: a header of kernels/core/ops has files of its name in each device's folder, and a header of engine/ops has
             its namesake in kernels/core/ops
  flags      of a command line stand in no text of the library: apps/flags.h adds them
  files      begin with the licence, headers have #pragma once, none is longer than 500 lines
"""
import pathlib
import re
import sys

MAX_LINES = 500
LIBRARY = ("nn", "data", "weights", "engine", "kernels")
ROOMS = ("apps", *LIBRARY)

# The top-level folders that a top-level folder's files may include.
ROOMS_BELOW = {"kernels": {"kernels"}}
ROOMS_BELOW["engine"] = {"engine", *ROOMS_BELOW["kernels"]}
ROOMS_BELOW["data"] = {"data", *ROOMS_BELOW["engine"]}
ROOMS_BELOW["weights"] = {"weights", *ROOMS_BELOW["engine"]}
ROOMS_BELOW["nn"] = set(LIBRARY)
ROOMS_BELOW["apps"] = set(ROOMS)
ROOMS_BELOW["bench"] = {"bench", "tests", *LIBRARY}
ROOMS_BELOW["tests"] = {"tests", *ROOMS}

ANY = object()  # check_arrow has the rules of these
# A folder, and those of its room that its files may include beside itself.
BELOW = {
    "nn/modules": "",
    "nn/files": "nn/modules",
    "nn/run": "nn/files nn/modules",
    "nn/train": "nn/run nn/files nn/modules",
    "nn/explain": "nn/run nn/files nn/modules",
    "nn/measure": "nn/explain nn/train nn/run nn/files nn/modules",
    "nn/inspect": "nn/explain nn/train nn/run nn/files nn/modules",
    "data/archive": "",
    "data/pictures": "data/archive",
    "data": "data/pictures data/archive",
    "data/write": "data data/pictures data/archive",
    "data/draw": "data/write data data/pictures data/archive",
    "data/scenes": "data/draw data/write data data/pictures data/archive",
    "weights": "",
    "engine": "",
    "engine/ops": "engine engine/amp",
    "engine/amp": "engine engine/ops",
    "apps": "apps/pages",
    "apps/pages": "",
    "kernels/core": "kernels/core/ops",
    "kernels/core/ops": "kernels/core",
    "kernels/ptx": "kernels/core kernels/core/ops",
    "kernels/emulate": "kernels/ptx kernels/core kernels/core/ops",
    "kernels/host": "kernels/core",
    "kernels/plans": "kernels/core",
    "kernels": ANY,
    "kernels/widening": ANY,
    "kernels/reference": ANY,
    "kernels/cpu": ANY,
    "kernels/cuda": ANY,
    "kernels/simt": ANY,
}

WHOLE_DEVICE = re.compile(r"kernels/(cpu|cuda|simt|ptx|emulate|reference)/")
INCLUDE = re.compile(r"""^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)""", re.M)
SWITCH = re.compile(r"^[ \t]*#[ \t]*(?:el)?if(?:n?def)?[ \t(].*(?:CUDA|CUDNN|CUBLAS|DNNL|ONEDNN|_MPI|NCCL|TORCH|has_include).*$", re.M)
TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
FLAG = re.compile(r'(?:^"|[^\w-])--[a-z]')
LICENCE = re.compile(r"(?://|#) SPDX-License-Identifier: MIT")


def folder_of(file):
    """As BELOW names it: of a device, the whole device."""
    device = WHOLE_DEVICE.match(file)
    return f"kernels/{device[1]}" if device else file.rpartition("/")[0]


def device_of(file):
    """kernels/cpu/onednn/state.h -> cpu; "" for files in kernels itself."""
    device = WHOLE_DEVICE.match(file)
    return device[1] if device else ""


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.violations = []

    def violation(self, text):
        self.violations.append(text)
        print(text)

    def files(self, folders, wanted):
        found = (path for folder in folders for path in (self.root / folder).rglob("*") if path.is_file() and wanted(path))
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def check_arrow(self, file, included):
        room, target = file.partition("/")[0], included.partition("/")[0]
        if not (self.root / included).is_file():
            return self.violation(f"{file}: includes \"{included}\", which is not a path from the tree's root")
        if target not in ROOMS_BELOW[room]:
            self.violation(f'{file}: {room} may not include {target} ("{included}")')
        folder, other = folder_of(file), folder_of(included)
        below = BELOW.get(folder, ANY)
        if room == target and below is not ANY and other not in (folder, *below.split()):
            return self.violation(f'{file}: {folder} may not include {other} ("{included}")')
        if room not in ("kernels", "engine"):
            return None
        device, another = device_of(file) if room == "kernels" else "engine", device_of(included)
        if another in ("", device) or (device, another) in (("cuda", "simt"), ("emulate", "ptx")):
            return None
        if device:
            self.violation(f"{file}: {device} may not include another device's header (\"{included}\")")
        elif file != "kernels/devices.cpp":
            self.violation(f"{file}: only kernels/devices.cpp may include a device's header (\"{included}\")")
        return None

    def check_vendor(self, file, included):
        vendors = (
            (r"(dnnl|oneapi/dnnl/)", ("kernels/cpu/onednn/", "bench/onednn/"), "belongs below kernels/cpu/onednn"),
            (r"(cudnn|cublas).*\.h$", ("kernels/cuda/vendor/", "kernels/emulate/", "tests/kernels/vendor/", "tests/kernels/emulate/"),
             "belongs below kernels/cuda/vendor"),
            (r"cuda_runtime_api\.h$", ("kernels/cuda/", "kernels/emulate/", "tests/kernels/emulate/"), "belongs below kernels/cuda"),
            (r"(cuda(?!_runtime_api)|nccl|cooperative_groups)", ("kernels/cuda/", "tests/emulated/programs/"), "belongs below kernels/cuda"),
            (r"(torch|ATen|c10)/", ("bench/",), "belongs into bench"),
        )
        for name, places, rule in vendors:
            if re.match(name, included) and not file.startswith(places):
                self.violation(f"{file}: <{included}> {rule}")

    def check_source(self, file, text):
        for kind, included in INCLUDE.findall(text):
            if kind == '"':
                self.check_arrow(file, included)
            self.check_vendor(file, included)
        if not file.startswith(("kernels/cpu/onednn/", "kernels/cuda/", "kernels/simt/")):
            for line in SWITCH.findall(text):
                self.violation(f"{file}: a switch on a part of the build: {' '.join(line.split())}")
        if file.startswith(tuple(f"{room}/" for room in LIBRARY)):
            for found in TEXT.findall(text):  # the flags of zip, which a hint may tell somebody to call, are not ours
                if FLAG.search(found) and "`zip " not in found:
                    self.violation(f"{file}: a text of the library names a command-line flag: {found}")

    def check_names(self):
        def expect(header, file, *instead):
            if not (self.root / file).is_file() and not (instead and all((self.root / other).is_file() for other in instead)):
                self.violation(f"{header}: there is no {file}: an operator has the same name in every room")

        for header in self.files(("kernels/core/ops",), lambda path: path.suffix == ".h"):
            name = pathlib.Path(header).stem
            expect(header, f"kernels/reference/{name}.cpp")
            expect(header, f"kernels/cpu/{name}.cpp", f"kernels/cpu/onednn/{name}.cpp", f"kernels/cpu/no_onednn/{name}.cpp")
            expect(header, f"kernels/cuda/{name}.cu")
        for header in self.files(("engine/ops",), lambda path: path.suffix == ".h" and path.name != "check.h"):
            expect(header, f"kernels/core/ops/{pathlib.Path(header).name}")

    def check_file(self, file, text):
        lines = text.split("\n", 2)
        length = text.count("\n")
        if length > MAX_LINES:
            self.violation(f"{file}: has {length} lines, more than {MAX_LINES}")
        if text.startswith("#!"):
            if len(lines) < 2 or not LICENCE.fullmatch(lines[1]):
                self.violation(f"{file}: its second line should be '# SPDX-License-Identifier: MIT'")
        elif not LICENCE.fullmatch(lines[0]):
            self.violation(f"{file}: its first line should be 'SPDX-License-Identifier: MIT' in a comment")
        if file.endswith((".h", ".cuh")) and "\n#pragma once\n" not in text:
            self.violation(f"{file}: has no #pragma once")

    def check(self):
        sources = self.files((*ROOMS, "bench", "tests"), lambda path: path.suffix in (".h", ".cpp", ".cu", ".cuh"))
        for folder in sorted({folder_of(file) for file in sources if not file.startswith(("bench/", "tests/"))} - BELOW.keys()):
            self.violation(f"{folder}: check_tree.py does not know this folder: give it a place in BELOW")
        self.check_names()
        scripts = self.files(("tools", ".ci"), lambda path: path.suffix != ".pyc")
        scripts += self.files(("tests", "bench"), lambda path: path.suffix in (".py", ".sh"))
        for file in sources + scripts:
            text = (self.root / file).read_text(errors="replace")
            if file in scripts:
                self.check_file(file, text)
            else:
                self.check_source(file, text)
                self.check_file(file, text)


def main():
    tree = Tree(sys.argv[1])
    tree.check()
    if tree.violations:
        print(f"{len(tree.violations)} violations")
    return 1 if tree.violations else 0


if __name__ == "__main__":
    sys.exit(main())
