#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plants one violation after another into a small clean tree and expects check_tree.py to name each of them, and nothing in the clean tree."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).with_name("check_tree.py")
LICENCE = "// SPDX-License-Identifier: MIT\n"

CLEAN = {
    "kernels/core/view.h": [],
    "kernels/devices.cpp": ['#include "kernels/cpu/backend.h"'],
    "kernels/cpu/backend.h": ['#include "kernels/core/view.h"'],
    "kernels/cpu/onednn/conv2d.cpp": ['#include <oneapi/dnnl/dnnl.hpp>', '#include "kernels/cpu/backend.h"'],
    "kernels/ptx/machine.h": ['#include "kernels/core/view.h"'],
    "kernels/reference/backend.h": ['#include "kernels/core/view.h"'],
    "kernels/cuda/backend.cpp": ["#ifdef __CUDACC__", "#include <cuda_runtime.h>", "#endif"],
    "kernels/cuda/vendor/conv.cpp": ["#include <cudnn.h>"],
    "tests/kernels/vendor/conv_test.cpp": ["#include <cudnn_frontend.h>", "#include <cublasLt.h>"],
    "kernels/core/ops/relu.h": ['#include "kernels/core/view.h"'],
    "kernels/reference/relu.cpp": ['#include "kernels/core/ops/relu.h"'],
    "kernels/cpu/relu.cpp": ['#include "kernels/core/ops/relu.h"'],
    "kernels/cuda/relu.cu": ['#include "kernels/core/ops/relu.h"'],
    "engine/ops/check.h": ['#include "engine/tensor.h"'],
    "engine/ops/relu.h": ['#include "engine/tensor.h"'],
    "engine/tensor.h": ['#include "kernels/core/view.h"'],
    "data/loader.h": ['#include "engine/tensor.h"', 'for (const char* hint = "join: `zip -s 0 --out whole.zip`"; *hint == "}"[0]; --hint) {}'],
    "data/pictures/decode.h": [],
    "weights/read.h": ['#include "engine/tensor.h"'],
    "nn/modules/module.h": ['#include "data/loader.h"', '#include "weights/read.h"'],
    "nn/run/inference.h": ['#include "nn/modules/module.h"'],
    "nn/train/learner.h": ['#include "nn/run/inference.h"', '#include "nn/modules/module.h"'],
    "nn/explain/cam.h": ['#include "nn/run/inference.h"'],
    "nn/inspect/diff.h": ['#include "nn/explain/cam.h"', '#include "nn/train/learner.h"'],
    "data/draw/plot.h": ['#include "data/loader.h"'],
    "apps/main.cpp": ['#include "nn/modules/module.h"', '#include <vector>'],
}

