#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the tests on the emulated GPU catch what only a GPU build can have wrong: mutants of nvcc's PTX, and mistakes in the calls of
CUDA's runtime. Neither needs a compiler: the emulated GPU loads edited PTX from a folder, and makes a mistake on request.

    mutants.py [BUILD] [--only PATTERN] [--jobs N]

The mutants are in ptx_mutants.py and call_mutants.py, whose TRAINING are mistakes in a whole training. Each is run under the few tests that it names; a test that fails, a fault that the emulated
GPU finds and a hang count as caught. An edit that changes nothing, does not load or is not run by its tests is an error, and so are tests that fail
without any mutant.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import typing

from call_mutants import CALLS, LIBRARIES, TRAINING
from ptx_mutants import PTX
from support import BUILD, ROOT, Work

LIMIT_S = 60


def run(build, tests, detect="", **variables):
    """(exit code, output) of test_cuda on an emulated H200; None for a hang."""
    command = [ROOT / "tools/emulate", "--build", build, *(["--detect", detect] if detect else []), "test_cuda",
               f"--gtest_filter={tests}:-Simt*", "--gtest_fail_fast", "--gtest_brief=1"]
    environment = os.environ | {"MIRILLA_REQUIRE": "cuda", "MIRILLA_VENDOR": "off", "OMP_WAIT_POLICY": "passive", "MIRILLA_EMULATE_THREADS": "1",
                                "MIRILLA_EMULATE_MULTIPROCESSORS": "4"} | variables
    environment.pop("GTEST_FILTER", None)
    try:
        done = subprocess.run(command, env=environment, timeout=LIMIT_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


class Modules:
    """The program's PTX, as the emulated GPU writes it into a folder that does not exist yet."""

    def __init__(self, build, folder):
        code, output = run(build, "CudaDevice.SaysWhatItIs", MIRILLA_EMULATE_PTX=str(folder))
        if code != 0:
            sys.exit(f"the PTX was not written:\n{output}")
        self.files = {}
        for file in folder.glob("*.ptx"):
            self.files.setdefault(file.name.rpartition("-")[0], []).append(file)
        self.kernels = {}  # of a file: (name as its source has it, begin, end)

    def kernels_of(self, file, text):
        if file not in self.kernels:
            starts = [m for m in re.finditer(r"^(?:\.visible )?(?:\.entry (\w+)\(|\.func |\.file)", text, re.M)]
            ends = [m.start() for m in starts[1:]] + [len(text)]
            found = [(m[1], m.start(), end) for m, end in zip(starts, ends) if m[1]]
            names = subprocess.run(["c++filt"], input="\n".join(name for name, _, _ in found), stdout=subprocess.PIPE, text=True, check=True)
            self.kernels[file] = [(name, begin, end) for name, (_, begin, end) in zip(names.stdout.splitlines(), found, strict=True)]
        return self.kernels[file]

    def mutate(self, mutant, folder):
        """Writes the edited module into the folder; the number of places that were edited."""
        places = 0
        for file in self.files.get(mutant.file, ()):
            text = file.read_text()
            pieces, done = [], 0
            for name, begin, end in self.kernels_of(file, text):
                if not re.search(mutant.kernel, name):
                    continue
                body = text[begin:end]
                found = list(re.finditer(mutant.find, body, re.M))
                chosen = found if mutant.where is None else found[mutant.where:][:1]
                for match in chosen:
                    put = match.expand(mutant.put)
                    places += put != match[0]
                    pieces += [text[done:begin + match.start()], put]
                    done = begin + match.end()
            folder.mkdir(exist_ok=True)
            (folder / file.name).write_text("".join(pieces) + text[done:])
        return places


def run_library(build, tests, **variables):
    """The same with the stand-ins for cuDNN and cuBLASLt. Where none of their plans was chosen, the output says so: a plan that fails is not used, and
    our own kernels give the right numbers."""
    with tempfile.TemporaryDirectory() as folder:
        store = pathlib.Path(folder) / "plans.json"
        code, output = run(build, tests, MIRILLA_VENDOR="on", MIRILLA_PLAN_STORE=str(store), **variables)
        chosen = [plan["plan"] for owner in json.loads(store.read_text())["owners"] for plan in owner["plans"].values()] if store.exists() else []
    return code, output + ("" if any(plan != "own" for plan in chosen) else "\nemulated GPU: cuDNN and cuBLASLt were not used\n")


def verdict(code, output):
    """Why the mutant does not count as caught; None where it does."""
    if code is None:
        return None
    if "does not load" in output or "is not of this program" in output:
        return "does not load: " + output.strip().splitlines()[0]
    if code == 0:
        return None if "emulated GPU: cu" in output else "NOT CAUGHT"
    if code < 0 or "[  FAILED  ]" in output or "emulated GPU: " in output:
        return None
    return "ended with another error: " + output.strip()[-300:]


class Job(typing.NamedTuple):
    name: str
    run: typing.Callable  # what is wrong, or None


def baseline(build, tests, detect, library):
    code, output = run_library(build, tests) if library else run(build, tests, detect)
    passed = code == 0 and re.search(r"\[  PASSED  \] [1-9]", output) and "emulated GPU: cu" not in output
    return None if passed else "fails without a mutant: " + output.strip()[-300:]


def ptx_mutant(build, modules, mutant, folder):
    if modules.mutate(mutant, folder) == 0:
        return "edits nothing: its patterns match no instruction"
    return verdict(*run(build, mutant.tests, mutant.detect, MIRILLA_EMULATE_PTX=str(folder)))


class Training:
    """An epoch with replayed steps. With a mistake it has to give another model, to wait for the GPU more often or less, or to end with an error.

    There are twice as many batches as the loader has rooms on the GPU, so that a room is filled while steps that read it are under way; in bf16,
    since in fp16 the scale would still be too large for every step and no parameter would move."""

    def __init__(self):
        self.work = Work(per_class=3)
        done = self.train("whole")
        if "calls of cudaGraphLaunch" not in done.stderr:
            sys.exit("the training without a mutant replays no step:\n" + done.stderr)
        self.whole = self.outcome("whole", done)

    def train(self, name, **variables):
        return self.work.train(name, "cuda", "--precision", "bf16", "--replay", "on", batch=2, MIRILLA_EMULATE_THREADS="1",
                               MIRILLA_EMULATE_REPORT="calls", **variables)

    def outcome(self, name, done):
        waits = re.findall(r"emulated GPU: (\d+) calls of (cuda\w+Synchronize)\n", done.stderr)
        others = [line for line in done.stderr.splitlines() if not re.match(r"emulated GPU: \d+ calls of ", line)]
        return self.work.losses(name), self.work.model(name), waits, others

    def mutant(self, mistake):
        name = mistake.replace(":", "-")
        done = self.train(name, MIRILLA_EMULATE_MISTAKE=mistake)
        return None if done.returncode != 0 or self.outcome(name, done) != self.whole else "NOT CAUGHT"


def jobs_of(build, work):
    modules = Modules(build, work / "ptx")
    for number, mutant in enumerate(PTX):
        yield Job(f"{mutant.file}, {mutant.kernel}: {mutant.what}", lambda m=mutant, n=number: ptx_mutant(build, modules, m, work / str(n))), mutant
    for mutant in CALLS:
        yield Job(f"{mutant.mistake}: {mutant.what}",
                  lambda m=mutant: verdict(*run(build, m.tests, MIRILLA_EMULATE_MISTAKE=m.mistake, MIRILLA_EMULATE_SEED=str(m.seed)))), mutant
    for mutant in LIBRARIES:
        yield Job(f"{mutant.mistake}: {mutant.what}", lambda m=mutant: verdict(*run_library(build, m.tests, MIRILLA_EMULATE_MISTAKE=m.mistake))), mutant
    training = Training()
    for what, mistake in TRAINING.items():
        yield Job(f"a training, {mistake}: {what}", lambda m=mistake: training.mutant(m)), None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose line has this pattern")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--times", action="store_true", help="shows the seconds of each")
    options = parser.parse_args()
    build, start = BUILD, time.time()
    with tempfile.TemporaryDirectory() as work:
        mutants = [(job, mutant) for job, mutant in jobs_of(build, pathlib.Path(work)) if re.search(options.only, job.name)]
        without = dict.fromkeys((mutant.tests, getattr(mutant, "detect", ""), mutant in LIBRARIES) for _, mutant in mutants if mutant)
        jobs = [Job(f"the tests {tests}", lambda t=tests, d=detect, l=library: baseline(build, t, d, l)) for tests, detect, library in without]
        jobs += [job for job, _ in mutants]

        def timed(job):
            begin = time.time()
            return job.run(), time.time() - begin

        wrong = 0
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for job, (why, seconds) in zip(jobs, pool.map(timed, jobs)):
                if options.times:
                    print(f"{seconds:6.1f} s  {job.name}", flush=True)
                if why:
                    wrong += 1
                    print(f"{job.name}: {why}", flush=True)
    print(f"{len(mutants)} mutants of PTX and of calls under {len(without)} sets of tests, {wrong} of them wrong; {time.time() - start:.0f} s")
    sys.exit(1 if wrong or not mutants else 0)


if __name__ == "__main__":
    main()
