#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/gpu-check on a machine that pretends to have a GPU, with scripts as programs: needs neither a GPU nor PyTorch."""
import json
import pathlib
import subprocess
import sys
import time
import types
import unittest

from gpu_check_support import CEILINGS, ROOT, TRAIN, Machine

from gpu_check import command, contender, modes, profile, races, report, stages


def entry(*rounds, losses=(2.0, 1.9)):
    return {"times_ms": [list(r) for r in rounds], "losses": list(losses)}


def field_of(**changes):
    """All contenders train 64 pictures in 8 ms, Mirilla in 5."""
    return {"Mirilla": entry([5, 5], [5, 5]), "PyTorch eager": entry([8, 8], [8, 8]), "LibTorch C++": entry([8, 8], [8, 8])} | changes


class Stages(Machine):
    def test_one_stage_alone(self):
        code, results = self.check(["device"], gpu_check="""echo '{"version_line": "cuda: a GPU"}'""")
        self.assertEqual((code, list(results), results["device"]["result"]), (0, ["device"], "ok"))

    def test_what_a_program_says_beside_its_document_is_passed_over(self):
        code, results = self.check(["device"], gpu_check="""echo 'the file of plans is damaged {' >&2; echo '{"version_line": "a GPU"}'; echo more >&2""")
        self.assertEqual((code, results["device"]["facts"]), (0, {"device": "a GPU"}))

    def test_tests_that_pass_are_counted(self):
        code, results = self.check(["tests"], test_cuda="echo '[ RUN      ] A.b'; echo '[       OK ] A.b (0 ms)'")
        self.assertEqual((code, results["tests"]["result"]), (0, "ok"))
        self.assertGreaterEqual(results["tests"]["facts"]["tests"], 1)

    def test_all_tests_run_with_the_libraries_and_with_our_own_kernels(self):
        kept = self.path / "vendors"
        code, results = self.check(["tests"], test_cuda=f"echo '[ RUN      ] A.b'; echo $MIRILLA_VENDOR >> {kept}; "
                                   "[ $MIRILLA_VENDOR = on ] || { echo '[  FAILED  ] A.b (0 ms)'; exit 1; }")
        self.assertEqual(code, 1)
        self.assertEqual(set(kept.read_text().split()), {"on", "off"})
        self.assertIn("A.b (MIRILLA_VENDOR=off)", results["tests"]["facts"]["failed"])

    def test_a_failure_a_skip_a_crash_and_no_test_at_all_are_failures(self):
        for text in ("echo '[ RUN      ] A.b'; echo '[  FAILED  ] A.b (0 ms)'; exit 1", "echo '[ RUN      ] A.b'; echo '[  SKIPPED ] A.b (0 ms)'",
                     "echo '[ RUN      ] A.b'; kill -9 $$", "exit 0"):
            code, results = self.check(["tests"], test_cuda=text)
            self.assertEqual((code, results["tests"]["result"]), (1, "failed"), text)

    def test_a_failing_stage_stops_no_other_and_time_runs_out(self):
        command.LIMITS_S["tests"] = 1
        code, results = self.check(["tests", "device", "steps"], test_cuda="exec sleep 20",
                                   gpu_check="""[ "$1" = steps ] && exit 9; echo '{"version_line": "cuda: a GPU"}'""")
        self.assertEqual({name: result["result"] for name, result in results.items()}, {"device": "ok", "tests": "failed", "steps": "failed"})
        self.assertLess(results["tests"]["seconds"], 10)
        self.assertEqual(code, 1)

    def test_steps_that_differ_fail_and_are_shown(self):
        facts = """{"from_the_same_state": {"largest_relative_difference": 0.5}, "tolerance_from_the_same_state": 1e-4,
                    "left_alone": {"largest_relative_difference": 0.6}}"""
        code, results = self.check(["steps"], gpu_check=f"""[ "$1" = steps ] || exit 0; echo '{facts}'; exit 1""")
        self.assertEqual((code, results["steps"]["result"]), (1, "failed"))
        self.assertEqual(results["steps"]["facts"]["f32"]["left_alone"]["largest_relative_difference"], 0.6)

    def test_the_ceiling_is_the_higher_of_two(self):
        gpu_check = """[ "$1" = ceilings ] && echo '{"copy_bytes_per_s": 3e12, "half_flop_per_s": 1e13}'; exit 0"""
        code, results = self.check(["ceilings"], python=self.python({}), gpu_check=gpu_check)
        facts = results["ceilings"]["facts"]
        self.assertEqual((code, facts["copy_bytes_per_s"], facts["half_flop_per_s"]), (0, 3e12, 1e14))
        _, results = self.check(["ceilings"], gpu_check=gpu_check)  # without PyTorch there are only our own
        self.assertEqual(results["ceilings"]["result"], "failed" if "facts" not in results["ceilings"] else "ok")
        self.assertEqual(results["ceilings"]["facts"]["half_flop_per_s"], 1e13)

    def test_races_are_run_in_turns_judged_and_kept(self):
        code, results = self.check(["races"], python=self.python({"times_ms": [8, 8, 8], "losses": [2.0, 1.9]}),
                                   gpu_check=self.serving({"times_ms": [4, 4, 4], "losses": [2.0, 1.91]}))
        self.assertEqual((code, results["races"]["result"]), (0, "ok"), results)
        race = results["races"]["facts"][TRAIN.words]
        self.assertEqual(race["times_the_best"], 2)
        self.assertAlmostEqual(race["rows"]["Mirilla"]["images_per_s"], 16000)
        self.assertIn("no LibTorch", race["rows"]["LibTorch C++"]["unavailable"])
        samples = json.loads((self.path / "out/samples.json").read_text())
        self.assertEqual(samples[TRAIN.words]["PyTorch compile"], [[8, 8, 8], [8, 8, 8]])
        self.assertIn("2.00 times the best rival", self.summary)

    def test_without_pytorch_the_race_is_void_and_no_failure(self):
        code, results = self.check(["races"], gpu_check=self.serving({"times_ms": [4, 4, 4], "losses": [2.0]}))
        self.assertEqual((code, results["races"]["result"]), (0, "ok"))
        self.assertEqual(results["races"]["facts"][TRAIN.words]["void"], "no rival counts")

    def test_where_mirilla_dies_the_rivals_are_timed_and_the_stage_fails(self):
        code, results = self.check(["races"], python=self.python({"times_ms": [8, 8, 8], "losses": [2.0]}), gpu_check="exit 0")
        self.assertEqual((code, results["races"]["result"]), (1, "failed"))
        rows = results["races"]["facts"][TRAIN.words]["rows"]
        self.assertIn("ended", rows["Mirilla"]["unavailable"])
        self.assertEqual(rows["PyTorch eager"]["images_per_s"], 8000)

    def test_the_time_of_the_races_runs_out(self):
        command.ALONE_S["races"], kept = 4, command.ALONE_S["races"]
        self.addCleanup(command.ALONE_S.update, races=kept)
        start = time.monotonic()
        slow = self.serving({}).replace("if line.startswith", "import time; time.sleep(60)\n    if line.startswith")
        code, results = self.check(["races"], gpu_check=slow)
        self.assertLess(time.monotonic() - start, 15)
        self.assertIn("time ran out", results["races"]["facts"][TRAIN.words]["rows"]["Mirilla"]["unavailable"])
        self.assertEqual(code, 1)

    def test_a_rehearsal_takes_small_races_on_the_host_and_says_so(self):
        answer = {"times_ms": [8, 8, 8], "losses": [2.0]}
        code, results = self.check(["races"], rehearse=True, python=self.python(answer), gpu_check=self.serving(answer))
        self.assertEqual((code, list(results["races"]["facts"])), (0, [race.words for race in races.TINY]))
        self.assertIn("a rehearsal on the host", self.summary)

    def test_plans_are_made_once_and_found_again(self):
        code, results = self.check(["plans"], gpu_check=self.serving({}))
        self.assertEqual((code, results["plans"]["facts"]["second_start"]), (0, {race.words: 0.1 for race in modes.GPU.profiled}))


