#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/parity, tests/parity/*.py and tests/oracle/live.py, on invented numbers: errors must be named, correct numbers must pass."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import struct
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "parity"))


def load(path):
    loader = importlib.machinery.SourceFileLoader(pathlib.Path(path).stem.replace("-", "_") + "_tool", str(ROOT / path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


parity, live, mutate, trainings = (load(p) for p in ("tools/parity", "tests/oracle/live.py", "tests/parity/mutate.py", "tests/parity/trainings.py"))
rows = mutate.rows


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def quietly(self, function, *arguments):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            return function(*arguments), out.getvalue()


class Rows(WithFolder):
    def test_a_number_that_is_none_is_red(self):
        file = self.folder / "rows"
        for measured in (1.0, float("nan"), 2.5):
            self.quietly(rows.row, file, f"x.{measured}", "w", "a", measured, 2, "u", "b")
        self.assertEqual([r["green"] for r in rows.read_lines(file)], [True, False, False])
        self.assertIsNone(rows.read(file)["x.nan"]["measured"])


class Page(unittest.TestCase):
    def text(self, green, mutants):
        row = dict(id="adam.x", what="w|w", against="a", measured=3.0, tolerance=2.0, unit="u", because="b", green=green)
        options = types.SimpleNamespace(photos=None)
        return parity.page({"adam.x": row}, mutants, options, pathlib.Path("/nowhere/picture.png"))

    def test_says_what_fails(self):
        text = self.text(False, {})
        self.assertIn("1 fail: adam.x", text)
        self.assertIn("**FAIL**", text)
        self.assertIn("w\\|w", text)
        self.assertNotIn("**FAIL**", self.text(True, {}))

    def test_says_which_mistake_stayed_green(self):
        self.assertIn("(**STAYED GREEN**)", self.text(True, {"adam.x": [dict(name="n", red=False, commit="c")]}))
        self.assertNotIn("STAYED", self.text(True, {"adam.x": [dict(name="n", red=True, commit="c")]}))


class Mutations(WithFolder):
    mutation = dict(row="adam.x", name="n", file="a.cpp", **{"from": "one", "to": "two"})

    def outcome(self, text, builds=True, row=None):
        (self.folder / "a.cpp").write_text(text)
        seen = []
        mutate.TREE = self.folder
        mutate.build = lambda: seen.append((self.folder / "a.cpp").read_text()) or builds
        mutate.run_tests = lambda tests: {"adam.x": row} if row else {}
        result = mutate.try_mutation(self.mutation, {"adam.x": dict(test="T.t")}, None)
        self.assertEqual((self.folder / "a.cpp").read_text(), text)  # restored, whatever happened
        return result, seen

    def test_is_made_judged_and_taken_back(self):
        green = dict(green=True, measured=1.0, tolerance=2.0, unit="u")
        self.assertEqual(self.outcome("a one b", row=dict(green, green=False)), ("red", ["a two b"]))
        self.assertEqual(self.outcome("a one b")[0], "red")  # the program failed before its row
        self.assertTrue(self.outcome("a one b", row=green)[0].startswith("GREEN"))

    def test_one_that_does_not_fit_is_named(self):
        self.assertIn("stands 2 times", self.outcome("one one")[0])
        self.assertIn("stands 0 times", self.outcome("none here".replace("one", ""))[0])
        self.assertEqual(self.outcome("one", builds=False)[0], "does not build")

    def test_those_of_the_tree_are_whole_and_fit(self):
        for mutation in mutate.mutations():
            self.assertEqual(set(mutation), {"row", "name", "file", "from", "to"}, mutation)
            text = (ROOT / mutation["file"]).read_text()
            self.assertEqual(text.count(mutation["from"]), 1, f"{mutation['row']}: {mutation['name']}")
            self.assertFalse(mutation["file"].startswith("tests/"), mutation)
            self.assertNotEqual(mutation["from"], mutation["to"])


class Trainings(unittest.TestCase):
    def runs(self, shift):
        return [[{"accuracy": .7 + .01 * e + .005 * s + shift} for e in range(5)] for s in range(3)]

    def test_the_same_are_near_and_others_far(self):
        near = trainings.distances("accuracy", self.runs(0), self.runs(.001), 5)
        far = trainings.distances("accuracy", self.runs(0), self.runs(.03), 5)
        self.assertLess(max(near), 1)
        self.assertGreater(min(far), trainings.STANDARD_ERRORS)


class Live(WithFolder):
    def tensors(self, name, values, dtype="F64", twin=None):
        header, data = {}, b""
        for tensor, numbers in (("x", values), ("x.channels_last", twin)):
            if numbers:
                raw = struct.pack(f"<{len(numbers)}{dict(F64='d', F32='f', I64='q')[dtype]}", *numbers)
                header[tensor] = {"dtype": dtype, "shape": [len(numbers)], "data_offsets": [len(data), len(data) + len(raw)]}
                data += raw
        text = json.dumps(header).encode()
        path = self.folder / name
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)
        return path

    def test_last_digits_may_differ_and_no_more(self):
        stored = self.tensors("a.safetensors", [1.0, 2.0])
        self.assertIsNone(live.compare(stored, self.tensors("b.safetensors", [1.0, 2.0 + 1e-13])))
        self.assertIn("x:", live.compare(stored, self.tensors("b.safetensors", [1.0, 2.0 + 1e-6])))
        self.assertIn("x:", live.compare(stored, self.tensors("b.safetensors", [1.0, float("nan")])))
        self.assertIn("F32", live.compare(stored, self.tensors("b.safetensors", [1.0, 2.0], "F32")))
        self.assertIn("other values", live.compare(self.tensors("a.safetensors", [1], "I64"), self.tensors("b.safetensors", [2], "I64")))

    def test_a_run_in_two_layouts_says_how_far_another_may_be(self):
        stored = self.tensors("a.safetensors", [1.0, 2.0], twin=[1.0, 2.01])
        self.assertIsNone(live.compare(stored, self.tensors("b.safetensors", [1.0, 2.09], twin=[1.0, 1.92])))
        self.assertIn("x:", live.compare(stored, self.tensors("b.safetensors", [1.0, 2.11], twin=[1.0, 2.01])))
        self.assertIn("x.channels_last:", live.compare(stored, self.tensors("b.safetensors", [1.0, 2.0], twin=[1.0, 2.12])))

    def test_other_files_are_compared_by_what_they_are(self):
        def file(name, text):
            (self.folder / name).write_text(text)
            return self.folder / name
        stored = file("a.json", '{"k": [1, 2.5, "t"]}')
        self.assertIsNone(live.compare(stored, file("b.json", '{"k": [1, 2.5000000001, "t"]}')))
        for other in ('{"k": [2, 2.5, "t"]}', '{"k": [1, 2.6, "t"]}', '{"k": [1, 2.5]}', '{"l": [1, 2.5, "t"]}', '{"k": [1, 2.5, "u"]}'):
            self.assertTrue(live.compare(stored, file("b.json", other)), other)
        self.assertEqual(live.compare(file("a.ppm", "1"), file("b.ppm", "2")), "other bytes")


if __name__ == "__main__":
    unittest.main()
