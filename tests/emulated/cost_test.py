#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cost_test.py [BUILD]: `mirilla cost` against the emulated GPU, which counts what a step gives it.

A step's counts are the difference of two runs, one of which replays one step more. Launches of each kernel must agree exactly; bytes within 5 %
of the sectors that were touched, except for the kernels below. Each thread of batch norm also reads its channels' values, which are many more
bytes than its share of a small tensor. On one multiprocessor the grids of two batches are the same, so their difference is without these."""
import collections
import json
import re
import unittest

from support import mirilla

SECTOR = 32  # bytes
NEAR = 0.05
SMALL = 50_000  # bytes in a step: of less, what threads share is a large part
# Kernels that read a tensor again, from the cache, where the ledger counts it once. At most so many times as many sectors.
AGAIN = {
    "product_kernel": (40, "each tile reads its rows and columns again, and a convolution each tap"),
    "max_pool2d_down_kernel": (2.3, "windows of 3 by 3 overlap at stride 2, and columns and the rows of two threads are read again"),
    "max_pool2d_backward_kernel": (2.4, "each input looks at up to four windows"),
    "norm_pool_kernel": (2.3, "as max_pool2d_down_kernel"),
    "sums_kernel": (2.4, "behind the stem's pool each input looks at up to four windows, whose gradient and place it reads"),
    "back_rows_kernel": (1.85, "the same, and it writes as much as x"),
    "moments_kernel": (1.1, "each thread reads its channels' first values, and the last block those and every class of parts"),
    "copy_channels_kernel": (1.2, "rows of three channels lie across sectors"),
    "concat_kernel": (1.3, "the same"),
    "adaptive_pool2d_backward_kernel": (4.5, "each input reads its cell's gradient and winner"),
}


def kernel_of(name):
    """void mirilla::cuda::(anonymous namespace)::adam_kernel(...) -> adam_kernel"""
    name = re.sub(r"\(anonymous namespace\)::", "", name)
    return re.split(r"[<(]", re.sub(r"^void ", "", name))[0].rpartition("::")[2]


def counted(report):
    """{kernel: (launches, bytes)} of a report of counts."""
    all_counts = collections.defaultdict(lambda: (0, 0))
    for line in report.split("emulated GPU: counts\n")[1].splitlines()[1:]:
        if not (found := re.match(r"\s*(\d+)\s+\d+\s+\d+\s+\d+\s+(\d+)\s+\d+\s+\d+\s+\d+  (.*)", line)):
            continue
        launches, sectors = all_counts[kernel_of(found[3])]
        all_counts[kernel_of(found[3])] = launches + int(found[1]), sectors + SECTOR * int(found[2])
    return all_counts


def run(steps, options, vendor, emulate=()):
    variables = {"MIRILLA_VENDOR": vendor, "MIRILLA_PLAN_STORE": "off", "MIRILLA_DETERMINISTIC": "1"}
    done = mirilla("cost", *options, "--no-input", "--json", "--measure", steps, emulate=["--count", *emulate], **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), counted(done.stderr)


def compared(options, vendor, emulate=()):
    """{kernel: (launches, bytes)} of our own kernels in one replayed step: the ledger's, and the emulated GPU's."""
    document, fewer = run(1, options, vendor, emulate)
    _, more = run(2, options, vendor, emulate)
    ledger = collections.defaultdict(lambda: (0, 0))
    for row in document["kernels"]:
        if row["kind"] != "kernel":
            continue
        launches, moved = ledger[row["kernel"]]
        cost = row["cost"]
        ledger[row["kernel"]] = launches + cost["launches"], moved + cost["bytes_read"] + cost["bytes_written"]
    step = {name: (more[name][0] - fewer[name][0], more[name][1] - fewer[name][1]) for name in more}
    return dict(ledger), {name: counts for name, counts in step.items() if counts[0] > 0}


class Launches(unittest.TestCase):
    maxDiff = None

    def agree(self, options, vendor):
        ledger, step = compared(options, vendor)
        self.assertEqual({name: counts[0] for name, counts in ledger.items()}, {name: counts[0] for name, counts in step.items()})

    def test_of_training_with_our_own_kernels(self):
        self.agree(["--train", "--batch-size", 2, "--size", 32, "--own-kernels"], "off")

    def test_of_training_with_the_libraries(self):
        self.agree(["--train", "--batch-size", 2, "--size", 32], "on")

    def test_of_inference_with_our_own_kernels(self):
        self.agree(["--batch-size", 1, "--size", 32, "--own-kernels"], "off")

    def test_of_inference_with_the_libraries(self):
        self.agree(["--batch-size", 1, "--size", 32], "on")


class Bytes(unittest.TestCase):
    def test_of_training_are_the_sectors_that_kernels_touch(self):
        options = ["--train", "--size", 64, "--multiprocessors", 1, "--batch-size"]
        few, few_touched = compared([*options, 16], "on", ["--multiprocessors", "1"])
        many, many_touched = compared([*options, 32], "on", ["--multiprocessors", "1"])
        wrong, seen = [], 0
        for name in sorted(many):
            moved, touched = many[name][1] - few[name][1], many_touched[name][1] - few_touched[name][1]
            if moved < SMALL:  # does not grow with the batch: the optimizer
                moved, touched = many[name][1], many_touched[name][1]
            if moved < SMALL:
                continue
            seen += 1
            most = AGAIN[name][0] if name in AGAIN else 1 + NEAR
            if not (1 - NEAR) * moved <= touched <= most * moved:
                wrong.append(f"{name}: the ledger has {moved} bytes, and {touched} were touched")
        self.assertEqual(wrong, [])
        self.assertGreater(seen, 8)


if __name__ == "__main__":
    unittest.main()
