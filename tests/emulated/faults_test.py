#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""faults_test.py [BUILD]: lets every function of CUDA's runtime that a training calls fail, and functions of cuDNN and cuBLASLt, and expects of
each one sentence with the first cause, exit code 1, and that nothing is lost: no half-written file, and the model of an earlier run still
there."""
import os
import re
import shutil
import unittest

from support import Work, mirilla, told

TEXTS = {"unknown": "unknown error", "outofmemory": "out of memory", "launchfailure": "unspecified launch failure"}
EAGER = "steps that cannot be recorded run eagerly, with the same kernels in the same order; a note says why"
# Failures after which the training goes on to the same losses and the same model, and why that is right. All others end it.
SURVIVED = {
    "cudaGetDeviceProperties:1:unknown": "asked for the GPU's name, which is only shown",
    "cudaStreamBeginCapture:1:unknown": EAGER,
    "cudaStreamEndCapture:1:unknown": EAGER,
    "cudaGraphGetNodes:1:unknown": EAGER,
    "cudaGraphInstantiate:1:unknown": EAGER,
    "cudaGraphInstantiate:1:outofmemory": EAGER,
    "cudaGraphExecDestroy:1:unknown": "when the last graph ends, the results are written, and only its memory is lost",
    "cudnnBackendFinalize:5:CUDNN_STATUS_INTERNAL_ERROR": "a plan whose descriptor cannot be made is no candidate; the next one, or our own kernel, "
                                                          "computes the same sums",
    "cublasLtMatmulAlgoCheck:1:CUBLAS_STATUS_NOT_SUPPORTED": "a stored algorithm that the library no longer has is chosen again",
}
LIBRARY_FAULTS = ["cudnnCreate:1:CUDNN_STATUS_NOT_INITIALIZED", "cudnnSetStream:1:CUDNN_STATUS_BAD_PARAM",
                  "cudnnBackendFinalize:5:CUDNN_STATUS_INTERNAL_ERROR", "cudnnBackendExecute:60:CUDNN_STATUS_EXECUTION_FAILED",
                  "cublasLtCreate:1:CUBLAS_STATUS_NOT_INITIALIZED", "cublasLtMatmulAlgoCheck:1:CUBLAS_STATUS_NOT_SUPPORTED",
                  "cublasLtMatmul:3:CUBLAS_STATUS_EXECUTION_FAILED"]
# Where the program says it in words of its own.
OTHER_TEXT = {"cudaDriverGetVersion:1:unknown": "no NVIDIA driver", "cudaHostAlloc:1:outofmemory": "bytes left that it could pin",
              "cudaMallocFromPoolAsync:1:outofmemory": "bytes left"}
# Beside the first call of each function: memory that runs out, an error that sticks, and calls in the middle of a training.
MORE = ["cudaHostAlloc:1:outofmemory", "cudaMallocFromPoolAsync:1:outofmemory", "cudaGraphInstantiate:1:outofmemory",
        "cudaLaunchKernel:1:launchfailure", "cudaStreamSynchronize:2:launchfailure", "cudaLaunchKernel:150:unknown", "cudaMalloc:400:unknown",
        "cudaMemcpyAsync:500:unknown"]
# What is called only where memory runs out.
MORE += [f"cudaMalloc:1:outofmemory,{name}:1:unknown" for name in ("cudaDeviceSynchronize", "cudaMemPoolTrimTo", "cudaDeviceGraphMemTrim")]


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Work(per_class=2)
        whole = cls.train("whole", MIRILLA_EMULATE_REPORT="calls")
        assert whole.returncode == 0, whole.stderr
        cls.libraries = {"MIRILLA_VENDOR": "on", "MIRILLA_PLAN_STORE": str(cls.work.path / "plans.json")}
        cls.calls = {name: int(number) for number, name in re.findall(r"emulated GPU: (\d+) calls of (\w+)", whole.stderr)}

    @classmethod
    def tearDownClass(cls):
        cls.work.kept.cleanup()

    # In bf16: in fp16 the scale of so short a training is still too large for every step, and the optimizer would never run.
    @classmethod
    def train(cls, name, **variables):
        return cls.work.train(name, "cuda", "--precision", "bf16", "--replay", "on", batch=4, **variables)

    def same_result(self, name, same_as):
        self.assertEqual(self.work.losses(name), self.work.losses(same_as))
        if same_as != "libraries":  # with them the file names the plans that were chosen, and their times
            self.assertEqual(self.work.model(name), self.work.model(same_as))

    def check_files(self):
        """The earlier run's model is there, here or where the new run put it aside, and everything new is whole."""
        old, new = self.work.path / "whole", self.work.path / "failed"
        kept = [model.read_bytes() == (old / model.name).read_bytes() for model in new.rglob("model.safetensors")]
        self.assertIn(True, kept)
        for path in new.rglob("*"):
            self.assertIn(path.name, {"earlier", *os.listdir(old)})
        for model in new.rglob("model.safetensors"):
            read = mirilla("summary", model)
            self.assertEqual(read.returncode, 0, read.stderr)

    def check(self, fault, same_as="whole", **variables):
        shutil.rmtree(self.work.path / "failed", ignore_errors=True)
        shutil.copytree(self.work.path / "whole", self.work.path / "failed")
        done = self.train("failed", MIRILLA_EMULATE_FAIL=fault, **variables)
        sentences = told(done.stderr)
        self.check_files()
        if fault in SURVIVED:
            self.assertEqual((done.returncode, sentences), (0, []), done.stderr)
            if SURVIVED[fault] is EAGER:
                self.assertIn("steps cannot be replayed and run eagerly", done.stderr)
            return self.same_result("failed", same_as)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(len(sentences), 1, done.stderr)
        error = fault.rpartition(":")[2]
        self.assertIn(OTHER_TEXT.get(fault, TEXTS.get(error, error)), done.stderr)

    def test_the_training_replays(self):
        self.assertGreater(self.calls["cudaGraphLaunch"], 0)

    def test_the_first_call_of_each_function(self):
        for name in self.calls:
            with self.subTest(name):
                self.check(f"{name}:1:unknown")

    def test_memory_errors_that_stick_and_later_calls(self):
        for fault in MORE:
            name, number = fault.split(":")[:2]
            self.assertLessEqual(int(number), self.calls[name])
            with self.subTest(fault):
                self.check(fault)

    # The first run chooses plans, which the others take from the store.
    def test_calls_of_the_libraries(self):
        whole = self.train("libraries", **self.libraries)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        for fault in LIBRARY_FAULTS:
            with self.subTest(fault):
                self.check(fault, same_as="libraries", **self.libraries)

    # One allocation that fails is tried again with what scratch memory had kept.
    def test_an_allocation_that_fails_once_is_tried_again(self):
        done = self.train("again", MIRILLA_EMULATE_FAIL="cudaMalloc:1:outofmemory")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.same_result("again", "whole")

    # A graph allocates nothing, but the driver may need memory for it when it is launched.
    def test_a_graph_that_finds_no_memory_once_is_launched_again(self):
        done = self.train("launched-again", MIRILLA_EMULATE_FAIL="cudaGraphLaunch:1:outofmemory")
        self.assertEqual((done.returncode, told(done.stderr)), (0, []), done.stderr)
        self.assertNotIn("cannot be replayed", done.stderr)
        self.same_result("launched-again", "whole")

    def test_a_graph_that_finds_no_memory_at_all_leaves_the_steps_eager(self):
        done = self.train("eager", MIRILLA_EMULATE_FAIL="cudaGraphLaunch:1:outofmemory,cudaGraphLaunch:2:outofmemory")
        self.assertEqual((done.returncode, told(done.stderr)), (0, []), done.stderr)
        self.assertIn("steps cannot be replayed and run eagerly", done.stderr)
        self.assertIn("has not enough memory left", done.stderr)
        self.same_result("eager", "whole")

    # Each recording is broken by a wait, which is forbidden there and nowhere else.
    def test_a_recording_that_is_broken_leaves_the_steps_eager(self):
        done = self.train("unrecorded", MIRILLA_EMULATE_MISTAKE="wait:cudaLaunchKernel:all")
        self.assertEqual((done.returncode, told(done.stderr)), (0, []), done.stderr)
        self.assertIn("steps cannot be replayed and run eagerly", done.stderr)
        self.assertEqual(self.work.losses("unrecorded"), self.work.losses("whole"))


if __name__ == "__main__":
    unittest.main()
