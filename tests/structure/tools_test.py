#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/ptxas-table, with invented compiler output, and what tools/emulate tells a program: needs no nvcc."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


table = load("ptxas-table")

PTXAS = """\
ptxas info    : Compiling entry function '_Z1fv' for 'sm_80'
ptxas info    : Function properties for _Z1fv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 30 registers, used 1 barriers, 64 bytes smem
ptxas info    : Compiling entry function '_Z1fv' for 'sm_90'
ptxas info    : Function properties for _Z1fv
    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
"""


class PtxasTable(unittest.TestCase):
    def row(self, reason="", **memory):
        return table.Row({"sm_80": 30, "sm_90": 40}, 0, memory, reason)

    def fails(self, now, before):
        return table.compare({("a.cu", "f"): now}, {("a.cu", "f"): before} if before else {})[0]

    def test_reads_what_ptxas_says(self):
        self.assertEqual(table.parse(PTXAS), {("_Z1fv", "sm_80"): (30, 0, 0, 0, 64), ("_Z1fv", "sm_90"): (255, 16, 12, 8, 0)})

    def test_shortens_names(self):
        self.assertEqual(table.short("void mirilla::cuda::(anonymous namespace)::f<mirilla::Half, (bool)1>(mirilla::Half*)"), "f<Half, (bool)1>")

    def test_a_new_spill_fails(self):
        self.assertEqual(len(self.fails(self.row(sm_90=(0, 4, 4)), None)), 1)
        self.assertEqual(len(self.fails(self.row(sm_90=(0, 4, 4)), self.row())), 1)
        self.assertEqual(len(self.fails(self.row(sm_90=(8, 0, 0)), self.row())), 1)

    def test_one_with_a_reason_passes_until_it_grows_or_comes_elsewhere(self):
        known = self.row("cold path", sm_90=(8, 4, 4))
        self.assertEqual(self.fails(self.row(sm_90=(8, 4, 4)), known), [])
        self.assertEqual(len(self.fails(self.row(sm_90=(8, 8, 4)), known)), 1)
        self.assertEqual(len(self.fails(self.row(sm_80=(8, 4, 4)), known)), 1)
        self.assertEqual(len(self.fails(self.row(sm_90=(8, 4, 4)), self.row("", sm_90=(8, 4, 4)))), 1)

    def test_more_registers_only_show(self):
        fails, tells = table.compare({("a.cu", "f"): self.row()}, {("a.cu", "f"): self.row()._replace(registers={"sm_80": 1, "sm_90": 40})})
        self.assertEqual((fails, len(tells)), ([], 1))

    def test_writes_what_it_reads_and_keeps_reasons(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "table.tsv"
            rows = {("a.cu", "f"): self.row(sm_90=(8, 4, 4)), ("a.cu", "g"): self.row()}
            table.write(path, rows, {("a.cu", "f"): self.row("cold path"), ("a.cu", "g"): self.row("no longer needed")})
            self.assertEqual(table.read(path), {("a.cu", "f"): self.row("cold path", sm_90=(8, 4, 4)), ("a.cu", "g"): self.row()})


class Emulate(unittest.TestCase):
    def run_it(self, *arguments):
        return subprocess.run([ROOT / "tools" / "emulate", *arguments], capture_output=True, text=True)

    def test_turns_options_into_variables_and_passes_the_rest(self):
        done = self.run_it("--gpu", "a100", "--memory", "2G", "--gpus", "2", "--seed", "3", "--detect", "races", "--count", "--summary",
                           "--fail", "cudaFree:1:unknown", "/bin/sh", "-c", 'env | grep ^MIRILLA_EMULATE | sort; echo "$0 $1"; exit 7', "a", "--b")
        self.assertEqual(done.returncode, 7)
        self.assertEqual(done.stdout.splitlines(), [
            "MIRILLA_EMULATE=a100", "MIRILLA_EMULATE_DETECT=races", "MIRILLA_EMULATE_FAIL=cudaFree:1:unknown", "MIRILLA_EMULATE_GPUS=2",
            "MIRILLA_EMULATE_MEMORY=2G", "MIRILLA_EMULATE_REPORT=count,summary", "MIRILLA_EMULATE_SEED=3", "a --b"])

    def test_refuses_what_it_does_not_know(self):
        for arguments, sentence in [((), "a command to run was expected"), (("--sed", "3"), "there is no option '--sed'"),
                                    (("--gpu",), "--gpu wants a value"),
                                    (("--build", "/nowhere", "mirilla"), "/nowhere/bin/emulated/mirilla is not there: cmake --preset emulated")]:
            done = self.run_it(*arguments)
            self.assertEqual(done.returncode, 2)
            self.assertTrue(done.stderr.startswith(f"tools/emulate: {sentence}"), done.stderr)


if __name__ == "__main__":
    unittest.main()
