# SPDX-License-Identifier: MIT
"""Speed: Mirilla and other contenders in turns on the same work, and the validity of the figures."""
import dataclasses
import shutil
import statistics

from gpu_check.stages import Failed, Unavailable

INDISPENSABLE = ("Mirilla", "PyTorch eager")
SLOWEST_TO_PREPARE = 0.4  # of the time that is left
HOLDS = 0.97  # of its own best rate in Python, or a rival's race is not counted
# Losses follow each other this closely, as a share of the first: halves round at 2^-11 in each of 20 layers, and Adam's first steps go by
# signs, which small gradients change.
LOSSES_AGREE = {"fp32": 5e-3, "fp16": 5e-2, "bf16": 1e-1}
# Least work a picture of 128 px: FLOP, and bytes where batch norm is fused into the convolutions and where nothing is.
FLOORS = {"train": (3.48e9, 18.6e6, 33.8e6), "infer": (1.18e9, 4.2e6, 4.2e6)}


@dataclasses.dataclass(frozen=True)
class Race:
    kind: str
    batch: int
    size: int
    precision: str = "fp16"

    @property
    def words(self):
        return f"{self.kind} {self.batch} {self.size} {self.precision}"


HEADLINES = (Race("train", 64, 128), Race("train", 256, 128), Race("infer", 1, 224), Race("infer", 256, 224))
SWEEP = (*(Race("train", batch, 128) for batch in (32, 64, 128, 256, 512)), *(Race("infer", batch, 128) for batch in (1, 64, 256)),
         *(Race("infer", batch, 224) for batch in (1, 8, 32, 64, 128, 256)), Race("train", 128, 128, "bf16"), Race("infer", 256, 224, "bf16"),
         Race("train", 128, 128, "fp32"), Race("infer", 256, 224, "fp32"))
