# SPDX-License-Identifier: MIT
"""The program on the emulated GPU, for the tests of this folder: their argument is the folder with the programs."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv.pop(1)).resolve() if sys.argv[1:] and not sys.argv[1].startswith("-") else ROOT / "build" / "emulated"
SIDE = 32


def mirilla(*arguments, emulate=(), **variables):
    """Runs `tools/emulate [EMULATE...] mirilla ARGUMENT...`, without cuDNN and cuBLASLt unless MIRILLA_VENDOR is given."""
    command = [ROOT / "tools" / "emulate", "--build", BUILD, *emulate, "mirilla", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_WAIT_POLICY": "passive", "MIRILLA_VENDOR": "off"} | variables)


class Work:
    """A folder with drawn scenes in it."""

    def __init__(self, per_class):
        self.kept = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.kept.name)
        self.scenes = self.path / "scenes.zip"
        drawn = mirilla("scenes", "--out", self.scenes, "--per-class", per_class, "--size", SIDE)
        assert drawn.returncode == 0, drawn.stderr

    def train(self, name, device, *options, batch=8, **more):
        """One epoch; the folder of the results is `path / name`."""
        return mirilla("train", "--data", self.scenes, "--resize", SIDE, "--size", SIDE, "--batch-size", batch, "--epochs", 1, "--lr", 1e-5,
                       "--seed", 1, "--device", device, "--out", self.path / name, *options, **more)

    def losses(self, name):
        """Of training and validation, as the history has them."""
        _, row = (self.path / name / "history.csv").read_text().splitlines()
        return [float(value) for value in row.split(",")[2:4]]

    def model(self, name):
        return (self.path / name / "model.safetensors").read_bytes()


def told(stderr):
    """The lines of an error, without what the emulated GPU says besides."""
    return [line for line in stderr.splitlines() if line.startswith("mirilla: ")]
