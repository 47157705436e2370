#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/ptxas-table and tools/ptx_patterns.py, with invented compiler output, and what tools/emulate tells a program: needs no nvcc."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))

import ptx_patterns  # noqa: E402


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


PTX = """\
.version 9.0
.target sm_90
.visible .entry _Z1fv(
)
{
%s
}
"""


class PtxPatterns(unittest.TestCase):
    def found(self, *lines):
        return [(pattern, count) for _, _, pattern, count in ptx_patterns.found_in(PTX % "\n".join(lines))]

    def test_halves_of_a_vector_that_was_taken_apart(self):
        pieces = [f"st.global.u16 \t[%rd1+{2 * i}], %rs{i};" for i in range(1, 6)]
        self.assertEqual(self.found("st.global.u16 \t[%rd1], %rs0;", "mov.u32 %r1, 0;", *pieces, "st.global.v2.u16 \t[%rd1+12], {%rs6, %rs7};"),
                         [("st.global 2+2+2+2+2+2+4", 1)])
        self.assertEqual(self.found("ld.global.nc.f32 \t%f1, [%rd2+4];", "ld.global.nc.f32 \t%f2, [%rd2];"), [("ld.global.nc 4+4", 1)])

    def test_whole_vectors_and_what_cannot_be_one(self):
        self.assertEqual(self.found("st.global.v4.b32 [%rd1], {%r1, %r2, %r3, %r4};", "st.global.v4.b32 [%rd1+16], {%r1, %r2, %r3, %r4};"), [])
        self.assertEqual(self.found("st.global.u16 \t[%rd1], %rs0;", "@%p1 bra $L__BB0_2;", "st.global.u16 \t[%rd1+2], %rs0;"), [])
        self.assertEqual(self.found("st.global.u16 \t[%rd1], %rs0;", "$L__BB0_2:", "st.global.u16 \t[%rd1+2], %rs0;"), [])
        self.assertEqual(self.found("ld.global.f32 \t%f1, [%rd1];", "st.global.f32 \t[%rd1+4], %f1;"), [])
        self.assertEqual(self.found("ld.global.f32 \t%f1, [%rd1];", "ld.global.f32 \t%f2, [%rd1+64];"), [])
        self.assertEqual(self.found("st.shared.u16 \t[%r1], %rs0;", "st.shared.u16 \t[%r1+2], %rs0;"), [])

    def test_a_barrier_that_orders_nothing(self):
        self.assertEqual(self.found("bar.sync 0;", "mov.u32 %r1, 0;", "bar.warp.sync -1;"), [("needless barrier", 1)])
        self.assertEqual(self.found("bar.sync 0;", "st.shared.f32 [%r1], %f1;", "bar.warp.sync -1;", "ld.shared.f32 %f1, [%r1];"), [])
        self.assertEqual(self.found("bar.sync 0;", "$L__BB0_1:", "bar.warp.sync -1;"), [])

    def test_a_reason_is_for_a_template_and_must_be_needed(self):
        patterns = {("a.cu", "f<Half>", "st.global 2+2"): {"sm_80": 2, "sm_90": 3}}
        of = lambda name, arch, reason: {("a.cu", name, "st.global 2+2", arch): reason}  # noqa: E731
        both = of("f", "sm_80", "few") | of("f", "sm_90", "few")
        self.assertEqual(ptx_patterns.compare(patterns, both, ("sm_80", "sm_90")), ([], []))
        unexplained, unused = ptx_patterns.compare(patterns, of("f", "sm_80", "few") | of("g", "sm_90", "few") | of("h", "sm_120", "few"), ("sm_80", "sm_90"))
        self.assertEqual(len(unexplained), 1)
        self.assertIn("f<Half>: st.global 2+2 (3 for sm_90)", unexplained[0])
        self.assertEqual(len(unused), 1)
        self.assertIn("a.cu: g", unused[0])


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
