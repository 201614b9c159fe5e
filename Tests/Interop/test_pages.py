"""The pages of `inspect --html` and `verify --html` in a real browser, used by keyboard and by pointer."""

import json
import math
import os
import re
import shutil
import time
import unittest

import numpy as np
import safetensors.numpy
from support import DENIED, InteropTest, WithModel, write_google

try:
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait
except ImportError:
    webdriver = None

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

HOSTILE = {
    "<script>document.title='hacked'</script>": "<script>document.title='hacked'</script>",
    "</script><img src=x onerror=document.title='hacked'>": "</script><img src=x onerror=document.title='hacked'>",
    "\" onfocus=\"document.title='hacked'": "\" onfocus=\"document.title='hacked'",
    "&lt;b&gt;": "&lt;b&gt;",
    "a\u2028b": "a\\u{2028}b",
    "\u202egnp.exe": "\\u{202e}gnp.exe",
    "层/权重": "层/权重",
}


# An outline, or in drawings a thick stroke.
FOCUS_IS_VISIBLE = """
    const element = document.activeElement;
    const shape = element.querySelector(':scope > rect') ?? element;
    return getComputedStyle(element).outlineStyle !== 'none' || parseFloat(getComputedStyle(shape).strokeWidth) > 2"""


def data_of(page, name):
    """The JSON that a page carries."""
    return json.loads(re.search(f'id="data-{name}">(.*?)</script>', page.read_text(), re.S).group(1))


def stack(rng, layers, hidden=8):
    """The tensors of a small model with numbered layers."""
    shapes = {"attention.query.weight": (hidden, hidden), "attention.query.bias": (hidden,),
              "output.dense.weight": (hidden, 4 * hidden)}  # fmt: skip
    tensors = {"embeddings.word_embeddings.weight": rng.normal(0, 1, (50, hidden))}
    for layer in range(layers):
        for part, shape in shapes.items():
            tensors[f"encoder.layer.{layer}.{part}"] = rng.normal(0, 1 + layer, shape)
    return {name: values.astype(np.float32) for name, values in tensors.items()}


