#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The pages of `mirilla explore` and `mirilla serve` in a headless Chromium, used like a person would: python pages_test.py PROGRAM

Exits with 77 if there is no browser. MIRILLA_SCREENSHOTS names a folder for pictures of the pages.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest
import zipfile

import devtools

PROGRAM = None
HOSTILE = "</script><img src=x onerror=document.title='gotcha'>"
CLASSES = ["buildings", HOSTILE, "glacier", "mountain", "sea", "street"]
READY = "document.documentElement && document.documentElement.dataset.ready === 'true'"


def mirilla(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout


class Made:
    """A small model and a picture, once for all."""
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="mirilla-pages-")
        self.path = pathlib.Path(self.folder.name)
        mirilla("scenes", "--out", self.path / "scenes.zip", "--per-class", 8, "--size", 64)
        mirilla("train", "--data", self.path / "scenes.zip", "--resize", 64, "--size", 64, "--batch-size", 16, "--epochs", 1, "--out", self.path / "out")
        self.model = self.path / "out" / "model.safetensors"
        with zipfile.ZipFile(self.path / "scenes.zip") as scenes:
            name = min(name for name in scenes.namelist() if "test/sea/" in name and name.endswith(".png") and "masks" not in name)
            self.picture = pathlib.Path(scenes.extract(name, self.path))
        self.vocabulary = ["--vocab", ",".join(CLASSES)]

    def page(self):
        out = self.path / "page.html"
        if not out.exists():
            mirilla("explore", self.model, self.picture, *self.vocabulary, "--out", out)
        return out


def setUpModule():
    global MADE
    MADE = Made()


def tearDownModule():
    MADE.folder.cleanup()


class Page(unittest.TestCase):
    """A new page; expects no error in it at the end."""
    @classmethod
    def setUpClass(cls):
        cls.browser = devtools.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.browser.prefer(prefers_color_scheme="light")
        self.browser.resize(1280, 900)
        self.browser.open("about:blank")
        self.browser.errors.clear()
        self.browser.requests.clear()

    def tearDown(self):
        self.browser.js("1")  # all logged messages have arrived
        self.assertEqual(self.browser.errors, [])

    def text(self, selector):
        return self.browser.js(f"document.querySelector({json.dumps(selector)}).textContent")

    def attribute(self, selector, name):
        return self.browser.js(f"document.querySelector({json.dumps(selector)}).getAttribute({json.dumps(name)})")

    def shot(self, name, **options):
        folder = os.environ.get("MIRILLA_SCREENSHOTS")
        if folder:
            self.browser.screenshot(pathlib.Path(folder) / f"{name}.png", **options)

    def contrast(self, selector):
        """The contrast of a text with its background, as defined by WCAG."""
        return self.browser.js("""((selector) => {
            const parse = (text) => text.match(/[\\d.]+/g).map(Number);
            const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
              .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
            const element = document.querySelector(selector);
            let under = element;
            while (under.parentElement && (parse(getComputedStyle(under).backgroundColor)[3] ?? 1) === 0) under = under.parentElement;
            const [a, b] = [light(parse(getComputedStyle(element).color)), light(parse(getComputedStyle(under).backgroundColor))];
            return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        })""" + f"({json.dumps(selector)})")


