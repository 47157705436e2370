#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/ptxas-table and tools/gpu-check, with a compiler's words and programs that are made up here: needs neither nvcc nor a GPU."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


table, gpu = load("ptxas-table"), load("gpu-check")

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


class GpuCheck(unittest.TestCase):
    """On a machine that is said to have a GPU, with programs that are shell scripts."""

    def check(self, stages, **programs):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
            for name, text in {"gpu_check": "exit 0", "test_cuda": "exit 0", **programs}.items():
                path = pathlib.Path(folder) / "bin" / name
                path.parent.mkdir(exist_ok=True)
                path.write_text("#!/bin/sh\n" + text + "\n")
                path.chmod(0o755)
            (pathlib.Path(folder) / "pack.json").write_text('{"commit": "unknown", "glibc": "2.34"}')
            os.environ["OUT"] = folder + "/out"
            gpu.no_gpu = lambda: None
            code = gpu.check(types.SimpleNamespace(dir=pathlib.Path(folder), stage=stages))
            results = json.loads((pathlib.Path(folder) / "out/results.json").read_text())
            self.assertEqual(said.getvalue(), (pathlib.Path(folder) / "out/summary.md").read_text())
            return code, results

    @unittest.skipUnless(gpu.no_gpu(), "there is a GPU")
    def test_without_a_gpu_it_says_so_in_one_line_and_ends_with_3(self):
        done = subprocess.run([ROOT / "tools/gpu-check", "--stage", "steps"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (3, "", 1))
        self.assertTrue(done.stderr.startswith("gpu-check: "), done.stderr)

    def test_one_stage_alone(self):
        code, results = self.check(["device"], gpu_check="""echo '{"version_line": "cuda: a GPU"}'""")
        self.assertEqual((code, list(results), results["device"]["result"]), (0, ["device"], "ok"))

    def test_tests_that_pass_are_counted(self):
        code, results = self.check(["tests"], test_cuda="echo '[ RUN      ] A.b'; echo '[       OK ] A.b (0 ms)'")
        self.assertEqual((code, results["tests"]["result"]), (0, "ok"))
        self.assertGreaterEqual(results["tests"]["facts"]["tests"], 1)

    def test_a_failure_a_skip_a_crash_and_no_test_at_all_are_failures(self):
        for text in ("echo '[ RUN      ] A.b'; echo '[  FAILED  ] A.b (0 ms)'; exit 1", "echo '[ RUN      ] A.b'; echo '[  SKIPPED ] A.b (0 ms)'",
                     "echo '[ RUN      ] A.b'; kill -9 $$", "exit 0"):
            code, results = self.check(["tests"], test_cuda=text)
            self.assertEqual((code, results["tests"]["result"]), (1, "failed"), text)

    def test_a_failing_stage_stops_no_other_and_time_runs_out(self):
        gpu.LIMITS_S["tests"], kept = 1, gpu.LIMITS_S["tests"]
        code, results = self.check(["tests", "device", "steps"], test_cuda="exec sleep 20",
                                   gpu_check="""[ "$1" = steps ] && exit 9; echo '{"version_line": "cuda: a GPU"}'""")
        gpu.LIMITS_S["tests"] = kept
        self.assertEqual({name: result["result"] for name, result in results.items()}, {"device": "ok", "tests": "failed", "steps": "failed"})
        self.assertLess(results["tests"]["seconds"], 10)
        self.assertEqual(code, 1)

    def test_steps_that_differ_fail_and_are_shown(self):
        facts = """{"from_the_same_state": {"largest_relative_difference": 0.5}, "tolerance_from_the_same_state": 1e-4,
                    "left_alone": {"largest_relative_difference": 0.6}}"""
        code, results = self.check(["steps"], gpu_check=f"""[ "$1" = steps ] || exit 0; echo '{facts}'; exit 1""")
        self.assertEqual((code, results["steps"]["result"]), (1, "failed"))
        self.assertEqual(results["steps"]["facts"]["f32"]["left_alone"]["largest_relative_difference"], 0.6)

    def test_all_limits_together_are_nine_minutes_at_most(self):
        self.assertLessEqual(sum(gpu.LIMITS_S.values()), 540)


if __name__ == "__main__":
    unittest.main()
