#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What tools/gpu-check promises for the one call on a lent GPU: its rehearsal on the emulated one, a second call that goes on, its figures."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import types
import unittest

from gpu_check_support import CEILINGS, ROOT, TRAIN, Machine

from gpu_check import command, contender, figures, modes, pack, profile, races, sanitize, stages

DEVICE = """[ "$1" = device ] && echo '{"version_line": "cuda: NVIDIA H200, sm_90"}'"""
PASSES = "echo '[ RUN      ] A.b'; echo '[       OK ] A.b (0 ms)'"
STEPS = """{"from_the_same_state": {"largest_relative_difference": 1e-6}, "tolerance_from_the_same_state": 1e-4,
            "left_alone": {"largest_relative_difference": 1e-5}}"""
COUNTED = "    8     100     200     0     30     30     0     40  void f<int>(int)"
# A gpu_check that does what a stage asks, and takes part in races with `answer`.
GPU_CHECK = """#!{python}
import os, pathlib, sys
if "--help" in sys.argv: sys.exit(0)
if sys.argv[1] == "device": print('{{"version_line": "cuda: {gpu}, sm_90"}}'); sys.exit(0)
if sys.argv[1] == "steps": print('''{steps}'''); sys.exit(0)
if sys.argv[1] == "ceilings": print('{{"copy_bytes_per_s": 4e12, "half_flop_per_s": 8e14}}'); sys.exit(0)
store = os.environ["MIRILLA_PLAN_STORE"]
for path, text in ((store, "the plans"), (store + ".lock", "")): pathlib.Path(path).write_text(text)
for line in sys.stdin:
    print("> " + ('''{answer}''' if line.startswith("race") else '{{"seconds": 0.1}}'), flush=True)
if os.environ.get("MIRILLA_EMULATE_REPORT"): print('''{counted}''', file=sys.stderr)
"""


def gpu_check(answer=None, gpu="NVIDIA H200"):
    return GPU_CHECK.format(python=sys.executable, steps=STEPS.replace("\n", " "), counted=COUNTED, gpu=gpu,
                            answer=json.dumps(answer or {"times_ms": [2, 2, 2], "losses": [2.0, 1.9]}))


