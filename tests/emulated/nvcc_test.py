#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nvcc_test.py [BUILD]: small CUDA programs, and some that are refused, through `tools/emulate nvcc`."""
import concurrent.futures
import contextlib
import io
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else ROOT / "build" / "emulated"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))
import emulate_nvcc  # noqa: E402

PROGRAMS = ROOT / "tests" / "emulated" / "programs"
# Where `printf` of the host would differ, CUDA's documentation decides: a conversion it does not know is printed as it stands.
PRINTED = """\
-3    42|42   |00042 +7 4000000000 ff 0XFF 10
-5000000000 18000000000000000000 1234567890123 -2 ok %
1.500000 0.667    -1.25 1.234568e+04 1e-10 3.14
shared      right|left  |cu
"""


def emulate(*arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIRILLA_EMULATE")} | variables
    return subprocess.run([ROOT / "tools" / "emulate", "--build", BUILD, *map(str, arguments)], capture_output=True, text=True, env=environment,
                          check=False)


class Nvcc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.kept.name)
        sources = sorted(PROGRAMS.glob("*.cu"))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            cls.built = dict(zip([source.stem for source in sources], pool.map(cls.compile, sources)))

    @classmethod
    def tearDownClass(cls):
        cls.kept.cleanup()

    @classmethod
    def compile(cls, source, *options):
        return emulate("nvcc", source, "-o", cls.folder / source.stem, "-std=c++20", "-arch=sm_80", f"-I{ROOT}", *options)

    def run_it(self, name, *options, **variables):
        self.assertEqual(self.built[name].returncode, 0, self.built[name].stderr)
        return emulate(*options, self.folder / name, **variables)

    def passes(self, name, *options, **variables):
        done = self.run_it(name, *options, **variables)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout + done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], f"{name}: passed")
        return done.stdout

    def test_streams_events_and_host_functions(self):
        self.passes("streams")
        self.passes("streams", "--seed", "3", "--detect", "races,unwritten")

    def test_cooperative_groups_and_grids_whose_blocks_wait(self):
        self.passes("groups")
        self.passes("groups", "--seed", "5")

    def test_prints(self):
        self.assertEqual(self.run_it("print").stdout, PRINTED)

    def test_memory_of_all_kinds(self):
        self.passes("memory")
        self.passes("memory", "--gpu", "rtx5090", "--seed", "2")

    def test_one_program_on_several_gpus(self):
        self.assertEqual(self.passes("two_gpus").count("multiprocessors"), 1)
        self.assertEqual(self.passes("two_gpus", MIRILLA_EMULATE="h200,h200").count("NVIDIA H200, 132"), 2)
        self.assertIn("1: NVIDIA A100-SXM4-80GB, 108", self.passes("two_gpus", "--gpu", "h200,a100"))
        self.assertEqual(self.passes("two_gpus", "--gpus", "3").count("NVIDIA H200"), 3)

    def test_graphs_of_nodes(self):
        self.passes("graphs")

    def test_a_program_runs_by_itself(self):
        self.assertEqual(self.built["graphs"].returncode, 0, self.built["graphs"].stderr)
        done = subprocess.run([self.folder / "graphs"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "graphs: passed\n"), done.stderr)

    def refused(self, done, *parts):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(len([line for line in done.stderr.splitlines() if not line.startswith("  hint")]), 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_names_what_is_refused_at_the_call(self):
        self.refused(self.run_it("texture"), "emulated GPU: the program calls cudaMallocArray: textures")

    def test_names_a_failed_assertion(self):
        done = self.run_it("assertion")
        self.assertEqual((done.returncode, done.stdout), (0, "assertion: passed\n"))
        self.assertIn("a trap: the assertion `threadIdx.x < 3` failed in void check()", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_names_what_does_not_link(self):
        self.refused(self.built["driver"], "the program calls cuInit: the driver API is not emulated")

    def test_names_libraries_that_are_not_there(self):
        self.refused(self.compile(PROGRAMS / "print.cu", "-lcublas"), "libcublas: it is NVIDIA's library of machine code")
        self.refused(self.compile(PROGRAMS / "print.cu", "-lcuda"), "libcuda: the driver API is not emulated")

    def test_names_dynamic_parallelism(self):
        source = self.folder / "launches.cu"
        source.write_text("__global__ void f() {}\n__global__ void g() { f<<<1, 1>>>(); }\nint main() { g<<<1, 1>>>(); }\n")
        done = self.compile(source)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.splitlines()[-1].startswith("tools/emulate nvcc: a kernel that launches kernels"), done.stderr)

    def test_says_what_it_takes(self):
        self.refused(emulate("nvcc", PROGRAMS / "print.cu", "--cubin"), "--cubin is not for an emulated GPU")
        done = emulate("nvcc", "-o", "x")
        self.assertEqual(done.returncode, 2)
        self.assertIn("a source file was expected", done.stderr)

    def test_says_where_nvcc_comes_from(self):
        told = io.StringIO()
        with mock.patch.object(os, "access", return_value=False), contextlib.redirect_stderr(told), self.assertRaises(SystemExit):
            emulate_nvcc.find_nvcc()
        self.assertIn("nvcc was not found\n  hint: tools/setup cuda fetches it", told.getvalue())

    # A function of the runtime is there, or it is refused by its name at the call: none is left to the linker.
    def test_every_function_of_the_runtime_links(self):
        header = self.folder / "functions.cu"
        header.write_text("#include <cuda_runtime_api.h>\n")
        listed = subprocess.run(["g++", "-E", "-x", "c++", *self.include_of_nvcc(), header], capture_output=True, text=True, check=True).stdout
        declared = set(re.findall(r"\bcudaError_t\s+(cuda[A-Z]\w+)\s*\(", listed))
        self.assertGreater(len(declared), 250)
        library = BUILD / "kernels" / "libmirilla_emulate.a"
        defined = subprocess.run(["nm", "--defined-only", library], capture_output=True, text=True, check=True).stdout
        self.assertEqual(declared - set(re.findall(r" T (\w+)", defined)), set())

    @staticmethod
    def include_of_nvcc():
        nvcc = pathlib.Path(os.path.realpath(emulate_nvcc.find_nvcc()))
        return [f"-I{nvcc.parents[1] / 'include'}"]


if __name__ == "__main__":
    unittest.main()
