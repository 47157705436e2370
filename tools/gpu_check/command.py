# SPDX-License-Identifier: MIT
"""tools/gpu-check's command line, which runs the stages one after another."""
import argparse
import ctypes
import json
import os
import pathlib
import sys
import time

from gpu_check import contender, pack, profile, races, report, stages
from gpu_check.pack import ROOT

# Nine minutes, less the time to start and to finish.
LIMITS_S = {"device": 10, "ceilings": 20, "tests": 140, "sanitize": 60, "steps": 85, "races": 205}
ASKED_FOR_S = {"sweep": 480, "kernels": 200, "plans": 120}
ALONE_S = {"races": 420}  # if stages are named, compilers had no time to run before
REHEARSED = ("ceilings", "races", "sweep")


def no_gpu():
    """Why there is no GPU, or None."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "this machine has no NVIDIA driver"
    count = ctypes.c_int()
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return f"the NVIDIA driver finds no GPU (CUDA error {status})" if status or count.value == 0 else None


class Checks(stages.Check):
    """All stages by name. Later stages may use the results of earlier ones."""

    def __init__(self, *arguments, rehearsal=False):
        super().__init__(*arguments)
        self.rehearsal, self.field, self.found = rehearsal, None, {}
        self.samples = {}

    def look_around(self, wanted):
        """Before the first stage: starts slow work that needs no GPU in the background."""
        self.libraries = contender.library_path(contender.torch_facts(self.python))
        if self.rehearsal:
            self.libraries |= {"OMP_WAIT_POLICY": "passive"}  # other programs also run on a host
        if "races" in wanted:
            self.field = contender.Field(self, self.headlines())

    def headlines(self):
        return races.TINY if self.rehearsal else races.HEADLINES

    def race(self, these, pace):
        field, self.field = self.field or contender.Field(self, these), None
        results, samples = races.run_races(self, field, these, pace, self.found.get("ceilings"))
        self.samples |= samples
        (self.out / "samples.json").write_text(json.dumps(self.samples) + "\n")
        return races.holds(results)

    def races(self):
        return self.race(self.headlines(), races.Pace(seconds=0.4, each=1) if self.rehearsal else races.Pace())

    def sweep(self):
        return self.race(races.TINY if self.rehearsal else races.SWEEP,
                         races.Pace(rounds=1, seconds=0.2, each=1) if self.rehearsal else races.Pace(rounds=1, seconds=1.0))

    def kernels(self):
        return profile.kernels(self)

    def plans(self):
        return profile.plans(self)

    def close(self):
        if self.field:
            self.field.close()
        self.log.close()


def run_stage(checks, name, limit):
    start = time.monotonic()
    checks.begin(limit)
    try:
        result = {"result": "ok", "facts": getattr(checks, name)()}
        checks.found[name] = result["facts"]
    except stages.Unavailable as why:
        result = {"result": "unavailable", "text": str(why)}
    except stages.Failed as why:
        result = {"result": "failed", "text": str(why) + " ", "facts": why.facts}
    except Exception as error:  # an error of this script: no stage may stop another
        result = {"result": "failed", "text": f"{type(error).__name__}: {error}"}
    result["seconds"] = time.monotonic() - start
    return result


def wanted_stages(options):
    known = LIMITS_S | ASKED_FOR_S | (ALONE_S if options.stage or options.rehearse else {})
    usual = [name for name in LIMITS_S if not options.rehearse or name in REHEARSED]
    return {name: known[name] for name in known if name in (options.stage or usual)}


def check(options):
    rehearsal = options.rehearse
    if why := None if rehearsal else no_gpu():
        print(f"gpu-check: {why}", file=sys.stderr)
        return 3
    out = pathlib.Path(os.environ.get("OUT") or "gpu-check-out").resolve()
    out.mkdir(parents=True, exist_ok=True)
    programs, note = pack.find_programs(options.dir, "release" if rehearsal else "cuda")
    title = f"gpu-check of {pack.commit()} ({note}{'; a rehearsal on the host, whose figures say nothing' if rehearsal else ''})"
    checks, results = Checks(programs, out, options.python, "cpu" if rehearsal else "cuda", rehearsal=rehearsal), {}
    wanted = wanted_stages(options)
    try:
        checks.look_around(wanted)
        for name, limit in wanted.items():
            results[name] = run_stage(checks, name, limit)
            (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
            (out / "summary.md").write_text(report.summary(title, results))
    finally:
        checks.close()
    print((out / "summary.md").read_text(), end="")
    return 1 if any(r["result"] == "failed" for r in results.values()) else 0


def main(description):
    known = LIMITS_S | ASKED_FOR_S
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", action="append", choices=list(known), metavar="NAME", help=", ".join(known))
    parser.add_argument("--rehearse", action="store_true", help=f"on the host: {', '.join(REHEARSED)}")
    parser.add_argument("--python", default="python3", metavar="PROGRAM", help="the Python that has PyTorch")
    parser.add_argument("--pack", action="store_true", help="make the pack, instead of checking")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/gpu", help="with --pack: where to build")
    parser.add_argument("dir", nargs="?", type=pathlib.Path, default=ROOT / "build/gpu-pack", metavar="DIR", help="the pack")
    options = parser.parse_args()
    if options.pack:
        return pack.pack(options.dir.resolve(), options.build.resolve())
    if options.rehearse and (foreign := [name for name in options.stage or [] if name not in REHEARSED]):
        parser.error(f"the stage {foreign[0]} is for a GPU; a rehearsal has {', '.join(REHEARSED)}")
    return check(options)
