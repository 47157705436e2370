# SPDX-License-Identifier: MIT
"""tools/gpu-check's command line, which runs the stages one after another."""
import argparse
import ctypes
import json
import os
import pathlib
import shutil
import sys
import time

from gpu_check import contender, figures, modes, pack, profile, races, report, sanitize, stages
from gpu_check.pack import ROOT

TOTAL_S = 520  # nine minutes, less the time to start and to finish
# Half a minute for the first: the libraries, half a gigabyte, are read for the first time. The races have what the others leave.
LIMITS_S = {"device": 30, "tests": 140, "sanitize": 60, "steps": 85, "ceilings": 40, "races": 165}
ASKED_FOR_S = {"sweep": 480, "kernels": 200, "plans": 120}
ALONE_S = {"races": 420}  # if stages are named, compilers had no time to run before
WAIT_S = 25  # of the ceilings' time, for compilers that still run


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

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.field, self.found, self.samples = None, {}, {}
        self.progress = lambda facts: None  # called with what a stage has so far

    def look_around(self, wanted):
        """Before the first stage: starts slow work that needs no GPU in the background."""
        if self.mode.emulated:
            self.libraries |= {"OMP_WAIT_POLICY": "passive"}
            return
        self.libraries |= contender.library_path(contender.torch_facts(self.python))
        if self.mode.rehearses:
            self.libraries |= {"OMP_WAIT_POLICY": "passive"}  # other programs also run on a host
        if "races" in wanted:
            self.field = contender.Field(self, self.mode.headlines)

    def ceilings(self):
        if self.field:  # torch.compile's choices by timing would slow both down
            self.field.wait_for_compilers(min(WAIT_S, self.left() / 2))
        return super().ceilings()

    def race(self, these, pace, before):
        """Races the rest of `these`, of which `before` has some from an earlier call."""
        field, self.field = self.field or contender.Field(self, these), None
        rest = [race for race in these if race.words not in before]

        def after(results, samples):
            self.samples |= samples
            self.progress(before | results)

        results, _ = races.run_races(self, field, rest, pace, self.found.get("ceilings"), after)
        return races.holds(before | results)

    def races(self, before):
        return self.race(self.mode.headlines, self.mode.pace, before)

    def sweep(self, before):
        return self.race(self.mode.sweep, self.mode.sweep_pace, before)

    def sanitize(self):
        return sanitize.sanitize(self)

    def kernels(self):
        return profile.kernels(self)

    def plans(self):
        return profile.plans(self)

    def close(self):
        if self.field:
            self.field.close()
        for lock in self.out.glob("*.lock"):  # of stores of plans, whose users have ended; a lent machine gives few files back
            lock.unlink()
        self.log.close()


def run_stage(checks, name, limit, *arguments):
    start = time.monotonic()
    checks.begin(limit)
    try:
        result = {"result": "ok", "facts": getattr(checks, name)(*arguments)}
        checks.found[name] = result["facts"]
    except stages.Unavailable as why:
        result = {"result": "unavailable", "text": str(why)}
    except stages.Failed as why:
        result = {"result": "failed", "text": str(why) + " ", "facts": why.facts}
    except Exception as error:  # an error of this script: no stage may stop another
        result = {"result": "failed", "text": f"{type(error).__name__}: {error}"}
    if not checks.mode.emulated:
        result["seconds"] = time.monotonic() - start
    return result


def wanted_stages(options, mode):
    known = LIMITS_S | ASKED_FOR_S | (ALONE_S if options.stage or mode.rehearses else {})
    usual = options.stage or mode.stages
    always = ("device",) if options.resume else ()  # whose results are those of another GPU
    wanted = {name: known[name] for name in known if name in (*always, *usual)}
    return {name: 600 for name in wanted} if mode.emulated else wanted  # an emulated GPU has no hurry


class Earlier:
    """The results of an earlier call, from its folder, and its plans, which cuDNN need not choose again."""

    def __init__(self, folder, out, about):
        self.stages, self.samples, self.note = {}, {}, ""
        if folder is None:
            return
        try:
            document = json.loads((folder / "results.json").read_text())
            if (folder / "plans.json").exists() and folder != out:
                shutil.copy(folder / "plans.json", out / "plans.json")
            if document["about"] == about:
                self.stages = document["stages"]
                self.samples = json.loads((folder / "samples.json").read_text()) if (folder / "samples.json").exists() else {}
            else:
                self.note = f"{folder} has results of other programs, {document['about']['programs']}: only its plans were taken"
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.note = f"{folder} has no results to go on from: {type(error).__name__}: {error}"

    def of(self, name):
        """A stage's result that need not be had again, or None."""
        result = self.stages.get(name)
        return result | {"earlier": True} if name != "device" and result and result["result"] == "ok" and not self.races_to_do(name) else None

    def races(self, name):
        """The races of a stage that were run to the end."""
        facts = (self.stages.get(name) or {}).get("facts") or {}
        return {race: result for race, result in facts.items() if races.complete(result)}

    def races_to_do(self, name):
        return name in ("races", "sweep") and len(self.races(name)) < len((self.stages[name]).get("facts") or {})

    def check_device(self, device):
        """Results of another GPU say nothing about this one."""
        before = (self.stages.get("device") or {}).get("facts", {}).get("device")
        if self.stages and before != device.get("facts", {}).get("device"):
            self.stages, self.samples, self.note = {}, {}, f"the earlier results are of another GPU ({before}): only its plans were taken"


