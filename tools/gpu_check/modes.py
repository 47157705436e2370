# SPDX-License-Identifier: MIT
"""Where the stages run, on a GPU, on the host or on the emulated GPU, and how much work each of them takes there."""
import dataclasses

from gpu_check.races import HEADLINES, SWEEP, TINY, Pace, Race


@dataclasses.dataclass(frozen=True)
class Mode:
    device: str  # as the programs name it
    preset: str  # the build with the programs
    folder: str  # theirs, below the build's
    stages: tuple
    remark: str = ""  # belongs beside every result
    rehearses: bool = True
    emulated: bool = False
    headlines: tuple = TINY
    sweep: tuple = TINY
    pace: Pace = Pace(seconds=0.4, each=1)
    sweep_pace: Pace = Pace(rounds=1, seconds=0.2, each=1)
    profiled: tuple = ()  # raced too, so that their plans are those of the races
    tests: str = "*"
    steps: tuple = ()  # options of `gpu_check steps`


GPU = Mode("cuda", "cuda", "bin", ("device", "tests", "sanitize", "steps", "ceilings", "races"), rehearses=False,
           headlines=HEADLINES, sweep=SWEEP, pace=Pace(), sweep_pace=Pace(rounds=1, seconds=1.0),
           profiled=(Race("train", 256, 128), Race("infer", 256, 224)))
HOST = Mode("cpu", "release", "bin", ("ceilings", "races"), "a rehearsal on the host, whose figures say nothing")
# Sizes that a host computes in seconds.
EMULATED = Mode("cuda", "emulated", "bin/emulated", ("device", "tests", "sanitize", "steps", "kernels", "plans"), "emulated, no times",
                emulated=True, profiled=(Race("train", 2, 32), Race("infer", 1, 32)),
                tests="CudaDevice.*:CudaReplay.*:CudaStreams.*:*Relu*:*Matmul*f16:CudaConv2d*f16",
                steps=("--steps", "2", "--size", "32"))
