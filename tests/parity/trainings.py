#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Complete training runs on real photos, several seeds, against fastai's: the same curves within their spread, epoch by epoch.

    trainings.py --photos ZIP --weights PTH --reference CSV --program mirilla --rows FILE.jsonl [--test-accuracy A A A]
                  [--picture PNG] [--seeds 3] [--epochs N]

CSV has fastai's results: one line per epoch, "seed,phase,epoch,train_loss,valid_loss,accuracy", phase frozen or unfrozen; --test-accuracy
has the accuracy of its saved models on the photos' test part, one number per seed. The recipe is the course's at half size: Resize(128), 64
px, batches of 128, fine_tune(10, 1e-3). Finished runs are kept in --runs and reused by the same program. --epochs compares only the first N
epochs, and trains no longer than needed. Needs matplotlib for the picture.
"""
import argparse
import csv
import hashlib
import json
import pathlib
import statistics as st
import subprocess
import sys

from rows import row

CURVES = {"train_loss": "training loss", "valid_loss": "validation loss", "accuracy": "validation accuracy"}
# The limit for three seeds of fastai: half a percent of the epochs' means of two equal programs lie further apart.
STANDARD_ERRORS = 3.5
RECIPE = ["--resize", "128", "--size", "64", "--batch-size", "128", "--epochs", "10", "--lr", "1e-3"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "weights", "reference", "program"):
        parser.add_argument("--" + name, required=True, type=pathlib.Path)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--picture", type=pathlib.Path)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("build/parity/runs"))
    parser.add_argument("--test-accuracy", type=float, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=11)
    return parser.parse_args()


def read_reference(path):
    """{seed: [epoch's {curve: value}]}, the frozen epoch first."""
    runs = {}
    for line in csv.DictReader(path.open()):
        runs.setdefault(int(line["seed"]), []).append({curve: float(line[curve]) for curve in CURVES})
    return runs


def read_history(path):
    return [{curve: float(line[curve]) for curve in CURVES} for line in csv.DictReader(path.open())]


def train(options, seed):
    """A run of the program: its epochs, and its accuracy on the test part (None if it stopped early)."""
    digest = hashlib.sha256(options.program.read_bytes()).hexdigest()[:16]
    folder = options.runs / f"{digest}-{seed}"
    done = folder / "test.json"
    if not done.exists():
        command = [options.program, "train", "--data", options.photos, "--weights", options.weights, *RECIPE, "--seed", str(seed), "--out",
                   folder]
        subprocess.run(command, check=True, stdout=sys.stderr)
        out = subprocess.run([options.program, "eval", folder / "model.safetensors", "--data", options.photos, "--json"], check=True,
                             stdout=subprocess.PIPE).stdout
        done.write_bytes(out)
    return read_history(folder / "history.csv"), json.loads(done.read_text())["accuracy"]


def first_epochs(options, seed):
    """Only the frozen epoch: enough to detect a wrong recipe."""
    folder = options.runs / f"short-{seed}"
    subprocess.run([options.program, "train", "--data", options.photos, "--weights", options.weights, *RECIPE[:-4], "--epochs", "1", "--lr",
                    "1e-3", "--seed", str(seed), "--out", folder], check=True, stdout=sys.stderr)
    return read_history(folder / "history.csv")[:1], None


def distances(curve, theirs, ours, epochs):
    """|difference of the means| in standard errors, one per epoch. The deviation is the frozen epoch's own, and pooled for all epochs after
    it, since a few seeds say little about one epoch."""
    def values(runs, epoch):
        return [run[epoch][curve] for run in runs if len(run) > epoch]

    def pooled(among):
        variances = [(len(v) - 1, st.variance(v)) for epoch in among for v in (values(theirs, epoch), values(ours, epoch)) if len(v) > 1]
        return (sum(n * s for n, s in variances) / sum(n for n, _ in variances)) ** .5

    out = []
    for epoch in range(epochs):
        a, b = values(theirs, epoch), values(ours, epoch)
        deviation = pooled(range(1, epochs) if epoch else range(1))
        out.append(abs(st.mean(a) - st.mean(b)) / (deviation * (1 / len(a) + 1 / len(b)) ** .5))
    return out


def report(options, theirs, ours, tests):
    against = f"fastai 2.8.12, {len(theirs)} seeds"
    seeds = f"{len(ours)} seeds"
    epochs = min(options.epochs, *(len(run) for run in [*theirs, *ours]))
    good = True

    def add(id, what, measured, tolerance, unit, because):
        nonlocal good
        good = row(options.rows, "statistics." + id, what, against, measured, tolerance, unit, because, "trainings.py") and good

    for curve, name in CURVES.items():
        apart = distances(curve, theirs, ours, epochs)
        add(curve.replace("_", "-"), f"mean {name} over {seeds}, epoch by epoch ({epochs} epochs; the furthest)", max(apart), STANDARD_ERRORS,
            "standard errors of the difference", "two samples of one distribution are further apart in 1 of 2,000 epochs")
    mean = lambda runs, epoch: st.mean(run[epoch]["accuracy"] for run in runs)
    add("accuracy-frozen", f"mean validation accuracy after the frozen epoch, {seeds}: {mean(ours, 0):.4f} and {mean(theirs, 0):.4f}",
        abs(mean(ours, 0) - mean(theirs, 0)), .03, "accuracy", "fastai's own spread over seeds")
    if epochs > 1:
        add("accuracy-final", f"mean validation accuracy after the last epoch, {seeds}: {mean(ours, -1):.4f} and {mean(theirs, -1):.4f}",
            abs(mean(ours, -1) - mean(theirs, -1)), .02, "accuracy", "fastai's own spread over seeds")
    if tests and options.test_accuracy:
        wanted = st.mean(options.test_accuracy)
        add("accuracy-test", f"mean accuracy of the saved models on the test part, {seeds}: {st.mean(tests):.4f} and {wanted:.4f}",
            abs(st.mean(tests) - wanted), .02, "accuracy", "fastai's own spread over seeds")
    return good


def draw(path, theirs, ours):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, len(CURVES), figsize=(12, 3.6), dpi=90)
    for ax, (curve, name) in zip(axes, CURVES.items()):
        for runs, colour, label in ((theirs, "#8a8a8a", "fastai"), (ours, "#c2410c", "Mirilla")):
            for i, run in enumerate(runs):
                ax.plot(range(len(run)), [epoch[curve] for epoch in run], color=colour, linewidth=1.1, marker="o", markersize=2.5, alpha=.85,
                        label=f"{label}, {len(runs)} seeds" if i == 0 else None)
        ax.set_title(name, fontsize=11)
        ax.set_xlabel("epoch (0: frozen body)", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.grid(alpha=.25)
    axes[0].legend(fontsize=9, frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def main():
    options = arguments()
    theirs = list(read_reference(options.reference).values())
    short = options.epochs == 1
    runs = [(first_epochs if short else train)(options, seed) for seed in range(options.seeds)]
    ours = [history for history, _ in runs]
    if options.picture and not short:
        draw(options.picture, theirs, ours)
    return 0 if report(options, theirs, ours, [] if short else [accuracy for _, accuracy in runs]) else 1


if __name__ == "__main__":
    sys.exit(main())