def run_all(checks, wanted, earlier, keep):
    """{stage: result}; `keep` is called with it after each stage."""
    start, results = time.monotonic(), {}
    for name, limit in wanted.items():
        if before := earlier.of(name):
            results[name] = before
            checks.found[name] = before["facts"]
            continue
        if name == "races" and len(wanted) > 1:  # time that earlier stages did not take
            limit = max(limit, min(ALONE_S["races"], TOTAL_S - (time.monotonic() - start)))
        arguments = [earlier.races(name)] if name in ("races", "sweep") else []
        checks.progress = lambda facts: keep(results | {name: {"result": "failed", "text": "ended before its last race", "facts": facts}})
        results[name] = run_stage(checks, name, limit, *arguments)
        if name == "device":
            earlier.check_device(results[name])
            checks.samples = dict(earlier.samples)
        keep(results)
    results = {name: before | {"earlier": True} for name, before in earlier.stages.items() if name not in wanted} | results
    keep(results)
    return results


def check(options):
    mode = modes.EMULATED if options.emulate else modes.HOST if options.rehearse else modes.GPU
    if why := None if mode.rehearses else no_gpu():
        print(f"gpu-check: {why}", file=sys.stderr)
        return 3
    out = pathlib.Path(os.environ.get("OUT") or "gpu-check-out").resolve()
    if mode.rehearses and out.is_relative_to(figures.RESULTS):
        print(f"gpu-check: {out} is for figures of a GPU, and a rehearsal has none: set OUT to another folder", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    programs, note = pack.find_programs(options.dir, mode, options.build)
    title = f"gpu-check of {pack.commit()} ({note}{'; ' + mode.remark if mode.remark else ''})"
    about = {"programs": f"{pack.commit()}, {note}"} | ({"remark": mode.remark} if mode.remark else {})
    earlier, checks = Earlier(options.resume, out, about), Checks(programs, out, options.python, mode)
    wanted = wanted_stages(options, mode)

    def keep(results):
        (out / "results.json").write_text(json.dumps({"about": about, "stages": results}, indent=1) + "\n")
        (out / "summary.md").write_text(report.summary(title, results, mode, earlier.note))
        if checks.samples:
            (out / "samples.json").write_text(json.dumps(checks.samples) + "\n")

    try:
        checks.look_around([name for name in wanted if not earlier.of(name)])
        results = run_all(checks, wanted, earlier, keep)
        if not mode.rehearses:
            figures.write(out, results, note, contender.torch_facts(options.python).get("version", ""))
    finally:
        checks.close()
    print((out / "summary.md").read_text(), end="")
    return 1 if any(r["result"] == "failed" for r in results.values()) else 0


def main(description):
    known = LIMITS_S | ASKED_FOR_S
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", action="append", choices=list(known), metavar="NAME", help=", ".join(known))
    parser.add_argument("--resume", type=pathlib.Path, metavar="FOLDER", help="go on from the results and the plans of an earlier call")
    parser.add_argument("--rehearse", action="store_true", help=f"on the host: {', '.join(modes.HOST.stages)}")
    parser.add_argument("--emulate", action="store_true", help=f"on the emulated GPU: {', '.join(modes.EMULATED.stages)}")
    parser.add_argument("--python", default="python3", metavar="PROGRAM", help="the Python that has PyTorch")
    parser.add_argument("--pack", action="store_true", help="make the pack, instead of checking")
    parser.add_argument("--build", type=pathlib.Path, help="with --pack or --emulate: the build folder")
    parser.add_argument("dir", nargs="?", type=pathlib.Path, metavar="DIR", help="the pack")
    options = parser.parse_args()
    if options.rehearse and options.emulate:
        parser.error("--rehearse is for the host and --emulate for the emulated GPU: give one of them")
    if options.resume:
        options.resume = options.resume.resolve()
    options.build = options.build and options.build.resolve()
    options.dir = (options.dir or ROOT / "build" / ("gpu-pack-emulated" if options.emulate else "gpu-pack")).resolve()
    if options.pack:
        return pack.pack(options.dir, options.build, options.emulate)
    mode = modes.EMULATED if options.emulate else modes.HOST
    rehearsed = mode.stages + (("sweep",) if options.rehearse else ())
    if (options.rehearse or options.emulate) and (foreign := [name for name in options.stage or [] if name not in rehearsed]):
        parser.error(f"the stage {foreign[0]} is for a GPU; this rehearsal has {', '.join(rehearsed)}")
    return check(options)
