# SPDX-License-Identifier: MIT
"""gpu.md in bench/results: for each kind of GPU what the last check of it measured, beside the goals."""
import datetime
import re

from gpu_check import races, report
from gpu_check.pack import ROOT

RESULTS = ROOT / "bench/results"
COMPILED = ("PyTorch compile", "PyTorch reduce-overhead")
TIMES_COMPILED = 1.15  # training, against the best compiled PyTorch
PICTURES_PER_S = {"H200": 90_000}  # inference in halves at 224 px, by GPU
HEAD = """# Figures of GPUs

Written by `tools/gpu-check`, which replaces the section of the GPU that it ran on. docs/gpu.md describes the procedure.
"""


def rate(rows, name):
    row = rows.get(name) or {}
    return row["images_per_s"] if races.counts(row) else None


def goals(gpu, raced):
    """[(what, goal, measured, whether it is reached)], for every race of the headlines that was run."""
    rows = []
    for race in races.HEADLINES:
        if race.words not in raced:
            continue
        contenders = raced[race.words]["rows"]
        ours, compiled = rate(contenders, "Mirilla"), max(filter(None, (rate(contenders, name) for name in COMPILED)), default=None)
        if race.kind == "train":
            times = ours / compiled if ours and compiled else None
            rows.append((f"training, {race.batch} at {race.size} px", f"{TIMES_COMPILED} times the best compiled PyTorch",
                         f"{times:.2f} times ({ours:.0f} pictures/s against {compiled:.0f})" if times else "not measured",
                         times is not None and times >= TIMES_COMPILED))
        elif race.batch > 1:
            goal = next((pictures for name, pictures in PICTURES_PER_S.items() if name in gpu), None)
            rows.append((f"inference, {race.batch} at {race.size} px", f"{goal} pictures/s" if goal else "none for this GPU",
                         f"{ours:.0f} pictures/s" if ours else "not measured", bool(ours and goal and ours >= goal) if goal else None))
    return rows


def section(gpu, results, programs, torch, today):
    lines = [f"## {gpu}", "", f"{today}, {programs}; {results['device']['facts']['device']}; PyTorch {torch or 'missing'}", "",
             "| goal | | measured | |", "|---|---|---|---|"]
    verdict = {True: "reached", False: "not reached", None: ""}
    lines += [f"| {what} | {goal} | {measured} | {verdict[reached]} |" for what, goal, measured, reached in goals(gpu, results["races"]["facts"])]
    lines += ["", "| stage | result | time | |", "|---|---|---|---|", *(report.line_of(name, result) for name, result in results.items())]
    for race, result in results["races"]["facts"].items():
        lines += ["", *report.race_table(race, result, level="###")]
    return "\n".join(lines) + "\n"


def replaced(text, gpu, new):
    """The page with the section of that GPU in the place of its old one, or at the end."""
    parts = [part for part in re.split(r"^(?=## )", text, flags=re.M)[1:] if not part.startswith(f"## {gpu}\n")]
    return "\n".join([HEAD, *(part.rstrip("\n") + "\n" for part in parts), new])


def write(out, results, programs, torch="", folder=None, today=None):
    """Nothing where no race was run."""
    folder = folder or RESULTS
    if not (results.get("races") or {}).get("facts") or not (results.get("device") or {}).get("facts"):
        return
    gpu = re.sub(r"^cuda: ", "", results["device"]["facts"]["device"]).split(",")[0]
    page = folder / "gpu.md"
    text = replaced(page.read_text() if page.exists() else "", gpu, section(gpu, results, programs, torch, today or datetime.date.today()))
    (out / "gpu.md").write_text(text)  # from a machine that keeps nothing, only this folder comes back
    try:
        page.write_text(text)
    except OSError as error:
        print(f"gpu-check: {page} cannot be written ({error}); its text is in {out / 'gpu.md'}")
