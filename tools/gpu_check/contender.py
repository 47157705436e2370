# SPDX-License-Identifier: MIT
"""A contender in a race: a program that gets questions and answers, one line each, until its input ends."""
import contextlib
import functools
import json
import os
import pathlib
import queue
import shlex
import subprocess
import threading
import time

from gpu_check.pack import ROOT
from gpu_check.stages import Unavailable

RIVALS = ("eager", "compile", "reduce-overhead")
# Without importing torch, which can take a minute where its files are read for the first time.
FACTS = """
import importlib.metadata, importlib.util, json, pathlib
found = importlib.util.find_spec("torch")
if found is None:
    raise SystemExit("No module named 'torch'")
root = pathlib.Path(found.origin).parent
print(json.dumps({"root": str(root), "version": importlib.metadata.version("torch"),
                  "libtorch": (root / "share/cmake/Torch/TorchConfig.cmake").exists(),
                  "libraries": [str(p) for p in sorted(root.parent.glob("nvidia/*/lib"))]}))
"""


@functools.cache
def torch_facts(python, limit=30):
    """Facts about this Python's PyTorch; {"error": why} if it has none."""
    try:
        done = subprocess.run([python, "-c", FACTS], capture_output=True, text=True, timeout=limit)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": f"{python}: {error}"[:200]}
    if done.returncode != 0:
        return {"error": f"{python} has no PyTorch: {(done.stderr.strip().splitlines() or ['?'])[-1]}"[:200]}
    return json.loads(done.stdout)


def library_path(facts):
    """The environment in which programs find the wheels' CUDA libraries after the system's own."""
    folders = [f for f in [os.environ.get("LD_LIBRARY_PATH", ""), *facts.get("libraries", [])] if f]
    return {"LD_LIBRARY_PATH": ":".join(folders)} if facts.get("libraries") else {}


class Contender:
    def __init__(self, name, command, log, env=None):
        self.name, self.answers, self.why = name, queue.Queue(), ""
        self.process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=os.environ | (env or {}), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=log, text=True, errors="replace", start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("> "):
                self.answers.put(line[2:])
        self.answers.put(None)

    def ask(self, question, limit):
        """The answer, within `limit` seconds. Throws Unavailable; a contender that did not answer in time, or died, is not asked again."""
        if self.why:
            raise Unavailable(self.why)
        if limit <= 0:
            raise Unavailable("the stage's time ran out")
        try:
            print(question, file=self.process.stdin, flush=True)
            line = self.answers.get(timeout=limit)
        except queue.Empty:
            line, self.why = None, f"no answer to '{question}' in {limit:.0f} s"
        except OSError:
            line = None
        if line is None:
            self.why = self.why or f"ended at '{question}' ({self.process.wait()}); see log.txt"
            self.close()
            raise Unavailable(self.why)
        answer = json.loads(line)
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)  # its compilers too; it is its own group
        self.process.wait()
        self.reader.join()
        with contextlib.suppress(OSError):  # a question that was not read
            self.process.stdin.close()
        self.process.stdout.close()
        self.why = self.why or "it was stopped"


class Missing:
    """A placeholder for a contender that cannot take part."""

    def __init__(self, name, why):
        self.name, self.why = name, why

    def ask(self, question, limit):
        raise Unavailable(self.why)

    def close(self):
        pass


def libtorch_command(facts, out, device):
    """Compiles bench/libtorch/torch_race.cpp against the wheel's own LibTorch, then becomes it."""
    root, program = pathlib.Path(facts["root"]), out / "torch_race"
    gpu = ["-ltorch_cuda", "-lc10_cuda"] if (root / "lib/libtorch_cuda.so").exists() else []
    compile_it = ["g++", "-std=c++20", "-O2", "-w", f"-I{ROOT}", f"-I{root}/include", f"-I{root}/include/torch/csrc/api/include",
                  str(ROOT / "bench/libtorch/torch_race.cpp"), "-o", str(program), f"-L{root}/lib", f"-Wl,-rpath,{root}/lib",
                  "-Wl,--no-as-needed", *gpu, "-ltorch_cpu", "-ltorch", "-lc10"]
    return ["bash", "-c", f"{shlex.join(compile_it)} && exec {shlex.quote(str(program))} {device}"]


class Field:
    """All contenders. Compilers start at once, in the background: LibTorch's, and torch.compile's in processes of their own, which fill its
    cache on disk and end before the races, so that no choice by timing is made while something else runs."""

    def __init__(self, check, races):
        self.check, self.log = check, open(check.out / "contenders.txt", "w")
        self.facts = torch_facts(check.python)
        self.cache = check.out / "compiled"
        self.torch = self.facts.get("error")
        self.libtorch, self.warmers = Missing("LibTorch C++", self.torch or "PyTorch's wheel has no LibTorch in it"), []
        if self.torch:
            return
        if self.facts["libtorch"]:
            self.libtorch = self._start("LibTorch C++", libtorch_command(self.facts, check.out, check.device_name), check.libraries)
        for way in RIVALS[1:]:
            warmer = self._rival(way)
            for race in races:
                print(f"prepare {race.words}", file=warmer.process.stdin, flush=True)
            self.warmers.append((warmer, len(races)))

    def _start(self, name, command, env=None):
        return Contender(name, command, self.log, env)

    def _rival(self, way):
        return self._start(f"PyTorch {way}", [self.check.python, ROOT / "bench/torch_race.py", way, "--device", self.check.device_name],
                           {"TORCHINDUCTOR_CACHE_DIR": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1"})

    def wait_for_compilers(self, limit):
        end = time.monotonic() + limit
        for warmer, questions in self.warmers:
            for _ in range(questions):
                try:
                    if warmer.answers.get(timeout=max(end - time.monotonic(), 0.1)) is None:
                        break
                except queue.Empty:
                    break
            warmer.close()
        self.warmers = []

    def ready(self, limit):
        """Mirilla first, then the other contenders."""
        self.wait_for_compilers(limit)
        mirilla = self._start("Mirilla", [self.check.programs / "gpu_check", "serve", "--device", self.check.device_name],
                              self.check.libraries)
        rivals = [Missing(f"PyTorch {way}", self.torch) if self.torch else self._rival(way) for way in RIVALS]
        return [mirilla, *rivals, self.libtorch]

    def close(self, contenders=()):
        for one in [*contenders, *(w for w, _ in self.warmers), self.libtorch]:
            one.close()
        self.log.close()
        said = (self.check.out / "contenders.txt").read_text(errors="replace")
        (self.check.out / "contenders.txt").unlink()
        self.check.log.write(f"\n$ the contenders' stderr\n{said[-20000:]}\n")
        subprocess.run(["rm", "-rf", self.cache, self.check.out / "torch_race"])