class Emulated(Machine):
    def test_all_stages_run_and_no_result_has_a_time(self):
        code, results = self.check(None, emulate=True, gpu_check=gpu_check(), test_cuda=PASSES)
        self.assertEqual((code, list(results)), (0, ["device", "tests", "sanitize", "steps", "kernels", "plans"]), results)
        self.assertEqual({result["result"] for result in results.values()}, {"ok"}, results)
        self.assertNotIn("seconds", json.dumps(results))
        self.assertIn("**Emulated, no times.**", self.summary)
        self.assertIn("by the emulated GPU's own detectors", self.summary)
        self.assertIn("by the emulated GPU's counts", self.summary)
        self.assertEqual(json.loads((self.path / "out/results.json").read_text())["about"]["remark"], "emulated, no times")
        self.assertEqual(list(figures.RESULTS.iterdir()), [])

    def test_what_a_detector_finds_fails_the_stage(self):
        found = f'{PASSES}; [ "$MIRILLA_EMULATE_DETECT" = races ] && echo "emulated GPU: a race in f" >&2; exit 0'
        code, results = self.check(["sanitize"], emulate=True, test_cuda=found)
        self.assertEqual((code, results["sanitize"]["result"]), (1, "failed"))
        self.assertIn("racecheck: emulated GPU:", results["sanitize"]["text"])

    def test_a_kernel_report_without_a_kernel_fails(self):
        code, results = self.check(["kernels"], emulate=True, gpu_check=gpu_check().replace("void f<int>(int)", ""))
        self.assertEqual((code, results["kernels"]["result"]), (1, "failed"))
        self.assertIn("it counted no kernel", results["kernels"]["text"])

    def test_a_rehearsal_writes_nothing_among_the_figures(self):
        for arguments in (("--emulate",), ("--rehearse",)):
            done = subprocess.run([ROOT / "tools/gpu-check", *arguments], env=os.environ | {"OUT": str(ROOT / "bench/results/new")},
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertFalse((ROOT / "bench/results/new").exists())

    def test_a_pack_of_the_other_kind_is_refused(self):
        for emulate in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                (pathlib.Path(folder) / "pack.json").write_text(json.dumps({"commit": "x", "glibc": "2.34", "emulated": not emulate}))
                with self.assertRaises(SystemExit) as caught:
                    pack.find_programs(pathlib.Path(folder), modes.EMULATED if emulate else modes.GPU)
                self.assertIn("--emulate", str(caught.exception))

    def test_stages_of_a_gpu_are_wrong_usage(self):
        for arguments in (("--emulate", "--stage", "races"), ("--emulate", "--rehearse")):
            done = subprocess.run([ROOT / "tools/gpu-check", *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, arguments)


class Sanitizer(Machine):
    def test_our_own_kernels_are_checked_convolutions_and_products_first(self):
        asked = self.path / "asked"
        tool = self.script(self.path / "tools/compute-sanitizer", f'#!/bin/sh\necho "$MIRILLA_VENDOR $2 $6" >> {asked}\n{PASSES}\n')
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{tool.parent}:{before}"
        self.addCleanup(os.environ.update, PATH=before)
        code, results = self.check(["sanitize"])
        self.assertEqual((code, results["sanitize"]["facts"]["memcheck"]["tests"]), (0, 2), results)
        parts = [f"--gtest_filter={part}" for part in sanitize.PARTS]
        self.assertEqual(asked.read_text().split("\n")[:4], [f"off {tool} {part}" for tool in ("memcheck", "racecheck") for part in parts])
        for kernel in ("Conv2d", "Matmul"):
            self.assertIn(kernel, sanitize.PARTS[0])


class Profiles(unittest.TestCase):
    def looking(self, *answers):
        said = iter(answers)
        return types.SimpleNamespace(programs=pathlib.Path("/nowhere"), device_name="cuda", limit=8, out=pathlib.Path("/nowhere"), mode=modes.GPU,
                                     call=lambda *command, **options: next(said))

    def setUp(self):
        before, profile.found = profile.found, lambda name: None
        self.addCleanup(setattr, profile, "found", before)

    def test_what_is_profiled_is_raced_so_its_plans_are_known(self):
        self.assertLessEqual(set(modes.GPU.profiled), set(races.HEADLINES))

    def test_a_time_that_ran_out_is_not_called_a_prohibition(self):
        with self.assertRaises(stages.Unavailable) as caught:
            profile.kernels(self.looking((None, "half a table"), (1, "CUPTI cannot record: not permitted")))
        self.assertEqual(str(caught.exception), "no kernel was timed: CUPTI, train 256 128 fp16: its time ran out; "
                                                "CUPTI, infer 256 224 fp16: CUPTI cannot record: not permitted")

    def test_a_second_start_that_chooses_again_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            def call(*command, env, **options):
                pathlib.Path(env["MIRILLA_PLAN_STORE"]).write_text(str(time.monotonic()))
                return 0, '> {"seconds": 1}\n' * len(modes.GPU.profiled)
            looking = types.SimpleNamespace(programs=pathlib.Path("/nowhere"), device_name="cuda", limit=8, out=pathlib.Path(folder),
                                            mode=modes.GPU, call=call)
            with self.assertRaises(stages.Failed):
                profile.plans(looking)


class Surroundings(Machine):
    def test_a_tree_without_git_is_unknown(self):
        before = os.environ["PATH"]
        os.environ["PATH"] = str(self.path)
        self.addCleanup(os.environ.update, PATH=before)
        self.assertEqual(pack.commit(), "unknown")

    def test_pytorch_is_asked_for_its_facts_without_importing_it(self):
        (self.path / "torch").mkdir()
        (self.path / "torch/__init__.py").write_text("import time; time.sleep(60)\n")
        (self.path / "torch-9.9.dist-info").mkdir()
        (self.path / "torch-9.9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
        (self.path / "nvidia/cudnn/lib").mkdir(parents=True)
        os.environ["PYTHONPATH"] = str(self.path)
        self.addCleanup(os.environ.pop, "PYTHONPATH")
        facts = contender.torch_facts.__wrapped__(sys.executable, limit=20)
        self.assertEqual((facts.get("version"), facts.get("libraries")), ("9.9", [str(self.path / "nvidia/cudnn/lib")]), facts)

    def test_what_is_out_of_time_is_ended_with_its_children(self):
        checks = stages.Check(self.path, self.path, "no-such-python", modes.GPU)
        self.addCleanup(checks.log.close)
        checks.begin(60)
        start = time.monotonic()
        code, _ = checks.call("/bin/sh", "-c", "sleep 30 & sleep 30", limit=0.5)
        self.assertIsNone(code)
        self.assertLess(time.monotonic() - start, 10)

    def test_no_compiler_runs_beside_the_ceilings(self):
        order = []
        checks = command.Checks(self.path, self.path, "no-such-python", modes.GPU)
        self.addCleanup(checks.log.close)
        checks.field = types.SimpleNamespace(wait_for_compilers=lambda limit: order.append("waited"))
        checks.document = lambda *command: order.append("measured") or (dict(CEILINGS), True)
        checks.begin(40)
        checks.ceilings()
        self.assertEqual(order, ["waited", "measured"])
        self.assertLess(list(command.LIMITS_S).index("steps"), list(command.LIMITS_S).index("ceilings"))

    def test_the_races_have_the_time_that_other_stages_left(self):
        limits = {}
        run_stage, command.run_stage = command.run_stage, lambda checks, name, limit, *rest: limits.setdefault(name, limit) and {"result": "ok"}
        self.addCleanup(setattr, command, "run_stage", run_stage)
        earlier = command.Earlier(None, self.path, {})
        command.run_all(types.SimpleNamespace(samples={}), command.LIMITS_S, earlier, lambda results: None)
        self.assertGreater(limits["races"], 400)
        self.assertLessEqual(limits["races"], command.TOTAL_S)


class SecondCall(Machine):
    def all_stages(self, *arguments, **options):
        answer = {"times_ms": [4, 4, 4], "losses": [2.0, 1.9]}
        return self.check(None, *arguments, python=self.python(answer), gpu_check=options.pop("gpu_check", gpu_check()), **options)

    def test_it_goes_on_with_what_is_missing_and_takes_the_plans_along(self):
        code, first = self.all_stages(test_cuda="exit 1", out="first")
        self.assertEqual((code, first["tests"]["result"], first["races"]["result"]), (1, "failed", "ok"), first)
        code, second = self.all_stages(test_cuda=PASSES, resume="first", gpu_check=gpu_check({"times_ms": [1, 1, 1], "losses": [2.0, 1.9]}))
        self.assertEqual((code, second["tests"]["result"], second["races"]), (0, "ok", first["races"] | {"earlier": True}))
        self.assertNotIn("earlier", second["tests"])
        self.assertEqual((self.path / "out/plans.json").read_text(), "the plans")
        self.assertIn("| races | ok | ", self.summary)
        self.assertEqual(set(json.loads((self.path / "out/samples.json").read_text())), {race.words for race in races.HEADLINES})

    def test_only_races_that_were_not_finished_are_run_again(self):
        _, first = self.all_stages(test_cuda=PASSES, out="first")
        document = json.loads((self.path / "first/results.json").read_text())
        document["stages"]["races"]["facts"][TRAIN.words]["rows"]["Mirilla"] = {"losses": [], "unavailable": "the stage's time ran out"}
        (self.path / "first/results.json").write_text(json.dumps(document))
        code, second = self.all_stages(test_cuda=PASSES, resume="first", gpu_check=gpu_check({"times_ms": [1, 1, 1], "losses": [2.0, 1.9]}))
        rates = {race: result["rows"]["Mirilla"]["images_per_s"] for race, result in second["races"]["facts"].items()}
        self.assertEqual(rates, {race.words: race.batch * (1000 if race == TRAIN else 500) for race in races.HEADLINES})
        self.assertEqual(set(json.loads((self.path / "out/samples.json").read_text())), set(rates))

    def test_a_call_that_is_cut_off_leaves_the_races_that_it_finished(self):
        judge, seen = races.judge, []

        def cut_off(race, *rest):
            if seen:
                raise KeyboardInterrupt
            seen.append(race)
            return judge(race, *rest)
        races.judge = cut_off
        self.addCleanup(setattr, races, "judge", judge)
        with self.assertRaises(KeyboardInterrupt):
            self.all_stages(test_cuda=PASSES, out="first")
        races.judge = judge
        _, second = self.all_stages(test_cuda=PASSES, resume="first", gpu_check=gpu_check({"times_ms": [1, 1, 1], "losses": [2.0, 1.9]}))
        rates = [result["rows"]["Mirilla"]["images_per_s"] / race.batch for race, result in zip(races.HEADLINES, second["races"]["facts"].values())]
        self.assertEqual(rates, [500, 1000, 1000, 1000])

    def test_results_of_another_gpu_are_not_taken(self):
        self.all_stages(test_cuda=PASSES, out="first")
        _, second = self.all_stages(test_cuda=PASSES, resume="first", gpu_check=gpu_check(gpu="NVIDIA H100 80GB HBM3"))
        self.assertNotIn("earlier", json.dumps(second))
        self.assertIn("the earlier results are of another GPU", self.summary)

    def test_a_stage_that_was_asked_for_later_joins_the_others(self):
        _, first = self.all_stages(test_cuda=PASSES, out="first")
        code, second = self.check(["plans"], resume="first", gpu_check=gpu_check())
        self.assertEqual((code, set(second)), (0, {*first, "plans"}))
        self.assertIn("| plans | ok |", (figures.RESULTS / "gpu.md").read_text())
        _, third = self.check(["plans"], resume="first", gpu_check=gpu_check(gpu="NVIDIA H100 80GB HBM3"))
        self.assertEqual(set(third), {"device", "plans"})

    def test_a_folder_without_results_is_said_and_everything_runs(self):
        code, results = self.all_stages(test_cuda=PASSES, resume="nothing")
        self.assertEqual(code, 0, results)
        self.assertIn("has no results to go on from", self.summary)

    def test_no_more_files_are_left_than_come_back_from_a_lent_machine(self):
        self.check([*command.LIMITS_S, "plans"], python=self.python({"times_ms": [4, 4, 4], "losses": [2.0]}), gpu_check=gpu_check(), test_cuda=PASSES)
        self.assertEqual({path.name for path in (self.path / "out").rglob("*")}, {"summary.md", "results.json", "samples.json", "plans.json",
                                                                                  "log.txt", "device.txt", "gpu.md"})  # of 8 at most


class Figures(Machine):
    def raced(self, ours, compiled):
        rows = {name: {"images_per_s": rate, "spread": 0.0, "losses": []} for name, rate in (("Mirilla", ours), ("PyTorch compile", compiled))}
        return {"rows": rows, "times_the_best": ours / compiled, "times_eager": None}

    def results(self, gpu="NVIDIA H200", train=1.2, pictures=91_000):
        facts = {race.words: self.raced(train * 1000, 1000) if race.kind == "train" else self.raced(pictures, 1000) for race in races.HEADLINES}
        return {"device": {"result": "ok", "seconds": 1, "facts": {"device": f"cuda: {gpu}, sm_90"}},
                "races": {"result": "ok", "seconds": 9, "facts": facts}}

    def test_goals_stand_beside_figures(self):
        figures.write(self.path, self.results(), "pack of x", "2.11", folder=self.path, today="2026-12-01")
        text = (self.path / "gpu.md").read_text()
        self.assertIn("| training, 64 at 128 px | 1.15 times the best compiled PyTorch | 1.20 times (1200 pictures/s against 1000) | reached |", text)
        self.assertIn("| inference, 256 at 224 px | 90000 pictures/s | 91000 pictures/s | reached |", text)
        figures.write(self.path, self.results(train=1.1, pictures=89_000), "pack of x", folder=self.path)
        self.assertEqual((self.path / "gpu.md").read_text().count("not reached"), 3)

    def test_each_gpu_keeps_its_section_and_an_h100_has_no_goal_in_pictures(self):
        for gpu, times in (("NVIDIA H200", 1.2), ("NVIDIA H100 80GB HBM3", 1.3), ("NVIDIA H200", 1.4)):
            figures.write(self.path, self.results(gpu, times), "pack of x", folder=self.path)
        text = (self.path / "gpu.md").read_text()
        self.assertEqual((text.count("\n## "), text.count("1.20 times ("), text.count("1.30 times ("), text.count("1.40 times (")), (2, 0, 2, 2))
        self.assertIn("| none for this GPU | 91000 pictures/s |  |", text)

    def test_a_check_writes_them_and_a_rehearsal_does_not(self):
        answer = {"times_ms": [4, 4, 4], "losses": [2.0, 1.9]}
        self.check(None, python=self.python(answer), gpu_check=gpu_check(), test_cuda=PASSES)
        self.assertIn("## NVIDIA H200", (figures.RESULTS / "gpu.md").read_text())
        (figures.RESULTS / "gpu.md").unlink()
        self.check(None, rehearse=True, python=self.python(answer), gpu_check=gpu_check())
        self.assertFalse((figures.RESULTS / "gpu.md").exists())


if __name__ == "__main__":
    unittest.main()
