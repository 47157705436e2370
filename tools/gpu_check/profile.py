# SPDX-License-Identifier: MIT
"""Where the time goes: every kernel's time, and the plans for convolutions and products."""
import csv
import io
import json
import os
import shutil

from gpu_check.races import Race
from gpu_check.stages import Failed, Unavailable

PROFILED = (Race("train", 128, 128), Race("infer", 256, 224))
KERNELS_SHOWN = 40
REFUSED = ("ERR_NVGPUCTRPERM", "not supported", "Unable to", "not permitted", "No kernels were profiled")


def found(name):
    return shutil.which(name) or shutil.which(f"/usr/local/cuda/bin/{name}")


def rows_of(text, header):
    """The rows of a table among other lines, from the line that has `header` in it."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if header in line), None)
    return [] if start is None else list(csv.DictReader(io.StringIO("\n".join(lines[start:]))))


def number(text):
    try:
        return float(text.replace(",", ""))
    except (AttributeError, ValueError):
        return None


def sums_of(times):
    """[{kernel, calls, ms}] from (kernel, milliseconds), longest first."""
    sums = {}
    for name, ms in times:
        calls, total = sums.get(name, (0, 0.0))
        sums[name] = calls + 1, total + ms
    rows = [{"kernel": name[:120], "calls": calls, "ms": round(ms, 4)} for name, (calls, ms) in sums.items()]
    return sorted(rows, key=lambda row: -row["ms"])


def from_ncu(text):
    """ncu --csv --metrics gpu__time_duration.sum: one row per launch."""
    unit = {"ns": 1e-6, "nsecond": 1e-6, "us": 1e-3, "usecond": 1e-3, "ms": 1.0, "msecond": 1.0, "s": 1e3, "second": 1e3}
    rows = [row for row in rows_of(text, '"Kernel Name"') if row.get("Metric Name") == "gpu__time_duration.sum"]
    return sums_of([(row["Kernel Name"], number(row["Metric Value"]) * unit[row["Metric Unit"]]) for row in rows])


def from_nsys(text):
    """nsys stats --report cuda_gpu_kern_sum --format csv: one row per kernel, in nanoseconds."""
    rows = [{"kernel": row["Name"][:120], "calls": int(number(row["Instances"])), "ms": round(1e-6 * number(row["Total Time (ns)"]), 4)}
            for row in rows_of(text, "Total Time (ns)") if number(row.get("Total Time (ns)")) is not None]
    return sorted(rows, key=lambda row: -row["ms"])


def with_cupti(check, race, tool):
    code, text = check.call(tool, "kernels", "--device", check.device_name, "--race", race.words, limit=check.limit / 4)
    return [row | {"kernel": row["kernel"][:120]} for row in json.loads(text[text.find("{"):])["kernels"]] if code == 0 else []


def with_ncu(check, race, tool):
    code, text = check.call(tool, "--csv", "--metrics", "gpu__time_duration.sum", "--profile-from-start", "on", "--launch-count", 3000,
                            check.programs / "gpu_check", "serve", "--device", check.device_name, input=f"prepare {race.words}\n",
                            limit=check.limit / 4)
    return from_ncu(text) if code == 0 and not any(sign in text for sign in REFUSED) else []


def with_nsys(check, race, tool):
    report = check.out / "profile"
    code, _ = check.call(tool, "profile", "--force-overwrite=true", "--sample=none", "--cpuctxsw=none", "--trace=cuda,nvtx", "-o", report,
                         check.programs / "gpu_check", "serve", "--device", check.device_name,
                         input=f"prepare {race.words}\nrace {race.words} 1 10\n", limit=check.limit / 4)
    text = check.call(tool, "stats", "--report", "cuda_gpu_kern_sum", "--format", "csv", f"{report}.nsys-rep")[1] if code == 0 else ""
    for left in check.out.glob("profile.*"):
        left.unlink()
    return from_nsys(text)


def kernels(check):
    """By CUPTI in our own program, else by nsys, which both measure during a normal run; else by ncu, which runs
    each kernel alone."""
    tools = [("CUPTI", with_cupti, check.programs / "gpu_check"),
             *((name, look, tool) for name, look in (("nsys", with_nsys), ("ncu", with_ncu)) if (tool := found(name)))]
    for name, look, tool in tools:
        report = {race.words: rows[:KERNELS_SHOWN] for race in PROFILED if (rows := look(check, race, tool))}
        if report:
            return {"by": name, "kernels": report}
    raise Unavailable(f"this system does not allow {' or '.join(name for name, _, _ in tools)} to profile the GPU")


def plans(check):
    """From an empty store: the time of the first start, its choices, the time of the second start."""
    store = check.out / "plans.json"
    store.unlink(missing_ok=True)
    report = {}
    for run in ("first_start", "second_start"):
        code, text = check.call(check.programs / "gpu_check", "serve", "--device", check.device_name,
                                input="".join(f"prepare {race.words}\n" for race in PROFILED), env={"MIRILLA_PLAN_STORE": str(store)},
                                limit=check.limit / 2)
        answers = [json.loads(line[2:]) for line in text.splitlines() if line.startswith("> ")]
        if code != 0 or len(answers) != len(PROFILED) or any("error" in answer for answer in answers):
            raise Failed(f"{run}: {text.strip()[-300:]}", report)
        report[run] = {race.words: answer["seconds"] for race, answer in zip(PROFILED, answers)}
    report["store_bytes"] = os.path.getsize(store) if store.exists() else 0
    return report
