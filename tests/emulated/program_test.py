#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""program_test.py [BUILD]: the whole program with `--device cuda` on the emulated GPU, compared with `simt` and `cpu`."""
import json
import struct
import unittest

from support import Work, mirilla, told


def floats_at_end(path, count):
    return struct.unpack(f"<{count}f", path.read_bytes()[-4 * count:])


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Work(per_class=8)
        for name, device, options in [("half", "cuda", ["fp16", "--replay", "on"]), ("eager", "cuda", ["fp16", "--replay", "off"]),
                                      ("simt", "simt", ["fp16", "--replay", "on"]), ("single", "cuda", ["fp32"]), ("cpu", "cpu", ["fp32"])]:
            done = cls.work.train(name, device, "--precision", *options)
            assert done.returncode == 0, done.stderr
        cls.plans = cls.work.path / "plans.json"
        cls.libraries = {"MIRILLA_VENDOR": "on", "MIRILLA_PLAN_STORE": str(cls.plans),
                         "MIRILLA_CUDNN_PATH": "/nowhere", "MIRILLA_CUBLASLT_PATH": "/nowhere"}  # no library may be opened
        cls.told, cls.chosen = "", []
        for name, replay in [("libraries", "on"), ("libraries-eager", "off")]:
            done = cls.work.train(name, "cuda", "--precision", "fp16", "--replay", replay, **cls.libraries)
            assert done.returncode == 0, done.stderr
            cls.told += done.stderr
            cls.chosen.append(cls.plans.read_text())

    @classmethod
    def tearDownClass(cls):
        cls.work.kept.cleanup()

    def near(self, got, want, tolerance):
        for one, other in zip(got, want, strict=True):
            self.assertLessEqual(abs(one - other), tolerance * abs(other), f"{got} and {want}")

    def test_trains_in_single_precision_as_the_cpu_does(self):
        self.near(self.work.losses("single"), self.work.losses("cpu"), 1e-5)

    def test_trains_in_half_precision_as_the_executor_does(self):
        # Half a step of fp16 at a ReLU's edge changes a loss by some 1e-3; a wrong kernel changes it by far more.
        self.near(self.work.losses("half"), self.work.losses("simt"), 5e-3)
        self.near(self.work.losses("half"), self.work.losses("cpu"), 1e-2)

    def test_replays_a_step_to_the_digit(self):
        self.assertEqual(self.work.losses("half"), self.work.losses("eager"))

    # The stand-ins for cuDNN and cuBLASLt: other sums, and weights' gradients that pass through halves.
    def test_trains_with_the_libraries_as_with_our_own_kernels(self):
        self.near(self.work.losses("libraries"), self.work.losses("simt"), 5e-3)
        self.assertNotEqual(self.work.losses("libraries"), self.work.losses("half"))
        owners = {owner["library"]: owner["plans"] for owner in json.loads(self.chosen[0])["owners"]}
        self.assertEqual(sorted(owners), ["emulated cuBLASLt", "emulated cuDNN"])  # never offered to the real ones
        for kind in ("forward f16", "backward_data f16", "backward_weight f16"):
            self.assertTrue(any(key.startswith(kind) and plan["plan"] != "own" for key, plan in owners["emulated cuDNN"].items()), kind)

    def test_replays_a_step_of_the_libraries_to_the_digit_by_the_plans_of_an_earlier_run(self):
        self.assertEqual(self.work.losses("libraries"), self.work.losses("libraries-eager"))
        self.assertEqual(*self.chosen)

    def test_uses_the_libraries_as_they_may_be_used(self):
        self.assertNotRegex(self.told, "emulated GPU: cu")

    def on_both(self, *arguments, **variables):
        results = []
        for device in ("cuda", "cpu"):
            done = mirilla(*arguments, "--device", device, *(["--npy", self.work.path / f"{device}.npy"] if arguments[0] == "gradcam" else []),
                           **variables)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("emulated GPU: cu", done.stderr)
            results.append(done.stdout)
        return results

    def picture(self):
        import zipfile
        with zipfile.ZipFile(self.work.scenes) as scenes:
            name = next(one for one in sorted(scenes.namelist()) if one.startswith("test/sea/"))
            return scenes.extract(name, self.work.path)

    def check_prediction(self, **variables):
        model = self.work.path / "cpu" / "model.safetensors"
        cuda, cpu = (json.loads(out)[0]["probabilities"] for out in
                     self.on_both("predict", model, self.picture(), "--precision", "fp32", "--json", **variables))
        self.assertEqual(cuda.keys(), cpu.keys())
        for name, value in cuda.items():
            self.assertAlmostEqual(value, cpu[name], delta=1e-5)

    def check_explanation(self, **variables):
        model = self.work.path / "cpu" / "model.safetensors"
        self.on_both("gradcam", model, self.picture(), "--layer", "layer3", "--out", self.work.path / "map.png", **variables)
        cuda, cpu = (floats_at_end(self.work.path / f"{device}.npy", 4) for device in ("cuda", "cpu"))  # layer3 of 32 pixels is (2,2)
        for one, other in zip(cuda, cpu, strict=True):
            self.assertAlmostEqual(one, other, delta=1e-4 * max(map(abs, cpu)))

    def test_predicts_as_the_cpu_does(self):
        self.check_prediction()
        self.check_prediction(**self.libraries)

    def test_explains_as_the_cpu_does(self):
        self.check_explanation()
        self.check_explanation(**self.libraries)

    def test_ends_with_one_sentence_where_there_is_no_such_gpu(self):
        done = self.work.train("none", "cuda", emulate=["--gpu", "h300"])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines(), ["emulated GPU: there is no GPU 'h300' to emulate",
                                                    "  hint: MIRILLA_EMULATE takes h200, h100, a100, rtx4090, rtx5090"])

    def test_ends_with_one_sentence_where_the_memory_is_too_small(self):
        done = self.work.train("small", "cuda", emulate=["--memory", "48M"])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(told(done.stderr)), 1, done.stderr)
        self.assertIn("48", told(done.stderr)[0])
        self.assertFalse((self.work.path / "small" / "model.safetensors").exists())


if __name__ == "__main__":
    unittest.main()
