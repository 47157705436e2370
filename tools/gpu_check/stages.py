# SPDX-License-Identifier: MIT
"""Correctness: the GPU's properties, its ceilings, the tests, the same steps on two devices."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

from gpu_check.pack import ROOT


class Failed(Exception):
    """A failed stage, with its results."""

    def __init__(self, text, facts=None):
        super().__init__(text)
        self.facts = facts or {}


class Unavailable(Exception):
    """The stage cannot run on this machine."""


def first_document(text):
    """The JSON document among other lines, which the same program wrote to stderr; None if there is none."""
    start = re.search(r"^\{", text, re.M)
    try:
        return json.JSONDecoder().raw_decode(text, start.start())[0] if start else None
    except ValueError:
        return None


def answers_in(text):
    """Of a program that answers questions, one line each."""
    return [json.loads(line[2:]) for line in text.splitlines() if line.startswith("> {")]


class Check:
    """Shared by the stages: the programs, the results' folder, the deadline, and the mode (modes.py)."""

    def __init__(self, programs, out, python, mode):
        self.programs, self.out, self.python, self.mode, self.device_name = programs, out, python, mode, mode.device
        self.limit = 60.0
        self.libraries = {"MIRILLA_PLAN_STORE": str(out / "plans.json")}  # chosen once for all stages, and for a later --resume
        self.log = open(out / "log.txt", "w")
        self.end = 0.0

    def call(self, *command, env=None, limit=None, input=None):
        """(exit code, or None if its time ran out; output)"""
        left = min(self.end - time.monotonic(), limit or 1e9)
        command = [str(part) for part in command]
        self.log.write(f"\n$ {' '.join(command)}\n")
        if not shutil.which(command[0]):
            return 127, f"there is no {command[0]}"
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | self.libraries | (env or {}),
                                   stdin=subprocess.PIPE if input else subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            text, code = process.communicate(input, timeout=max(left, 1))[0], process.returncode
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # a profiler's program too, which would keep the output open
            text, code = process.communicate()[0], None
        self.log.write(f"{text[-20000:]}\n-> {'out of time' if code is None else code}\n")
        self.log.flush()
        return code, text

    def document(self, *command):
        code, text = self.call(*command)
        facts = first_document(text)
        if code not in (0, 1) or facts is None:
            raise Failed(f"{pathlib.Path(command[0]).name} {command[1]}: " + ("out of time" if code is None else text.strip()[-300:]))
        return facts, code == 0

    def device(self):
        code, text = self.call(self.programs / "gpu_check", "device")
        _, smi = self.call("nvidia-smi", "--format=csv", "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,"
                           "clocks.max.sm,power.limit,temperature.gpu") if not self.mode.emulated and shutil.which("nvidia-smi") else (0, "")
        _, nvcc = self.call("nvcc", "--version") if shutil.which("nvcc") else (0, "no nvcc")
        (self.out / "device.txt").write_text("\n".join([self.mode.remark, text, smi, nvcc, " ".join(os.uname())]).lstrip() + "\n")
        facts = first_document(text)
        if code != 0 or facts is None:
            raise Failed("out of time" if code is None else text.strip()[-300:])
        return {"device": facts["version_line"]}

    def begin(self, limit):
        self.limit, self.end = limit, time.monotonic() + limit

    def left(self):
        return self.end - time.monotonic()

    def ceilings(self):
        ours, _ = self.document(self.programs / "gpu_check", "ceilings", "--device", self.device_name)
        report = {"mirilla": ours}
        code, text = self.call(self.python, ROOT / "bench/torch_race.py", "eager", "--device", self.device_name, input="ceilings\n")
        answers = answers_in(text) if code == 0 else []
        report["pytorch"] = answer = answers[0] if answers else {"error": "out of time" if code is None else text.strip()[-200:]}
        for name in ("copy_bytes_per_s", "half_flop_per_s"):
            report[name] = max(facts.get(name, 0) for facts in (ours, answer))
        return report

    def tests(self):
        shards = max(1, min(8, os.cpu_count() or 1) // 2)
        processes, report = [], {"tests": 0, "failed": [], "skipped": []}
        # Everything twice: convolutions and products by NVIDIA's libraries, and by our own kernels. The libraries by plans that give the same
        # bits each time, which is what some tests want, and which need no timing beside seven other processes.
        parts = [(vendor, shard) for vendor in ("on", "off") for shard in range(shards)]
        for i, (vendor, shard) in enumerate(parts):
            env = os.environ | self.libraries | {"MIRILLA_REQUIRE": "cuda", "MIRILLA_VENDOR": vendor, "GTEST_TOTAL_SHARDS": str(shards),
                                                 "GTEST_SHARD_INDEX": str(shard), "OMP_NUM_THREADS": "2",
                                                 "MIRILLA_PLAN_STORE": "off", "MIRILLA_DETERMINISTIC": "1"}
            sink = open(self.out / f"tests.{i}", "w+")
            command = [self.programs / "test_cuda", f"--gtest_filter={self.mode.tests}"]
            processes.append((subprocess.Popen(command, env=env, stdout=sink, stderr=subprocess.STDOUT), sink))
        late = []
        for i, ((process, sink), (vendor, _)) in enumerate(zip(processes, parts)):
            try:
                process.wait(max(self.end - time.monotonic(), 1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                late.append(i)
            sink.seek(0)
            text = sink.read()
            sink.close()
            os.unlink(self.out / f"tests.{i}")
            wrong = re.findall(r"^\[  FAILED  \] ([\w./]+)(?:,| \()", text, re.M)
            report["tests"] += len(re.findall(r"^\[ RUN      \]", text, re.M))
            report["skipped"] += sorted(set(re.findall(r"^\[  SKIPPED \] ([\w./]+)", text, re.M)))
            report["failed"] += [f"{test} (MIRILLA_VENDOR={vendor})" for test in sorted(set(wrong))]
            if process.returncode and not wrong and i not in late:
                report["failed"].append(f"part {i} ended with {process.returncode}: {text.strip()[-200:]}")
            self.log.write(f"\n$ test_cuda, part {i}\n{text if process.returncode else ''}"[-20000:] + f"\n-> {process.returncode}\n")
        if late or report["failed"] or report["skipped"] or not report["tests"]:
            raise Failed(f"{len(report['failed'])} of {report['tests']} tests failed, {len(report['skipped'])} were skipped"
                         + (f", {len(late)} of {len(parts)} parts ran out of time" if late else ""), report)
        return report

    def steps(self):
        report = {}
        for precision, against in (("f32", "simt"), ("bf16", "cpu")):  # the executor is slow: there is time for only one of the two
            report[precision], holds = self.document(self.programs / "gpu_check", "steps", "--precision", precision, "--against", against,
                                                     *self.mode.steps)
            if not holds:
                raise Failed(f"{precision}: the GPU's steps are not the host's", report)
        return report