class Explore(Page):
    def setUp(self):
        super().setUp()
        self.browser.open(MADE.page().as_uri(), READY)
        self.browser.wait("document.querySelectorAll('.tile').length > 0")

    def choose(self, name):
        self.browser.click(f'[data-name="{name}"] > .node')
        self.browser.wait(f"document.getElementById('name').textContent === {json.dumps(name)}")

    def test_uses_no_connection_and_may_not(self):
        size = MADE.page().stat().st_size
        self.assertLess(size, 15_000_000)
        self.assertEqual([url for url in self.browser.requests if not url.startswith(("file:", "data:"))], [])
        refused = self.browser.js("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => String(error))")
        self.assertIn("TypeError", refused)
        self.browser.js("1")
        self.assertTrue(any("Content Security Policy" in error for error in self.browser.errors), self.browser.errors)
        self.browser.errors.clear()

    def test_names_of_classes_stay_text(self):
        self.assertIn(HOSTILE, self.browser.js("[...document.querySelectorAll('.class .name')].map((one) => one.textContent)"))
        self.assertNotIn("gotcha", self.browser.js("document.title"))
        self.assertEqual(self.browser.js("document.querySelectorAll('img').length"), 0)

    def test_says_its_parts_to_a_screen_reader(self):
        nodes = self.browser.accessible()
        for wanted in [("tree", "Modules"), ("treeitem", "layer4, Sequential"), ("navigation", "Modules of the network"), ("heading", "layer4"),
                       ("listbox", "Channels"), ("slider", "Strength"), ("radiogroup", "Over the picture"), ("button", "Dark")]:
            self.assertIn(wanted, nodes)
        named = {role for role, name in nodes if not name}
        self.assertFalse(named & {"treeitem", "button", "radio", "checkbox", "combobox", "slider", "option", "image", "tree", "listbox"}, named)
        self.assertTrue(any(role == "image" and "Grad-CAM at layer4 for" in name for role, name in nodes))
        self.assertTrue(any(role == "image" and name.startswith("Histogram") for role, name in nodes))

    def test_a_module_shows_its_channels_and_numbers(self):
        self.choose("relu")
        self.assertIn("ReLU", self.text("#about"))
        self.assertIn("64 channels", self.text("#about"))
        self.browser.wait("document.querySelectorAll('.tile').length === 64")
        facts = self.browser.js("Object.fromEntries([...document.querySelectorAll('#facts div')].map((d) => [...d.children].map((c) => c.textContent)))")
        self.assertEqual(facts["minimum"], "0")
        self.assertGreater(float(facts["maximum"]), 0)
        self.assertGreater(float(facts["zeros"].rstrip(" %")), 0)
        self.browser.click("#values label:nth-of-type(2)")
        self.assertIn("Gradient of", self.text("#statistics-title"))
        self.browser.click('[data-name="head"] > .node')
        self.choose("head.8")
        self.browser.wait("document.querySelectorAll('.tile').length === 6")
        self.assertIn("no places", self.text("#readout"))

    def test_a_module_that_runs_twice_shows_both_calls(self):
        self.browser.click('[data-name="layer1"] > .node')
        self.browser.click('[data-name="layer1.0"] > .node')
        self.choose("layer1.0.relu")
        self.assertEqual(self.browser.js("document.querySelectorAll('#calls input').length"), 2)
        second = self.text("#facts")
        self.browser.click("#calls label:first-of-type")
        self.browser.wait(f"document.querySelector('#facts').textContent !== {json.dumps(second)}")

    def test_pointing_shows_the_cell_and_its_value(self):
        self.choose("layer3")
        marks = "document.getElementById('marks').getContext('2d').getImageData(0, 0, 512, 512).data.some((v) => v > 0)"
        self.assertFalse(self.browser.js(marks))
        self.browser.move("#picture", .6, .3)
        self.browser.wait("/row 1, column 2: channel \\d+ is /.test(document.getElementById('readout').textContent)")
        self.assertIn("Grad-CAM", self.text("#readout"))
        self.assertIn("Pixels 32-47 x 16-31", self.text("#readout"))
        self.assertTrue(self.browser.js(marks))
        self.browser.move("#file")
        self.browser.wait("!" + marks)
        self.browser.move(".tile canvas", .9, .9)
        self.browser.wait("document.getElementById('readout').textContent.startsWith('row 3, column 3')", "a tile points into the picture")

    def test_the_shown_value_is_the_networks(self):
        self.choose("layer4")
        self.browser.js("document.getElementById('picture').focus()")
        self.browser.key("ArrowRight")  # to the first cell
        told = self.text("#readout")
        channel, value = int(re.search(r"channel (\d+)", told)[1]), float(re.search(r"is (\S+?),", told)[1])
        mean = self.browser.js(f"""(async () => {{ const of = data.captures.find((one) => one.module === 'layer4');
            const map = await channelValues(of, 'activation', {channel}); return map.values[0]; }})()""")
        self.assertAlmostEqual(value, mean, delta=max(1e-3, abs(mean) * 1e-2))

    def test_a_class_is_explained_when_it_is_chosen(self):
        before = self.browser.js("document.getElementById('base').toDataURL()")
        self.browser.click(".class:nth-of-type(3)")
        name = self.text(".class:nth-of-type(3) .name")
        self.browser.wait(f"document.getElementById('picture').getAttribute('aria-label').includes({json.dumps(name)})")
        self.browser.wait(f"document.getElementById('base').toDataURL() !== {json.dumps(before)}", "another map")
        self.assertIn(name, self.text("#channels-note"))

    def test_everything_goes_by_keyboard(self):
        key = self.browser.key
        focus = "document.activeElement"
        self.browser.js("document.querySelector('[role=treeitem][tabindex=\"0\"]').focus()")
        key("Home")
        self.assertEqual(self.browser.js(f"{focus}.dataset.name"), "")
        key("ArrowDown", 5)
        self.assertEqual(self.browser.js(f"{focus}.dataset.name"), "layer1")
        key("ArrowRight", 2)
        self.assertEqual(self.browser.js(f"{focus}.dataset.name"), "layer1.0")
        key("Enter")
        self.browser.wait("document.getElementById('name').textContent === 'layer1.0'")
        key("ArrowLeft")
        self.assertEqual(self.browser.js(f"{focus}.dataset.name"), "layer1")
        key("ArrowLeft")
        self.assertEqual(self.browser.js(f"{focus}.getAttribute('aria-expanded')"), "false")
        key("h")
        self.assertEqual(self.browser.js(f"{focus}.dataset.name"), "head")
        seen = set()
        for _ in range(30):  # Tab reaches every control
            key("Tab")
            seen.add(self.browser.js(f"{focus}.id.replace(/^channel-.*/, 'tile') || {focus}.name || {focus}.className"))
        self.assertTrue({"picture", "over", "alpha", "relu", "class", "values", "sort", "common", "tile"} <= seen, seen)
        self.browser.js("document.querySelector('.tile[tabindex=\"0\"]').focus()")
        first = self.browser.js(f"{focus}.dataset.channel")
        key("ArrowRight")
        self.assertNotEqual(self.browser.js(f"{focus}.dataset.channel"), first)
        self.assertEqual(self.browser.js(f"{focus}.getAttribute('aria-selected')"), "true")
        self.assertEqual(self.browser.js(f"getComputedStyle({focus}).outlineStyle"), "solid")

    def test_light_and_dark_and_both_to_be_read(self):
        self.shot("explore-light")
        texts = ["#about", "#readout", ".class .name", ".kind", "#facts dt", "[aria-selected=true] > .node", ".pills label:has(:checked)",
                 ".tile span", "legend"]
        for dark in (False, True):
            self.browser.prefer(prefers_color_scheme="dark" if dark else "light")
            self.browser.wait(f"document.documentElement.dataset.theme === '{'dark' if dark else 'light'}'")
            for text in texts:
                self.assertGreaterEqual(self.contrast(text), 4.5, f"{text}, {'dark' if dark else 'light'}")
        self.shot("explore-dark")
        self.browser.click("#theme")
        self.assertEqual(self.attribute("html", "data-theme"), "light")
        self.assertEqual(self.attribute("#theme", "aria-pressed"), "false")

    def test_fits_a_telephone_and_does_not_move_where_that_is_unwanted(self):
        self.browser.resize(390, 844)
        self.assertLessEqual(self.browser.js("document.documentElement.scrollWidth"), 390)
        self.shot("explore-narrow", whole=True)
        self.browser.prefer(prefers_reduced_motion="reduce")
        self.assertEqual(self.browser.js("getComputedStyle(document.querySelector('.twist')).transitionDuration"), "0s")