class Command(unittest.TestCase):
    @unittest.skipUnless(command.no_gpu(), "there is a GPU")
    def test_without_a_gpu_it_says_so_in_one_line_and_ends_with_3(self):
        done = subprocess.run([ROOT / "tools/gpu-check", "--stage", "steps"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (3, "", 1))
        self.assertTrue(done.stderr.startswith("gpu-check: "), done.stderr)

    def test_a_rehearsal_of_what_needs_a_gpu_is_wrong_usage(self):
        done = subprocess.run([ROOT / "tools/gpu-check", "--rehearse", "--stage", "steps"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)

    def test_all_usual_stages_together_are_nine_minutes_at_most(self):
        self.assertLessEqual(sum(command.LIMITS_S.values()), 520)  # of 540: asking PyTorch for its facts takes time
        for limit in (*command.ASKED_FOR_S.values(), *command.ALONE_S.values()):
            self.assertLessEqual(limit, 540)


class Contenders(unittest.TestCase):
    def contender(self, text):
        one = contender.Contender("one", [sys.executable, "-c", text], subprocess.DEVNULL)
        self.addCleanup(one.process.stdin.close)
        self.addCleanup(one.process.stdout.close)
        self.addCleanup(one.close)
        return one

    def test_answers_and_passes_over_what_is_no_answer(self):
        one = self.contender("import sys\nfor line in sys.stdin: print('noise'); print('> {\"a\": 1}', flush=True)")
        self.assertEqual([one.ask("x", 10), one.ask("y", 10)], [{"a": 1}] * 2)

    def test_an_error_ends_one_question_and_a_death_all(self):
        one = self.contender("print('> {\"error\": \"no memory\"}', flush=True); input(); input(); raise SystemExit(3)")
        for _ in range(2):
            with self.assertRaises(stages.Unavailable) as caught:
                one.ask("x", 10)
        self.assertIn("ended at 'x' (3)", str(caught.exception))
        with self.assertRaises(stages.Unavailable):
            one.ask("z", 10)

    def test_one_that_hangs_is_ended_with_its_children(self):
        one = self.contender("import subprocess, sys; subprocess.run(['sleep', '60'])")
        start = time.monotonic()
        with self.assertRaises(stages.Unavailable):
            one.ask("x", 0.5)
        self.assertLess(time.monotonic() - start, 5)
        self.assertIsNotNone(one.process.poll())


class Fake:
    """A contender that is slow to prepare."""

    def __init__(self, name, needs=0.0):
        self.name, self.needs, self.limits, self.visits = name, needs, [], 0

    def ask(self, question, limit):
        if question.startswith("prepare"):
            self.limits.append(limit)
            if self.needs > limit:
                raise stages.Unavailable(f"no answer in {limit:.0f} s")
            return {"seconds": self.needs}
        self.visits += 1
        return {"times_ms": [8.0, 8.0], "losses": [2.0]}

    def close(self):
        pass


class Turns(unittest.TestCase):
    def run_with(self, *contenders, left=100.0):
        field = types.SimpleNamespace(ready=lambda limit: contenders, close=lambda all: None)
        return races.run_races(types.SimpleNamespace(left=lambda: left), field, [TRAIN] * 2, races.Pace(), CEILINGS)

    def setUp(self):
        before = races.clocks
        races.clocks = lambda check: ""
        self.addCleanup(setattr, races, "clocks", before)

    def test_one_that_is_slow_to_get_ready_takes_no_others_turns(self):
        one, slow, other = Fake("Mirilla"), Fake("PyTorch compile", needs=60), Fake("PyTorch eager")
        results, samples = self.run_with(one, slow, other)
        self.assertAlmostEqual(slow.limits[0], 0.4 * (100 - 2 * 3 * 2 * 2.0))
        self.assertEqual((one.visits, slow.visits, other.visits), (4, 0, 4))
        self.assertEqual(results[TRAIN.words]["times_the_best"], 1)
        self.assertEqual(samples[TRAIN.words]["PyTorch compile"], [])

    def test_without_time_nobody_has_a_turn(self):
        one = Fake("Mirilla")
        results, _ = self.run_with(one, left=0.0)
        self.assertEqual(one.visits, 0)
        self.assertIn("void", results[TRAIN.words])


class Judging(unittest.TestCase):
    def test_rates_are_medians_of_all_rounds(self):
        rows = races.judge(TRAIN, field_of(Mirilla=entry([5, 50, 5], [4, 4, 5])), None)["rows"]
        self.assertEqual((rows["Mirilla"]["images_per_s"], rows["Mirilla"]["best_round"], rows["Mirilla"]["samples"]), (12800, 16000, 6))

    def test_the_best_rival_is_beaten_by_what_the_rates_say(self):
        verdict = races.judge(TRAIN, field_of(**{"PyTorch compile": entry([6.25] * 2, [6.25] * 2)}), None)
        self.assertAlmostEqual(verdict["times_the_best"], 1.25)
        self.assertAlmostEqual(verdict["times_eager"], 1.6)

    def test_a_rival_below_97_percent_of_its_best_round_is_void(self):
        for slow, void in ((8.2, False), (8.3, True)):
            rows = races.judge(TRAIN, field_of(**{"PyTorch eager": entry([8.0], [slow, slow])}), None)["rows"]
            self.assertEqual("void" in rows["PyTorch eager"], void, slow)

    def test_libtorch_is_held_to_eager_pythons_best(self):
        for ms, void in ((8.2, False), (8.3, True), (7, False)):
            rows = races.judge(TRAIN, field_of(**{"LibTorch C++": entry([ms], [ms])}), None)["rows"]
            self.assertEqual("void" in rows["LibTorch C++"], void, ms)
        rows = races.judge(TRAIN, field_of(**{"PyTorch eager": {"times_ms": [], "losses": [], "unavailable": "no"}}), None)["rows"]
        self.assertIn("void", rows["LibTorch C++"])

    def test_void_rivals_are_not_raced_and_with_none_left_the_race_is_void(self):
        entries = {"Mirilla": entry([5]), "PyTorch eager": entry([2.0], [8.0, 8.0]), "PyTorch compile": entry([10])}
        verdict = races.judge(TRAIN, entries, None)
        self.assertEqual((verdict["times_the_best"], verdict["times_eager"]), (2, None))
        del entries["PyTorch compile"]
        verdict = races.judge(TRAIN, entries, None)
        self.assertEqual((verdict["times_the_best"], verdict["void"]), (None, "no rival counts"))

    def test_other_losses_are_void_and_ours_fail_the_stage(self):
        verdict = races.judge(TRAIN, field_of(Mirilla=entry([5], losses=(2.0, 1.6))), None)
        self.assertAlmostEqual(verdict["rows"]["Mirilla"]["losses_differ"], 0.15)
        self.assertIn("void", verdict)
        with self.assertRaises(stages.Failed):
            races.holds({TRAIN.words: verdict})
        for wrong in (float("nan"), float("inf")):
            rows = races.judge(TRAIN, field_of(**{"LibTorch C++": entry([8], losses=(wrong, 1.9))}), None)["rows"]
            self.assertIn("void", rows["LibTorch C++"], wrong)
        self.assertIn("void", races.judge(races.Race("train", 64, 128, "fp32"), field_of(Mirilla=entry([5], losses=(2.02, 1.9))), None))

    def test_the_roofline_is_the_slower_of_work_and_bytes(self):
        self.assertAlmostEqual(races.floor_s(TRAIN, CEILINGS), 18.6e6 / 4e12)
        self.assertAlmostEqual(races.floor_s(TRAIN, CEILINGS, nothing_fused=True), 33.8e6 / 4e12)
        self.assertAlmostEqual(races.floor_s(TRAIN, CEILINGS | {"half_flop_per_s": 1e14}), 3.48e9 / 1e14)
        self.assertAlmostEqual(races.floor_s(races.Race("infer", 1, 256), CEILINGS), 4 * 1.18e9 / 8e14)
        low, high = races.judge(TRAIN, field_of(), CEILINGS)["rows"]["Mirilla"]["share_of_roofline"]
        self.assertAlmostEqual(low, 12800 * 18.6e6 / 4e12)
        self.assertAlmostEqual(high, 12800 * 33.8e6 / 4e12)

    def test_the_table_shows_rates_losses_and_what_is_void(self):
        lines = "\n".join(report.race_table(TRAIN.words, races.judge(TRAIN, field_of(**{
            "PyTorch compile": {"times_ms": [], "losses": [], "unavailable": "no compiler"}, "LibTorch C++": entry([9])}), CEILINGS)))
        for words in ("Training, 64 at 128 px, fp16: Mirilla is 1.60 times the best rival", "| Mirilla | 12800 | 0 % | 6 % to 11 % | 2.0000 .. 1.9000",
                      "unavailable: no compiler", "void: 88.9 % of its best Python rate"):
            self.assertIn(words, lines)


class Profiles(unittest.TestCase):
    def test_launches_are_added_up_from_ncu(self):
        text = '==PROF== words\n"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n' \
               '"0","f","gpu__time_duration.sum","ns","1,500"\n"1","g","gpu__time_duration.sum","us","9"\n"2","f","gpu__time_duration.sum","ns","500"\n'
        self.assertEqual(profile.from_ncu(text), [{"kernel": "g", "calls": 1, "ms": 0.009}, {"kernel": "f", "calls": 2, "ms": 0.002}])

    def test_sums_are_read_from_nsys(self):
        text = 'Processing\n\nTime (%),Total Time (ns),Instances,Avg (ns),Name\n60.0,3000000,3,1000000,"void f<int, 2>(int)"\n40.0,2000000,1,2000000,g\n'
        self.assertEqual([(row["kernel"], row["calls"], row["ms"]) for row in profile.from_nsys(text)], [("void f<int, 2>(int)", 3, 3.0), ("g", 1, 2.0)])

    def looking(self, *answers):
        """A check whose programs give these answers in turn."""
        said = iter(answers)
        return types.SimpleNamespace(programs=pathlib.Path("/nowhere"), device_name="cuda", limit=8, out=pathlib.Path("/nowhere"), mode=modes.GPU,
                                     call=lambda *command, **options: next(said))

    def test_our_own_program_looks_first_and_the_tools_where_it_may_not(self):
        mine = (0, 'words\n{"kernels": [{"kernel": "f", "calls": 1, "ms": 2.0}]}\nmore words')
        self.assertEqual(profile.kernels(self.looking(mine, mine))["by"], "CUPTI")
        found, profile.found = profile.found, lambda name: None
        self.addCleanup(setattr, profile, "found", found)
        with self.assertRaises(stages.Unavailable):
            profile.kernels(self.looking((1, "CUPTI cannot record"), (1, "")))

    def test_words_without_a_table_are_no_kernels(self):
        self.assertEqual((profile.from_ncu("ERR_NVGPUCTRPERM"), profile.from_nsys("nothing")), ([], []))


if __name__ == "__main__":
    unittest.main()