TINY = (Race("train", 4, 64, "fp32"), Race("train", 8, 64, "fp32"), Race("infer", 1, 96, "fp32"), Race("infer", 8, 96, "fp32"))


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long each visit lasts and how often it comes."""
    rounds: int = 2
    seconds: float = 1.5
    each: int = 10  # steps between two waits

    def seconds_for(self, races, contenders):
        """The time of the turns alone, without building and compiling."""
        return races * contenders * self.rounds * (self.seconds + 0.5)


def clocks(check):
    if not shutil.which("nvidia-smi"):
        return ""
    fields = "clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_throttle_reasons.active"
    return check.call("nvidia-smi", "--format=csv,noheader", f"--query-gpu={fields}", limit=10)[1].strip()


# --- Running


def visit(contender, race, pace, limit, entry):
    """One turn of one contender. If it cannot run it says why, and the others continue."""
    try:
        answer = contender.ask(f"race {race.words} {pace.seconds} {pace.each}", limit)
        entry["times_ms"].append(answer["times_ms"])
        entry["losses"] = answer["losses"]
        if "replayed" in answer:
            entry["replayed"] = answer["replayed"]
    except Unavailable as why:
        entry["unavailable"] = str(why)


def prepare(contender, race, limit, entry):
    try:
        entry["prepared_s"] = contender.ask(f"prepare {race.words}", limit)["seconds"]
    except Unavailable as why:
        entry["unavailable"] = str(why)


def run_race(check, contenders, race, pace, races_left):
    entries = {c.name: {"times_ms": [], "losses": []} for c in contenders}
    for contender in contenders:
        # A rival that is slow to prepare gets at most a part of the remaining time, so that it does not take the time of the others.
        if contender.name in INDISPENSABLE:
            limit = check.left() - pace.seconds_for(1, len(contenders))
        else:
            limit = SLOWEST_TO_PREPARE * (check.left() - pace.seconds_for(races_left, len(contenders)))
        prepare(contender, race, limit, entries[contender.name])
    before = clocks(check)
    for _ in range(pace.rounds):
        for contender in contenders:
            entry = entries[contender.name]
            if "unavailable" in entry:
                continue
            if check.left() < pace.seconds + 1:
                entry["unavailable" if not entry["times_ms"] else "note"] = "the stage's time ran out"
                continue
            visit(contender, race, pace, check.left(), entry)
    return {"entries": entries, "clocks": [before, clocks(check)]}


def run_races(check, field, races, pace, ceilings, after=lambda results, samples: None):
    """{race: the result of `judge`}, and the samples: {race: {contender: [[ms, ...] per round]}}. `after` is called with both after each."""
    contenders = field.ready(SLOWEST_TO_PREPARE * check.left())
    results, samples = {}, {}
    try:
        for i, race in enumerate(races):
            ran = run_race(check, contenders, race, pace, len(races) - i)
            results[race.words] = judge(race, ran["entries"], ceilings) | {"clocks": ran["clocks"]}
            samples[race.words] = {name: entry["times_ms"] for name, entry in ran["entries"].items()}
            after(results, samples)
    finally:
        field.close(contenders)
    return results, samples


# --- Judging


def rate_of(race, times):
    """Pictures per second, at the median."""
    return 1e3 * race.batch / statistics.median(times)


def spread_of(times):
    """From the 10th to the 90th percentile, as a share of the median."""
    times = sorted(times)
    at = lambda share: times[min(int(share * len(times)), len(times) - 1)]
    return (at(0.9) - at(0.1)) / statistics.median(times)


def floor_s(race, ceilings, nothing_fused=False):
    """The shortest possible time per picture, given the ceilings."""
    flop, fused, unfused = (amount * (race.size / 128) ** 2 for amount in FLOORS[race.kind])
    return max(flop / ceilings["half_flop_per_s"], (unfused if nothing_fused else fused) / ceilings["copy_bytes_per_s"])


def losses_differ(ours, theirs):
    """The largest difference, as a share of the first loss; None if there is nothing to compare."""
    pairs = list(zip(ours, theirs))
    return max(abs(a - b) for a, b in pairs) / max(abs(theirs[0]), 1e-12) if pairs else None


def judge(race, entries, ceilings):
    """One row per contender: its rate, its best round, why it does not count if it does not; and Mirilla against the best that counts."""
    rows = {}
    for name, entry in entries.items():
        row = rows[name] = {"losses": entry["losses"]}
        if "prepared_s" in entry:
            row["prepared_s"] = round(entry["prepared_s"], 2)
        row |= {key: entry[key] for key in ("note", "replayed") if key in entry}
        if not any(entry["times_ms"]):
            row["unavailable"] = entry.get("unavailable", "it gave no time")
            continue
        times = [t for some in entry["times_ms"] for t in some]
        row |= {"images_per_s": rate_of(race, times), "best_round": max(rate_of(race, some) for some in entry["times_ms"] if some),
                "spread": spread_of(times), "samples": len(times)}
        if ceilings:
            row["share_of_roofline"] = [floor_s(race, ceilings, unfused) * row["images_per_s"] for unfused in (False, True)]
    void_what_does_not_hold(rows)
    compare_losses(race, rows)
    ours = rows["Mirilla"].get("images_per_s")
    best = max((row["images_per_s"] for name, row in rows.items() if name != "Mirilla" and counts(row)), default=None)
    eager = rows.get("PyTorch eager", {})
    verdict = {"rows": rows, "times_the_best": ours / best if ours and best else None,
               "times_eager": ours / eager["images_per_s"] if ours and counts(eager) else None}
    if best is None:
        verdict["void"] = "no rival counts"
    if not counts(rows["Mirilla"]):
        verdict["void"] = f"Mirilla: {rows['Mirilla'].get('unavailable') or rows['Mirilla']['void']}"
    return verdict


def counts(row):
    return "images_per_s" in row and "void" not in row


def complete(result):
    """Whether nobody was left out for lack of time, so that the race need not be run again."""
    rows = result["rows"].values()
    return counts(result["rows"]["Mirilla"]) and not any("time ran out" in row.get(key, "") or "no answer" in row.get(key, "")
                                                        for row in rows for key in ("unavailable", "note"))


def void_what_does_not_hold(rows):
    """A rival that is much slower in this race than its own Python in this run was disturbed, and beating it proves nothing."""
    for name, row in rows.items():
        if name == "Mirilla" or "images_per_s" not in row:
            continue
        best = (rows.get("PyTorch eager", {}) if name == "LibTorch C++" else row).get("best_round", 0)
        if not best:
            row["void"] = "eager PyTorch, which it should reach, gave no rate"
        elif row["images_per_s"] < HOLDS * best:
            share = row["images_per_s"] / best
            row["void"] = f"{100 * share:.1f} % of its best Python rate, {best:.0f} a second; {100 * HOLDS:.0f} % are required"


def compare_losses(race, rows):
    """Each against eager PyTorch's losses or, without those, the first rival's that has losses."""
    names = ["PyTorch eager", *(n for n in rows if n not in ("PyTorch eager", "Mirilla"))]
    truth = next((rows[n]["losses"] for n in names if rows.get(n, {}).get("losses")), [])
    for row in rows.values():
        if (difference := losses_differ(row["losses"], truth)) is None:
            continue
        row["losses_differ"] = difference
        if not difference <= LOSSES_AGREE[race.precision]:
            row["void"] = f"its losses differ by {difference:.2g} of the first"


def holds(results):
    """Throws if Mirilla gave no rate, or other losses; the check does not fail because a rival is faster."""
    wrong = [f"{race}: {row.get('unavailable') or row['void']}" for race, result in results.items()
             if not counts(row := result["rows"]["Mirilla"])]
    if wrong:
        raise Failed("; ".join(wrong), results)
    return results
