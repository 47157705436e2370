# SPDX-License-Identifier: MIT
"""A machine that pretends to have a GPU, with scripts as programs, for the tests of tools/gpu-check."""
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))

from gpu_check import command, figures, races

TRAIN = races.Race("train", 64, 128)
CEILINGS = {"copy_bytes_per_s": 4e12, "half_flop_per_s": 8e14}
# Replaces bench/torch_race.py and `gpu_check serve`: its answer to a race is its last argument.
SERVES = """
import sys
for line in sys.stdin:
    if line.startswith("race"):
        print("> " + sys.argv[-1], flush=True)
    else:
        print('> {"seconds": 0.1, "copy_bytes_per_s": 2e12, "half_flop_per_s": 1e14}', flush=True)
"""


class Machine(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        for module, name, value in ((command, "no_gpu", lambda: None), (command, "LIMITS_S", dict(command.LIMITS_S)),
                                    (figures, "RESULTS", self.path / "tree/bench/results")):
            before = getattr(module, name)
            setattr(module, name, value)
            self.addCleanup(setattr, module, name, before)
        figures.RESULTS.mkdir(parents=True)

    def script(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def check(self, wanted, python="no-such-python", rehearse=False, emulate=False, resume=None, out="out", **programs):
        for name, text in {"gpu_check": "exit 0", "test_cuda": "exit 0", **programs}.items():
            self.script(self.path / "bin" / name, text if text.startswith("#!") else "#!/bin/sh\n" + text + "\n")
        (self.path / "pack.json").write_text(json.dumps({"commit": "unknown", "glibc": "2.34", "emulated": emulate}))
        os.environ["OUT"] = str(self.path / out)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = command.check(types.SimpleNamespace(dir=self.path, stage=wanted, python=python, rehearse=rehearse, emulate=emulate,
                                                       resume=resume and self.path / resume, build=None))
        self.summary = (self.path / out / "summary.md").read_text()
        self.assertEqual(said.getvalue(), self.summary)
        return code, json.loads((self.path / out / "results.json").read_text())["stages"]

    def serving(self, answer):
        """A gpu_check that takes part in races."""
        return f"#!{sys.executable}\nimport sys\nif '--help' in sys.argv: sys.exit(0)\nsys.argv.append('''{json.dumps(answer)}''')\n{SERVES}"

    def python(self, answer, facts=None):
        """A Python with a PyTorch, which prints its facts when given a program and races when given a file."""
        facts = json.dumps(facts or {"root": "/nowhere", "version": "0", "libtorch": False, "libraries": []})
        text = f"#!{sys.executable}\nimport sys\nif sys.argv[1] == '-c':\n  print('''{facts}''')\n  sys.exit(0)\n"
        return str(self.script(self.path / "python", f"{text}sys.argv.append('''{json.dumps(answer)}''')\n{SERVES}"))