class Histograms(InteropTest):
    def test_they_are_those_of_numpy(self):
        rng = self.rng
        arrays = {
            "f4": rng.normal(0, 1, (40, 50)).astype("f4"), "f8": rng.normal(1e9, 1, 999), "f2": rng.normal(0, 9, 500).astype("f2"),
            "i1": rng.integers(-128, 128, 3000).astype("i1"), "u8": rng.integers(0, 2**60, 77).astype("u8"),
            "i8": rng.integers(-5, 5, (3, 4, 5)), "bool": rng.integers(0, 2, 99).astype(bool),
            "odd": np.array([np.nan, 1, -np.inf, 2, 3, np.inf, np.nan], "f4"),
        }  # fmt: skip
        source = self.folder / "arrays.npz"
        np.savez(source, **arrays)
        self.bertconv("inspect", source, "--html", self.folder / "page.html")
        rows = {row["name"]: row for row in data_of(self.folder / "page.html", "tensors")}
        self.assertEqual(set(rows), set(arrays))
        for name, array in arrays.items():
            with self.subTest(name=name):
                finite = array[np.isfinite(array)].astype("f8") if array.dtype.kind == "f" else array.astype("f8").ravel()
                found = np.array([int(count) for count in rows[name]["histogram"].split()])
                expected, _ = np.histogram(finite, bins=48)
                self.assertEqual((len(found), found.sum()), (48, finite.size))
                # A value within a rounding of an edge may be on either side of it.
                self.assertLessEqual(np.abs(np.cumsum(found) - np.cumsum(expected)).max(), max(1, finite.size // 100))


@unittest.skipUnless(webdriver, "there is no selenium")
@unittest.skipUnless(BROWSER and DRIVER, "there is no chromium with its chromedriver")
class WithBrowser:
    """What opens pages: a mixin, so that a class can have a model as well."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The driver is on this machine, whatever proxy there is to the world.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        # Only pages of our own are opened; a sandbox needs more than containers and root have.
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                         "--window-size=1280,900", f"--user-data-dir={cls.folder / 'browser'}"):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        cls.browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
        cls.addClassCleanup(cls.browser.quit)
        cls.browser.set_page_load_timeout(120)

    def setUp(self):
        super().setUp()
        self.set_size(1280)
        self.prefer("light")

    def set_size(self, width, height=900):
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, scheme, media=""):
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"media": media, "features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        # The page learns of it before the next frame is drawn.
        frames = "const [done] = arguments; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        self.browser.execute_async_script(frames)

    def open(self, page):
        """Open a page; what it does from then on is looked at when the test ends."""
        for kind in ("browser", "performance"):
            self.browser.get_log(kind)
        start = time.monotonic()
        self.browser.get(page.as_uri())
        self.addCleanup(self.check_logs, page.as_uri())
        return time.monotonic() - start

    def check_logs(self, address):
        self.assertEqual(self.browser.get_log("browser"), [], "the console")
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        requests = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
        self.assertLessEqual(requests, {address}, "requests")

    def page(self, tensors, *options, name="tensors"):
        """The page of a safetensors file of these tensors, opened."""
        source = self.folder / f"{name}.safetensors"
        safetensors.numpy.save_file(tensors, source)
        page = self.folder / f"{name}.html"
        self.bertconv("inspect", source, "--html", page, *options)
        self.seconds = self.open(page)
        return page

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def script(self, text, *arguments):
        return self.browser.execute_script(text, *arguments)

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()

    def focused(self):
        return self.browser.switch_to.active_element

    def focus(self, element):
        self.script("arguments[0].focus()", element)

    def tab_to(self, selector, most=60):
        """Press the tab key until an element has the focus; each on the way must show that it has it."""
        for _ in range(most):
            self.press(Keys.TAB)
            self.assertTrue(self.script(FOCUS_IS_VISIBLE), "the focus cannot be seen")
            if self.script("return document.activeElement.matches(arguments[0])", selector):
                return
        self.fail(f"the tab key does not come to {selector}")

    def names(self):
        return self.script("return [...document.querySelectorAll('#rows button.name')].map((e) => e.textContent)")

    def crumbs(self):
        return [crumb.text for crumb in self.all("#crumbs button")]


class Inspection(WithBrowser, InteropTest):
    def test_search_by_keyboard(self):
        tensors = stack(self.rng, 4)
        self.page(tensors)
        self.assertEqual(sorted(self.names()), sorted(tensors))
        self.tab_to("#search")
        self.press("Layer.2 Bias")
        self.assertEqual(self.names(), ["encoder.layer.2.attention.query.bias"])
        self.assertIn(f"1 of {len(tensors)} tensors", self.find("#count").text)
        self.press(*[Keys.BACKSPACE] * len("Layer.2 Bias"))
        self.assertEqual(len(self.names()), len(tensors))
        self.press("no such name")
        self.assertEqual(self.names(), [])

    def test_sort_by_keyboard(self):
        tensors = stack(self.rng, 12)
        self.page(tensors)
        heads = {button.text: button for button in self.all("#columns button")}
        sizes = {name: values.nbytes for name, values in tensors.items()}
        self.focus(heads["bytes"])
        self.press(Keys.ENTER)
        self.assertEqual(heads["bytes"].find_element(By.XPATH, "..").get_attribute("aria-sort"), "descending")
        self.assertEqual([sizes[name] for name in self.names()], sorted(sizes.values(), reverse=True))
        self.press(Keys.SPACE)
        self.assertEqual(heads["bytes"].find_element(By.XPATH, "..").get_attribute("aria-sort"), "ascending")
        self.assertEqual([sizes[name] for name in self.names()], sorted(sizes.values()))
        self.focus(heads["std"])
        self.press(Keys.ENTER)
        self.assertEqual([th.get_attribute("aria-sort") for th in self.all("#columns th[aria-sort]")].count("none"), 8)
        deviations = [float(tensors[name].astype("f8").std()) for name in self.names()]
        self.assertEqual(deviations, sorted(deviations, reverse=True))
        # Numbers in names are sorted as numbers.
        self.focus(heads["name"])
        self.press(Keys.ENTER)
        layers = [int(name.split(".")[2]) for name in self.names() if name.startswith("encoder")]
        self.assertEqual(layers, sorted(layers))

    def test_a_row_opens_to_its_histogram(self):
        tensors = stack(self.rng, 2)
        page = self.page(tensors)
        name = "encoder.layer.1.output.dense.weight"
        button = next(b for b in self.all("#rows button.name") if b.text == name)
        self.focus(button)
        self.press(Keys.ENTER)
        self.assertEqual(button.get_attribute("aria-expanded"), "true")
        self.assertIn("standard deviation", self.find(".opened .facts").text)
        counts = next(row["histogram"] for row in data_of(page, "tensors") if row["name"] == name).split()
        self.press(Keys.TAB)
        self.assertEqual(self.focused().get_attribute("class"), "chart")
        readout = self.find(".opened .readout")
        for count in counts[:5]:
            self.press(Keys.ARROW_RIGHT)
            self.assertRegex(readout.text, rf": {count} values?,")
        drawn = self.find(".opened path.bars").get_attribute("d")
        self.press(Keys.TAB, Keys.SPACE)
        self.assertNotEqual(self.find(".opened path.bars").get_attribute("d"), drawn)
        self.focus(button)
        self.press(Keys.ENTER)
        self.assertEqual(self.all(".opened"), [])

    def test_areas_are_bytes(self):
        sizes = [1000, 700, 300, 200, 100, 100, 50, 20]
        self.page({f"t{size}_{index}": np.zeros(size, "f4") for index, size in enumerate(sizes)})
        rectangles = self.script("""
            return [...document.querySelectorAll('#treemap .cell')].map((cell) => {
              const { x, y, width, height } = cell.querySelector('rect').getBBox();
              return [cell.getAttribute('aria-label'), x, y, width, height]; })""")
        self.assertEqual(len(rectangles), len(sizes))
        width, height = self.script("const b = document.getElementById('treemap').viewBox.baseVal; return [b.width, b.height]")
        covered = 0
        for label, x, y, w, h in rectangles:
            size = int(re.match(r"t(\d+)_", label).group(1))
            self.assertAlmostEqual(w * h / (width * height), size / sum(sizes), delta=1e-4, msg=label)
            self.assertTrue(x >= -0.01 and y >= -0.01 and x + w <= width + 0.01 and y + h <= height + 0.01, label)
            covered += w * h
        self.assertAlmostEqual(covered, width * height, delta=1)
        for index, (_, x, y, w, h) in enumerate(rectangles):
            for _, x2, y2, w2, h2 in rectangles[:index]:
                over = (min(x + w, x2 + w2) - max(x, x2), min(y + h, y2 + h2) - max(y, y2))
                self.assertLess(min(over), 0.01, "two overlap")

    def test_the_map_of_bytes_by_keyboard_and_by_pointer(self):
        self.page(stack(self.rng, 3, hidden=32))
        self.assertEqual(self.crumbs(), ["everything"])
        self.tab_to("#treemap .cell")
        readout = self.find("#treemap-readout")
        shown = {readout.text}
        for key in (Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_RIGHT):
            self.press(key)
            self.assertIn("cell", self.focused().get_attribute("class"))
            shown.add(readout.text)
        self.assertGreaterEqual(len(shown), 4, shown)
        self.press(Keys.HOME)
        self.assertRegex(readout.text, r"encoder\.layer: 9 tensors, .* of all")
        self.press(Keys.ENTER)
        self.assertEqual(self.crumbs(), ["everything", "encoder.layer"])
        self.press(Keys.HOME, Keys.ENTER)
        self.assertEqual(self.crumbs(), ["everything", "encoder.layer", "0"])
        self.press(Keys.ESCAPE, Keys.ESCAPE)
        self.assertEqual(self.crumbs(), ["everything"])
        # By pointer; a tensor opens its row.
        self.find("#treemap .cell").click()
        self.assertEqual(self.crumbs(), ["everything", "encoder.layer"])
        self.all("#crumbs button")[0].click()
        self.assertEqual(self.crumbs(), ["everything"])
        cell = next(c for c in self.all("#treemap .cell") if c.get_attribute("aria-label").startswith("embeddings"))
        cell.click()
        self.assertEqual(self.focused().text, "embeddings.word_embeddings.weight")
        self.assertEqual(len(self.all(".opened")), 1)

    def test_norms_by_layer(self):
        tensors = stack(self.rng, 5)
        self.page(tensors)
        cells = self.all("#grids .cell")
        self.assertEqual(len(cells), 5 * 3)
        self.assertEqual([th.text for th in self.all("#grids thead th")], ["", "0", "1", "2", "3", "4"])
        parts = [th.text for th in self.all("#grids tbody th")]
        self.assertEqual(sorted(parts), ["attention.query.bias", "attention.query.weight", "output.dense.weight"])
        for index, cell in enumerate(cells):
            name = f"encoder.layer.{index % 5}.{parts[index // 5]}"
            norm = float(np.linalg.norm(tensors[name].astype("f8")))
            self.assertTrue(math.isclose(float(cell.text), norm, rel_tol=1e-3), (name, cell.text, norm))
        self.focus(cells[0])
        self.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
        self.assertIn(f"encoder.layer.1.{parts[1]}", self.find("#grids-readout").text)
        self.press(Keys.ENTER)
        self.assertEqual(self.focused().text, f"encoder.layer.1.{parts[1]}")

    def test_what_stands_out_is_called_out(self):
        tensors = stack(self.rng, 2)
        tensors["encoder.layer.0.attention.query.bias"][3] = np.nan
        tensors["encoder.layer.1.attention.query.bias"][:] = 0
        tensors["steps"] = np.arange(3)
        self.page(tensors)
        checks = self.find("#checks").text
        self.assertIn("1 tensor contains NaN or infinity", checks)
        self.assertIn("1 tensor is all zeros", checks)
        flags = {flag.text for flag in self.all("#rows .flag")}
        self.assertEqual(flags, {"! 1 NaN", "all zeros"})
        filters = {button.text: button for button in self.all("#filters button")}
        filters["NaN or infinity 1"].click()
        self.assertEqual(self.names(), ["encoder.layer.0.attention.query.bias"])
        filters["NaN or infinity 1"].click()
        filters["I64 1"].click()
        self.assertEqual(self.names(), ["steps"])

    def test_hostile_names_are_text(self):
        self.page({name: np.ones(4, "f4") for name in HOSTILE}, name="hostile")
        self.assertEqual(sorted(self.names()), sorted(HOSTILE.values()))
        self.script("for (const button of document.querySelectorAll('#rows button.name')) button.click()")
        self.script("for (const part of document.querySelectorAll('details')) part.open = true")
        for cell in self.all("#treemap .cell"):
            self.focus(cell)
        self.assertEqual(self.all("main img, main script"), [])
        self.assertNotEqual(self.browser.title, "hacked")

    def test_light_and_dark(self):
        self.page(stack(self.rng, 2))
        ground = "return getComputedStyle(document.body).backgroundColor"
        light = self.script(ground)
        self.prefer("dark")
        dark = self.script(ground)
        self.assertNotEqual(dark, light)
        button = self.find("#theme")
        self.assertEqual(button.text, "Light colors")
        self.focus(button)
        self.press(Keys.ENTER)
        self.assertEqual((self.script(ground), button.text), (light, "Dark colors"))
        self.prefer("light")
        self.press(Keys.ENTER)
        self.assertEqual(self.script(ground), dark)

    def test_narrow_and_on_paper(self):
        tensors = stack(self.rng, 60)
        self.page(tensors)
        self.set_size(360)
        self.assertLessEqual(self.script("return document.documentElement.scrollWidth"), 360)
        self.assertGreater(len(self.all("#treemap .cell")), 3)
        self.prefer("light", media="print")
        self.assertFalse(self.find("#search").is_displayed())
        self.assertTrue(self.find("#columns button").is_displayed())
        self.assertLess(len(self.names()), len(tensors))
        self.browser.execute_cdp_cmd("Page.printToPDF", {})
        self.assertEqual(len(self.names()), len(tensors), "paper has no button for more")

    def test_a_thousand_tensors_and_many_more(self):
        for count in (1000, 30000):
            with self.subTest(count=count):
                tensors = {f"model.stack.{i // 50}.part_{i % 50}": np.full(4, i, "f4") for i in range(count)}
                self.page(tensors, name=f"many-{count}")
                print(f"a page of {count} tensors opened in {self.seconds:.2f} s", flush=True)
                self.assertLess(self.seconds, 60)
                self.assertLessEqual(len(self.all("#treemap .cell")), 5000)
                self.assertLess(len(self.names()), count)
                # As far as somebody looks: the table comes into sight, and then its end.
                self.script("const t = document.getElementById('table'); t.scrollIntoView(); t.scrollTop = 1e9")
                WebDriverWait(self.browser, 30).until(lambda _: len(self.names()) > 100, "scrolling shows more")
                shown = len(self.names())
                self.focus(self.find("#more"))
                self.press(Keys.ENTER)
                self.assertGreater(len(self.names()), shown)
                self.find("#search").send_keys(f"stack.{count // 50 - 1}.part_49")
                self.assertEqual(self.names(), [f"model.stack.{count // 50 - 1}.part_49"])

    def test_very_long_names(self):
        long = {("part." * 100_000) + str(i): np.ones(3, "f4") for i in range(3)}
        self.page(long, "--json", name="long")
        self.assertTrue(all(name.startswith("part.part.") and len(name) < 400 for name in self.names()))
        self.focus(self.find("#rows button.name"))
        self.press(Keys.ENTER)
        self.assertIn(min(long), self.find(".opened .facts").get_attribute("textContent"))

    def test_nothing_to_show(self):
        self.page({"empty": np.zeros((0, 3), "f4")}, name="empty")
        self.assertIn("Nothing to draw", self.find("#treemap-note").text)
        self.assertEqual(self.names(), ["empty"])


class Models(WithBrowser, WithModel):
    def test_what_becomes_of_the_names(self):
        misspelt = "bert/encoder/layer_0/attention/self/kwery/kernel"
        tensors = {**self.tensors, misspelt: np.zeros((3, 3), "f4")}
        prefix = write_google(self.folder / "misspelt", tensors, self.config)
        page = self.folder / "names.html"
        self.bertconv("inspect", prefix, "--html", page)
        self.open(page)
        self.assertRegex(self.find("#mapping-about").text, rf"dialect google-tf1: 1 unexpected, {len(self.tensors)} mapped")
        self.assertRegex(self.find("#checks").text, r"Not all tensors fit: 1 unexpected")
        parts = {part.find_element(By.TAG_NAME, "summary").text: part for part in self.all("#mapping-parts details")}
        unexpected = parts["Unexpected: 1"]
        self.assertTrue(unexpected.get_attribute("open"))
        cells = [cell.text for cell in unexpected.find_elements(By.TAG_NAME, "td")]
        self.assertEqual(cells[:2], [misspelt, "bert/encoder/layer_0/attention/self/query/kernel"])
        mapped = parts[f"Mapped: {len(self.tensors)}"]
        self.assertFalse(mapped.get_attribute("open"))
        self.focus(mapped.find_element(By.TAG_NAME, "summary"))
        self.press(Keys.ENTER)
        WebDriverWait(self.browser, 30).until(lambda _: mapped.find_elements(By.TAG_NAME, "td"), "it opens")
        rows = [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")]
                for row in mapped.find_elements(By.CSS_SELECTOR, "tbody tr")]  # fmt: skip
        self.assertEqual(len(rows), min(100, len(self.tensors)))
        self.assertIn(["bert/encoder/layer_0/output/dense/kernel", "transpose",
                       "bert.encoder.layer.0.output.dense.weight"], rows)  # fmt: skip

    def verify(self, *options, status=0):
        native, _ = self.convert(self.prefix, name="verified")
        page = self.folder / "verified.html"
        result = self.bertconv(
            "verify", native, "--fixtures", self.fixture, "--html", page, "--json", *options, status=status)
        self.open(page)
        return json.loads(result.stdout)

    def cells(self):
        return self.script("return document.querySelectorAll('#map-drawing .cell').length")

    def test_the_map_of_errors(self):
        report = self.verify()
        self.assertEqual(self.find("#verdict").text, "Passed")
        mask = np.asarray(self.reference["attention_mask"]).astype(bool)
        rows = self.model.config.num_hidden_layers + 3  # the embeddings, the last hidden state and the logits
        self.assertEqual(self.cells(), rows * int(mask.any(axis=0).sum()))
        names = [output["name"] for output in report["outputs"]]
        self.assertEqual([b.text for b in self.all("#rows button.name")], names)
        select = self.find("#sequence")
        for number, row in enumerate(mask):
            self.script("arguments[0].selectedIndex = arguments[1]; arguments[0].dispatchEvent(new Event('change'))",
                        select, number + 1)  # fmt: skip
            self.assertEqual(self.cells(), rows * int(row.sum()))
        self.assertEqual(self.all("#map-drawing .off"), [])
        self.tab_to("#map-drawing .cell")
        readout = self.find("#map-readout")
        self.assertRegex(readout.text, r"^hidden_states\.0, position \d+: ")
        self.press(Keys.ARROW_DOWN)
        self.assertRegex(readout.text, r"^hidden_states\.1, position \d+: ")

    def test_what_is_off(self):
        report = self.verify("--tolerance", "1e-9", status=DENIED)
        self.assertEqual(self.find("#verdict").text, "Failed")
        self.assertIn(report["first_divergence"], self.find("#divergence").text)
        self.assertGreater(len(self.all("#map-drawing .off")), 0)
        verdicts = [row.text for row in self.all("#rows tr > td:nth-child(2)")]
        self.assertEqual(verdicts, ["ok" if output["passed"] else "off" for output in report["outputs"]])
        output = next(output for output in report["outputs"] if not output["passed"])
        button = next(b for b in self.all("#rows button.name") if b.text == output["name"])
        self.focus(button)
        self.press(Keys.ENTER)
        worst = [cell.text for cell in self.all(".opened tbody tr:first-child td")]
        worst_index = output["worst"]
        self.assertEqual(worst[:3], ["" if worst_index[key] is None else str(worst_index[key]) for key in ("row", "column", "index")])
        self.focus(self.find(".opened .chart"))
        self.press(Keys.ARROW_RIGHT)
        self.assertRegex(self.find(".opened .readout").text, r" to .*: [\d,]+ values?, ")


if __name__ == "__main__":
    unittest.main()