PLANTED = [  # what is said of it, the file, its lines
    ("kernels may not include engine", "kernels/core/bad.h", ['#include "engine/tensor.h"']),
    ("engine may not include nn", "engine/bad.cpp", ['#include "nn/modules/module.h"']),
    ("engine may not include data", "engine/bad.cpp", ['  #  include "data/loader.h"']),
    ("data may not include nn", "data/bad.cpp", ['#include "nn/modules/module.h"']),
    ("data may not include weights", "data/bad.cpp", ['#include "weights/read.h"']),
    ("weights may not include nn", "weights/bad.cpp", ['#include "nn/modules/module.h"']),
    ("nn may not include apps", "nn/modules/bad.cpp", ['#include "apps/main.cpp"']),
    ("not a path from the tree's root", "engine/bad.cpp", ['#include "tensor.h"']),
    ("cpu may not include another device's header", "kernels/cpu/bad.cpp", ['#include "kernels/reference/backend.h"']),
    ("reference may not include another device's header", "kernels/reference/bad.cpp", ['#include "kernels/cpu/backend.h"']),
    ("simt may not include another device's header", "kernels/simt/bad.cpp", ['#include "kernels/cpu/backend.h"']),
    ("kernels/ptx may not include kernels/cpu", "kernels/ptx/bad.cpp", ['#include "kernels/cpu/backend.h"']),
    ("reference may not include another device's header", "kernels/reference/bad.cpp", ['#include "kernels/ptx/machine.h"']),
    ("only kernels/devices.cpp may include", "kernels/bad.h", ['#include "kernels/cpu/backend.h"']),
    ("only kernels/devices.cpp may include", "kernels/bad.cpp", ['#include "kernels/cpu/backend.h"']),
    ("kernels/core may not include kernels/cpu", "kernels/core/bad.cpp", ['#include "kernels/cpu/backend.h"']),
    ("nn/modules may not include nn/run", "nn/modules/bad.cpp", ['#include "nn/run/inference.h"']),
    ("nn/files may not include nn/run", "nn/files/bad.cpp", ['#include "nn/run/inference.h"']),
    ("nn/explain may not include nn/train", "nn/explain/bad.cpp", ['#include "nn/train/learner.h"']),
    ("nn/train may not include nn/explain", "nn/train/bad.cpp", ['#include "nn/explain/cam.h"']),
    ("nn/measure may not include nn/inspect", "nn/measure/bad.cpp", ['#include "nn/inspect/diff.h"']),
    ("data/archive may not include data/pictures", "data/archive/bad.cpp", ['#include "data/pictures/decode.h"']),
    ("data/pictures may not include data", "data/pictures/bad.cpp", ['#include "data/loader.h"']),
    ("data/write may not include data/draw", "data/write/bad.cpp", ['#include "data/draw/plot.h"']),
    ("apps/pages may not include apps", "apps/pages/bad.cpp", ['#include "apps/main.cpp"']),
    ("engine may not include another device's header", "engine/bad.cpp", ['#include "kernels/cpu/backend.h"']),
    ("belongs below kernels/cpu/onednn", "kernels/cpu/bad.cpp", ["#include <oneapi/dnnl/dnnl.hpp>"]),
    ("belongs below kernels/cpu/onednn", "engine/bad.cpp", ["#include <dnnl.hpp>"]),
    ("belongs below kernels/cuda", "engine/bad.cpp", ["#include <cuda_runtime.h>"]),
    ("belongs below kernels/cuda/vendor", "engine/bad.cpp", ["#include <cudnn.h>"]),
    ("belongs below kernels/cuda/vendor", "kernels/cuda/bad.cpp", ["#include <cudnn_frontend.h>"]),
    ("belongs below kernels/cuda/vendor", "kernels/cuda/bad.cu", ["#include <cublasLt.h>"]),
    ("belongs below kernels/cuda/vendor", "tests/kernels/cuda/bad.cpp", ["#include <cublas_v2.h>"]),
    ("belongs into bench", "engine/bad.cpp", ["#include <torch/torch.h>"]),
    ("there is no kernels/core/ops/rectify.h", "engine/ops/rectify.h", ['#include "engine/tensor.h"']),
    ("a switch on a part of the build", "nn/modules/bad.cpp", ["#ifdef MIRILLA_CUDA", "#endif"]),
    ("a switch on a part of the build", "kernels/core/bad.cpp", ["  # if defined(MIRILLA_ONEDNN)", "#endif"]),
    ("names a command-line flag", "nn/train/bad.cpp", ['throw Error("too few", "a smaller --batch-size");']),
    ("names a command-line flag", "data/bad.cpp", ['const char* hint = "there are more: 5 (--limit takes fewer)";']),
    ("more than 500", "nn/modules/bad.cpp", ["//"] * 500),
]

RAW = [  # the same, of files that write() would not write
    ("SPDX-License-Identifier", "nn/modules/bad.cpp", "int x;\n"),
    ("no #pragma once", "nn/modules/bad.h", LICENCE + "int x;\n"),
    ("second line", "tools/bad", "#!/bin/sh\necho\n"),
]


def write(tree, name, text):
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)


def source(name, lines):
    """A file that keeps the rules but for its lines."""
    return LICENCE + ("#pragma once\n" if name.endswith(".h") else "") + "".join(line + "\n" for line in lines)


class CheckTree(unittest.TestCase):
    def check(self, name=None, text=None, missing=None):
        """The exit code and what was printed for the clean tree with one more file, or without one of its own."""
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            for file, lines in CLEAN.items():
                write(tree, file, source(file, lines))
            if name:
                write(tree, name, text)
            if missing:
                (tree / missing).unlink()
            done = subprocess.run([sys.executable, CHECKER, tree], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            return done.returncode, done.stdout

    def expect(self, name, text, said, subject):
        code, printed = self.check(name, text)
        self.assertEqual(code, 1, f"not noticed: {name}: {text[:200]}")
        self.assertRegex(printed, r"\A[^\n]*\n1 violations\n\Z")
        self.assertTrue(printed.startswith(f"{subject}: ") and said in printed, f"expected '{subject}: ...{said}', got: {printed}")

    def test_nothing_is_wrong_in_the_clean_tree(self):
        self.assertEqual(self.check(), (0, ""))

    def test_each_planted_violation_is_named(self):
        for said, name, lines in PLANTED:
            with self.subTest(said=said, name=name):
                self.expect(name, source(name, lines), said, name)

    def test_each_planted_file_is_named(self):
        for said, name, text in RAW:
            with self.subTest(said=said, name=name):
                self.expect(name, text, said, name)

    def test_an_operator_without_one_of_its_files_is_named(self):
        code, printed = self.check(missing="kernels/cuda/relu.cu")
        self.assertEqual(code, 1)
        self.assertIn("kernels/core/ops/relu.h: there is no kernels/cuda/relu.cu", printed)

    def test_an_unknown_folder_is_named(self):
        self.expect("nn/unknown/file.cpp", source("nn/unknown/file.cpp", []), "does not know this folder", "nn/unknown")


if __name__ == "__main__":
    unittest.main()
