# SPDX-License-Identifier: MIT
"""Where the time goes: every kernel's time, and the plans for convolutions and products."""
import csv
import io
import re
import shutil

from gpu_check.stages import Failed, Unavailable, answers_in, first_document

KERNELS_SHOWN = 40
REFUSED = ("ERR_NVGPUCTRPERM", "not supported", "Unable to", "not permitted", "No kernels were profiled", "Failed to initialize the profiler")


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


def from_emulator(text):
    """What MIRILLA_EMULATE_REPORT=count prints at the end: one row per kernel, with counts in place of times."""
    counts = re.findall(r"^ *(\d+) +(\d+) +\d+ +\d+ +(\d+) +\d+ +\d+ +(\d+)  (\S.*)$", text, re.M)
    return [{"kernel": name[:120], "calls": int(calls), "warp_instructions": int(instructions), "sectors": int(sectors),
             "products": int(products)} for calls, instructions, sectors, products, name in counts]


# Each of these returns the rows and, where there are none, why.


def ended(code, text):
    return "its time ran out" if code is None else text.strip()[-200:] or f"it ended with {code} and said nothing"


def with_cupti(check, race, tool):
    code, text = check.call(tool, "kernels", "--device", check.device_name, "--race", race.words, limit=check.limit / 4)
    document = first_document(text)
    if code != 0 or document is None:
        return [], ended(code, text)
    rows = document["kernels"]
    return [row | {"kernel": row["kernel"][:120]} for row in rows], "it recorded no kernel"


def with_ncu(check, race, tool):
    code, text = check.call(tool, "--csv", "--metrics", "gpu__time_duration.sum", "--profile-from-start", "on", "--launch-count", 3000,
                            "--clock-control", "none", check.programs / "gpu_check", "serve", "--device", check.device_name,
                            input=f"prepare {race.words}\n", limit=check.limit / 4)
    if code != 0 or any(sign in text for sign in REFUSED):
        return [], ended(code, text)
    return from_ncu(text), "it recorded no kernel"


def with_nsys(check, race, tool):
    report = check.out / "profile"
    code, text = check.call(tool, "profile", "--force-overwrite=true", "--sample=none", "--cpuctxsw=none", "--trace=cuda,nvtx", "-o", report,
                            check.programs / "gpu_check", "serve", "--device", check.device_name,
                            input=f"prepare {race.words}\nrace {race.words} 1 10\n", limit=check.limit / 4)
    if code == 0:
        code, text = check.call(tool, "stats", "--report", "cuda_gpu_kern_sum", "--format", "csv", f"{report}.nsys-rep", limit=check.limit / 4)
    for left in check.out.glob("profile.*"):
        left.unlink()
    return (from_nsys(text), "it recorded no kernel") if code == 0 else ([], ended(code, text))


def with_emulator(check, race, tool):
    code, text = check.call(tool, "serve", "--device", check.device_name, input=f"prepare {race.words}\n",
                            env={"MIRILLA_EMULATE_REPORT": "count", "MIRILLA_VENDOR": "off"}, limit=check.left())
    errors = [answer["error"] for answer in answers_in(text) if "error" in answer]
    return (from_emulator(text), "it counted no kernel") if code == 0 and not errors else ([], errors[0] if errors else ended(code, text))


def tools_for(check):
    """[(name, how it looks, the program)]: CUPTI in our own program, else nsys, which both measure during a normal run; else ncu, which runs
    each kernel alone."""
    own = check.programs / "gpu_check"
    if check.mode.emulated:
        return [("the emulated GPU's counts", with_emulator, own)]
    return [("CUPTI", with_cupti, own),
            *((name, look, tool) for name, look in (("nsys", with_nsys), ("ncu", with_ncu)) if (tool := found(name)))]


def kernels(check):
    why = []
    for name, look, tool in tools_for(check):
        report = {}
        for race in check.mode.profiled:
            rows, reason = look(check, race, tool)
            if rows:
                report[race.words] = rows[:KERNELS_SHOWN]
            else:
                why.append(f"{name}, {race.words}: {reason}")
        if report:
            return {"by": name, "kernels": report} | ({"without": why} if why else {})
    if check.mode.emulated:
        raise Failed("; ".join(why))
    raise Unavailable("no kernel was timed: " + "; ".join(why))


def plans(check):
    """From an empty store: the time of the first start, and of the second, which finds its plans in the store and leaves it as it is."""
    store, kept, report = check.out / "plans-anew.json", [], {}
    store.unlink(missing_ok=True)
    try:
        for run in ("first_start", "second_start"):
            code, text = check.call(check.programs / "gpu_check", "serve", "--device", check.device_name,
                                    input="".join(f"prepare {race.words}\n" for race in check.mode.profiled),
                                    env={"MIRILLA_PLAN_STORE": str(store)}, limit=check.limit / 2)
            answers = answers_in(text)
            if code != 0 or len(answers) != len(check.mode.profiled) or any("error" in answer for answer in answers):
                raise Failed(f"{run}: {ended(code, text)}", report)
            report[run] = {race.words: answer["seconds"] for race, answer in zip(check.mode.profiled, answers)}
            kept.append(store.read_text() if store.exists() else "")
        report["store_bytes"] = len(kept[0])
        if kept[0] != kept[1]:
            raise Failed("the second start chose plans anew, though the first had stored its choices", report)
    finally:
        store.unlink(missing_ok=True)
    if check.mode.emulated:
        return {"store_bytes": report["store_bytes"], "second_start": "found every plan"}
    return report
