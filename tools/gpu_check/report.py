# SPDX-License-Identifier: MIT
"""The summary: one line per stage, and one table per race."""


def percent(share):
    return f"{100 * share:.0f} %"


def share_text(shares):
    low, high = shares
    return percent(low) if abs(high - low) < 0.005 else f"{percent(low)} to {percent(high)}"


def device_line(facts):
    return facts["device"]


def ceilings_line(facts):
    return (f"copy {facts['copy_bytes_per_s'] / 1e12:.2f} TB/s, half product {facts['half_flop_per_s'] / 1e12:.0f} TFLOP/s "
            f"(by Mirilla's own: {facts['mirilla']['copy_bytes_per_s'] / 1e12:.2f} and {facts['mirilla']['half_flop_per_s'] / 1e12:.0f})")


def tests_line(facts):
    return f"{facts['tests']} tests, {len(facts['failed'])} failed, {len(facts['skipped'])} skipped"


def sanitize_line(facts):
    return f"by {facts['by']}: " + "; ".join(f"{tool}: {f['tests']} tests{' before its time ran out' if f['out_of_time'] else ''}"
                                             for tool, f in facts.items() if tool != "by")


def steps_line(facts):
    return "; ".join(f"{p}: largest relative difference {f['from_the_same_state']['largest_relative_difference']:.2e} from the same state "
                     f"(allowed {f['tolerance_from_the_same_state']}), {f['left_alone']['largest_relative_difference']:.2e} left alone"
                     for p, f in facts.items())


def races_line(facts):
    def one(race, result):
        if "void" in result or result["times_the_best"] is None:
            return f"{race}: void, {result.get('void', 'no rival counts')}"
        return f"{race}: {result['times_the_best']:.2f} times the best rival"

    return "; ".join(one(race, result) for race, result in facts.items())


def kernels_line(facts):
    return f"by {facts['by']}: " + "; ".join(f"{race}: {len(rows)} kernels, most in {rows[0]['kernel'][:40]}"
                                             for race, rows in facts["kernels"].items())


def plans_line(facts):
    if "first_start" not in facts:
        return f"{facts['store_bytes']} bytes of plans; the second start {facts['second_start']}"
    return "; ".join(f"{name.replace('_', ' ')} {sum(facts[name].values()):.1f} s" for name in ("first_start", "second_start")) + \
        f"; {facts['store_bytes']} bytes of plans"


LINES = {"device": device_line, "ceilings": ceilings_line, "tests": tests_line, "sanitize": sanitize_line, "steps": steps_line,
         "races": races_line, "sweep": races_line, "kernels": kernels_line, "plans": plans_line}


def line_of(name, result):
    facts, text = result.get("facts"), result.get("text", "")
    if facts:
        try:
            text = f"{text.strip()} {LINES[name](facts)}"
        except (KeyError, TypeError, ValueError):  # a stage that failed halfway has only some facts; they are in results.json
            pass
    time = f"{result['seconds']:.0f} s" if "seconds" in result else "none"
    return f"| {name} | {result['result']} | {time}{', earlier' if result.get('earlier') else ''} | {text.strip()} |".replace("\n", " ")


def race_row(name, row):
    if "images_per_s" not in row:
        return f"| {name} | | | | | unavailable: {row['unavailable']} |"
    losses = f"{row['losses'][0]:.4f} .. {row['losses'][-1]:.4f}" if row["losses"] else ""
    if "losses_differ" in row:
        losses += f" ({row['losses_differ']:.1e})"
    roof = share_text(row["share_of_roofline"]) if "share_of_roofline" in row else ""
    remark = f"void: {row['void']}" if "void" in row else row.get("note", "")
    return f"| {name} | {row['images_per_s']:.0f} | {percent(row['spread'])} | {roof} | {losses} | {remark} |"


def race_table(race, result, level="##"):
    kind, batch, size, precision = race.split()
    title = f"{'Training' if kind == 'train' else 'Inference'}, {batch} at {size} px, {precision}"
    verdict = f"void: {result['void']}" if "void" in result else f"Mirilla is {result['times_the_best']:.2f} times the best rival"
    if result.get("times_eager"):
        verdict += f", {result['times_eager']:.2f} times eager PyTorch"
    lines = [f"{level} {title}: {verdict}", "", "| who | pictures/s | spread | of the roofline | losses (apart) | |", "|---|---|---|---|---|---|"]
    lines += [race_row(name, row) for name, row in result["rows"].items()]
    if clocks := [c for c in result.get("clocks", []) if c]:
        lines += ["", f"clocks before and after (SM, memory, °C, power, throttled): {' -> '.join(clocks)}"]
    return lines


def kernel_table(race, rows, by):
    columns = [column for column in rows[0] if column != "kernel"]
    return [f"## Kernels: {race}, by {by}", "", f"| kernel | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|",
            *(f"| `{row['kernel']}` | {' | '.join(str(row[column]) for column in columns)} |" for row in rows)]


def summary(title, results, mode, note=""):
    lines = [f"# {title}", ""]
    if mode.remark:
        lines += [f"**{mode.remark[0].upper()}{mode.remark[1:]}.**", ""]
    lines += [note, ""] if note else []
    lines += ["| stage | result | time | |", "|---|---|---|---|"]
    lines += [line_of(name, result) for name, result in results.items()]
    for name in ("races", "sweep"):
        for race, result in ((results.get(name) or {}).get("facts") or {}).items():
            lines += ["", *race_table(race, result)]
    profiled = (results.get("kernels") or {}).get("facts") or {}
    for race, rows in profiled.get("kernels", {}).items():
        lines += ["", *kernel_table(race, rows, profiled["by"])]
    return "\n".join(lines) + "\n"