class Serve(Page):
    def setUp(self):
        super().setUp()
        self.server = subprocess.Popen([PROGRAM, "serve", MADE.model, *MADE.vocabulary, "--port", "0", "--json"], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end_server)
        text = ""
        while not text.endswith("}\n"):
            text += self.server.stdout.readline()
        self.address = json.loads(text)["address"]
        self.browser.open(self.address, READY)

    def end_server(self):
        self.server.kill()
        self.server.communicate()

    def upload(self, path):
        root = self.browser.call("DOM.getDocument")["root"]["nodeId"]
        node = self.browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def explained(self):
        self.browser.wait("document.getElementById('why').src.startsWith('data:') && !document.querySelector('.busy')")

    def test_a_photo_is_named_and_explained(self):
        self.upload(MADE.picture)
        self.explained()
        said = json.loads(mirilla("predict", MADE.model, MADE.picture, *MADE.vocabulary, "--json"))[0]
        self.assertEqual(self.text("#verdict"), f"{said['label']}, {100 * max(said['probabilities'].values()):.1f} %")
        before = self.attribute("#why", "src")
        self.browser.js("(() => { const s = document.getElementById('layer'); s.value = 'layer2.0.conv1'; s.dispatchEvent(new Event('change')); })()")
        self.browser.wait("document.getElementById('caption').textContent.endsWith('layer2.0.conv1')")
        self.assertNotEqual(self.attribute("#why", "src"), before)
        self.browser.click(".class:nth-of-type(2)")
        second = self.text(".class:nth-of-type(2) .name")
        self.browser.wait(f"document.getElementById('why').alt.includes({json.dumps('for ' + second)})")
        self.assertNotIn("gotcha", self.browser.js("document.title"))
        self.shot("serve-light")
        self.browser.prefer(prefers_color_scheme="dark")
        self.assertGreaterEqual(self.contrast("#caption"), 4.5)
        self.shot("serve-dark")
        self.browser.resize(390, 844)
        self.assertLessEqual(self.browser.js("document.documentElement.scrollWidth"), 390)
        self.shot("serve-narrow", whole=True)
        self.assertTrue(all(url.startswith((self.address, "data:")) for url in self.browser.requests))

    def test_a_photo_may_be_dropped_and_every_module_explored(self):
        picture = list(MADE.picture.read_bytes())
        self.browser.js(f"""(() => {{ const files = new DataTransfer();
            files.items.add(new File([new Uint8Array({picture})], 'dropped.png'));
            document.getElementById('drop').dispatchEvent(new DragEvent('drop', {{ dataTransfer: files, bubbles: true, cancelable: true }})); }})()""")
        self.explained()
        self.assertEqual(self.attribute("#photo", "alt"), "dropped.png")
        self.browser.wait("document.getElementById('photo').naturalWidth === 64")
        self.browser.open(self.browser.js("document.getElementById('explore').href"), READY)
        self.assertEqual(self.text("#name"), "layer4")

    def test_a_file_that_is_no_photo_gets_a_sentence(self):
        bad = MADE.path / "letter.png"
        bad.write_text("no picture")
        self.upload(bad)
        self.browser.wait("!document.getElementById('error').hidden")
        self.assertIn("photo", self.text("#error"))
        self.assertEqual(self.attribute("#error", "role"), "alert")
        self.browser.js("1")
        self.browser.errors = [error for error in self.browser.errors if "400" not in error]  # Chromium logs the status itself
        self.upload(MADE.picture)
        self.explained()
        self.assertTrue(self.browser.js("document.getElementById('error').hidden"))

    def test_is_named_for_a_screen_reader_and_goes_by_keyboard(self):
        nodes = self.browser.accessible()
        self.assertTrue(any(name.startswith("Choose a photo") for _, name in nodes), nodes)
        self.browser.key("Tab", 2)
        self.assertEqual(self.browser.js("document.activeElement.id"), "file")
        self.upload(MADE.picture)
        self.explained()
        nodes = self.browser.accessible()
        for name in ("Layer", "Method", "Colours"):
            self.assertIn(("combobox", name), nodes)
        self.assertTrue(any(role == "image" and name.startswith("Evidence for ") for role, name in nodes))

    def test_ctrl_c_ends_it_at_once_and_the_page_says_so(self):
        self.upload(MADE.picture)
        self.explained()
        self.server.send_signal(signal.SIGINT)
        self.assertEqual(self.server.wait(timeout=20), 0)
        self.browser.click(".class:nth-of-type(2)")
        self.browser.wait("document.getElementById('error').textContent.includes('does not answer')")
        self.browser.js("1")
        self.browser.errors = [error for error in self.browser.errors if "ERR_CONNECTION" not in error]


if __name__ == "__main__":
    if not devtools.find_browser():
        print("there is no Chromium here: the pages were not tried in a browser (tools/setup browser installs one)")
        sys.exit(devtools.SKIPPED)
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
