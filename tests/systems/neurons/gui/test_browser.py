"""The page in Chromium, from a file to what is taken away."""

import csv
import os
import shutil
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from lrnn_kernels import neurons
from lrnn_kernels.neurons import recordings
from lrnn_kernels.neurons.gui.picking import FAILED, TOO_LARGE
from lrnn_kernels.neurons.gui.server import MOST_OF_A_REQUEST

from . import cases, running

LIMIT = 120  # seconds that anything may take, on a machine that does other work too
WIDTH, HEIGHT = 1280, 800
NAMES = ("cell <b>A</b>", "cell B")
#: A folder to which screenshots go, if it is set.
SHOTS = os.environ.get("LRNN_SCREENSHOTS")


class Browser:
    """Chromium with the page, and what a user does with it."""

    def __init__(self, driver: webdriver.Chrome, downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads

    def until(self, condition, what: str, seen=None):
        """Waits until a condition is true, and returns what it is then. The page draws its parts
        anew at any time: an element that is gone before it is used is looked for again."""

        def met(_):
            try:
                return condition()
            except StaleElementReferenceException:
                return None

        try:
            return WebDriverWait(self.driver, LIMIT).until(met)
        except TimeoutException:
            got = f", got {seen()!r}" if seen else ""
            raise AssertionError(f"not within {LIMIT} s: {what}{got}") from None

    def all(self, css: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str):
        return self.until(lambda: next(iter(self.all(css)), None), css)

    def click(self, label: str) -> None:
        path = f"//button[normalize-space()='{label}' or .//*[normalize-space()='{label}']]"
        self.press(lambda: self.driver.find_elements(By.XPATH, path), f"button {label}")

    def click_on(self, css: str) -> None:
        self.press(lambda: self.all(css), css)

    def press(self, found, what: str) -> None:
        def pressed() -> bool:
            element = next(iter(found()), None)
            if element is None or not (element.is_enabled() and element.is_displayed()):
                return False
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            element.click()
            return True

        self.until(pressed, f"a click on {what}")

    def each(self, css: str, of: str) -> list:
        """Of every element, at one moment, an expression of ``element``."""
        script = f"return Array.from(document.querySelectorAll(arguments[0]), element => {of})"
        return self.driver.execute_script(script, css)

    def text(self, css: str) -> str:
        return " ".join(self.each(css, "element.innerText"))

    def sees(self, css: str, text: str) -> None:
        self.until(lambda: text in self.text(css), f"{text!r} in {css}", lambda: self.text(css))

    def upload(self, path: Path) -> None:
        self.one("input[type=file]").send_keys(str(path))

    def drawing(self, name: str) -> str:
        return self.until(lambda: self.each(f".{name} svg", "element.outerHTML"), name)[0]

    def taken(self, name: str) -> bytes:
        """A file that was downloaded, once it is there as a whole."""
        path = self.downloads / name
        self.until(lambda: path.exists() and not list(self.downloads.glob("*.crdownload")), name)
        return path.read_bytes()

    def shot(self, name: str) -> None:
        if SHOTS:
            height = self.driver.execute_script("return document.documentElement.scrollHeight")
            self.driver.set_window_size(WIDTH, height + 200)
            self.driver.save_screenshot(str(Path(SHOTS) / f"{name}.png"))
            self.driver.set_window_size(WIDTH, HEIGHT)


@pytest.fixture
def page(tmp_path):
    (tmp_path / "there").mkdir()
    with running.page(tmp_path / "there") as started:
        yield started
    assert list((tmp_path / "there").iterdir()) == []  # the page writes no file


@pytest.fixture
def browser(tmp_path):
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in (
        "headless=new",
        "no-sandbox",  # which root has none of
        "disable-dev-shm-usage",
        "disable-gpu",
        f"window-size={WIDTH},{HEIGHT}",
        f"user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    options.add_experimental_option(
        "prefs",
        {"download.default_directory": str(downloads), "download.prompt_for_download": False},
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=programs[1])
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(LIMIT)
    driver.set_script_timeout(LIMIT)
    try:
        yield Browser(driver, downloads)
    finally:
        driver.quit()


def test_the_whole_flow(page, browser, tmp_path):
    process, address = page
    driver = browser.driver
    driver.get(address)
    _first_twins(browser)
    browser.sees("button", "Load a file")
    browser.sees(".step", "Recording")
    wide = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert driver.execute_script(wide), "it is wider than the window"
    browser.shot("1 opened")

    _broken_files(browser, tmp_path)
    _answers_that_come_late(browser, tmp_path)
    net = neurons.DICsNet.pretrained("stg")
    (tmp_path / "cells.csv").write_bytes(cases.csv(*NAMES))
    browser.upload(tmp_path / "cells.csv")
    browser.sees(".notes", "cells.csv: CSV")
    browser.sees(".step", NAMES[0])  # as text, not in bold
    assert not browser.all(".step b")
    predicted = net.predict(neurons.Spikes.from_lists([cases.trains()[0]]))
    browser.sees(".big", f"g_s = {_said(predicted.g_s)} \N{PLUS-MINUS SIGN} ")
    browser.sees(".big", f"g_u = {_said(predicted.g_u)} \N{PLUS-MINUS SIGN} ")
    assert not browser.text(".bad")
    assert browser.drawing("plane").count("<ellipse") == 2
    assert "Inter-spike intervals" in browser.drawing("histogram")
    browser.shot("2 loaded")

    browser.click_on(".raster [data-unit='1']")
    predicted = net.predict(neurons.Spikes.from_lists([cases.trains()[1]]))
    browser.sees(".big", f"g_s = {_said(predicted.g_s)} \N{PLUS-MINUS SIGN} ")

    before = [browser.drawing(name) for name in ("plane", "parallel", "scatter")]
    browser.one(".g_s [tabindex]")
    browser.each(".g_s [tabindex]", "element.focus()")
    start = browser.text(".g_s .value")
    webdriver.ActionChains(driver).send_keys(8 * Keys.ARROW_RIGHT).perform()
    browser.until(lambda: browser.text(".g_s .value") != start, "another g_s")
    for name, drawn in zip(("plane", "parallel", "scatter"), before, strict=True):
        browser.until(lambda name=name, drawn=drawn: browser.drawing(name) != drawn, name)

    _cancel(browser)
    _seconds(browser, "1")
    browser.click("Simulate")
    browser.one(".compared svg")
    browser.sees(".numbers", "bursting")
    browser.click_on(".compared rect[data-twin='4']")
    browser.until(lambda: "potential of twin 5" in browser.drawing("voltage"), "V(t) of twin 5")
    browser.sees(".step", "Twin 5")
    for name in ("parallel path", "scatter circle"):
        colour = "element.getAttribute('stroke') || element.getAttribute('fill')"
        assert browser.each(f".{name}[data-twin='4']", colour)[:1] == ["#d9730d"]
    browser.shot("3 simulated")

    _taken_away(browser, net)
    _came_from_here(browser, address)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=LIMIT)
    assert (process.returncode, out.strip(), error) == (0, "", "")


def _first_twins(browser: Browser) -> None:
    """Until they are there, nothing is said of how many there are."""
    said = []
    browser.until(lambda: said.append(browser.text(".made")) or said[-1] == "32 twins.", "twins")
    assert {text for text in said[:-1] if text} <= {
        "Computing the first twins \N{HORIZONTAL ELLIPSIS}"
    }


def _said(value: torch.Tensor) -> str:
    return f"{value.item():.1f}".replace("-", "\N{MINUS SIGN}")


def _broken_files(browser: Browser, folder: Path) -> None:
    """They say why, in the reader's words; one that is too large never arrives."""
    (folder / "broken.csv").write_bytes(b"unit,time_ms\na,1\na,x\n")
    with pytest.raises(recordings.RecordingError) as expected:
        recordings.read(folder / "broken.csv")
    browser.upload(folder / "broken.csv")
    browser.sees(".bad", str(expected.value))
    with open(folder / "large.csv", "wb") as file:
        file.truncate(MOST_OF_A_REQUEST + 1)
    browser.upload(folder / "large.csv")
    browser.sees(".bad", TOO_LARGE)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    browser.upload(folder / "picture.png")
    browser.sees(".bad", "picture.png: .png cannot be read here, only .csv, .txt, .npz")
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/upload/*"]})
    browser.upload(folder / "broken.csv")
    browser.sees(".bad", FAILED)
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    blocked = browser.driver.get_log("browser")  # which is read and emptied
    assert all("/upload/" in entry["message"] for entry in blocked)


def _answers_that_come_late(browser: Browser, folder: Path) -> None:
    """Files one after the other, the last one twice: what the page says of a file is there, by its
    socket, before the upload's answer, which is then still to come."""
    browser.driver.set_network_conditions(offline=False, latency=300, throughput=10**9)
    script = """
        window.sent = [];
        const open = XMLHttpRequest.prototype.open;
        XMLHttpRequest.prototype.open = function (method, url) {
          this.addEventListener("loadend", () => window.sent.push(this.status));
          return open.apply(this, arguments);
        };
    """
    browser.driver.execute_script(script)

    def answers() -> list[int]:
        return browser.driver.execute_script("return window.sent")

    for done, name in enumerate(["one", "two", "two"], 1):
        (folder / f"{name}.csv").write_bytes(cases.csv(name))
        browser.upload(folder / f"{name}.csv")
        browser.until(lambda n=done: len(answers()) == n, f"answer {done}", answers)
        browser.sees(".notes", f"{name}.csv: CSV")
        assert not browser.text(".bad")
    assert answers() == [200, 200, 200]
    browser.driver.delete_network_conditions()


def _seconds(browser: Browser, text: str) -> None:
    def typed() -> bool:
        for field in browser.all("input[aria-label='Seconds']"):
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(text)
            return field.get_attribute("value") == text
        return False

    browser.until(typed, f"{text} seconds typed")


def _cancel(browser: Browser) -> None:
    _seconds(browser, "300")
    browser.click("Simulate")
    status = "[role=status]"
    browser.until(lambda: browser.text(status).endswith("%"), "progress")
    browser.until(lambda: browser.text(status) != "0 %", "more than 0 %")
    browser.click("Cancel")
    browser.sees(status, "Cancelled.")
    assert not browser.all(".compared svg")


def _taken_away(browser: Browser, net: neurons.DICsNet) -> None:
    for label in (
        "Predictions (CSV)",
        "Conductances (CSV)",
        "Spikes of the twins (CSV)",
        "Figure (SVG)",
    ):
        browser.click(label)
    rows = list(csv.DictReader(browser.taken("predictions.csv").decode().splitlines()))
    said = net.predict(neurons.Spikes.from_lists(cases.trains()))
    assert [row["unit"] for row in rows] == list(NAMES)
    for b, row in enumerate(rows):
        assert float(row["g_s (1)"]) == pytest.approx(said.g_s[b].item(), rel=1e-4)
        assert float(row["g_u (1)"]) == pytest.approx(said.g_u[b].item(), rel=1e-4)

    rows = list(csv.DictReader(browser.taken("conductances.csv").decode().splitlines()))
    names = [f"g_{name} (mS/cm^2)" for name in neurons.STG.channel_names]
    g = torch.tensor([[float(row[name]) for name in names] for row in rows]).double()
    assert len(g) == 32
    asked = torch.tensor([[float(row["g_s (1)"]), float(row["g_u (1)"])] for row in rows])
    dics = neurons.dic("stg", g, neurons.STG.V_threshold)[:, 1:]
    assert (dics - asked).abs().max() < 0.5

    read = recordings.read_bytes(browser.taken("spikes.csv"), "spikes.csv")
    assert read.names == [f"twin {b + 1}" for b in range(32)]
    settle = neurons.STG.recipe.protocol[1]
    again = neurons.simulate("stg", g, settle + 1000, discard=settle).spikes
    assert torch.equal(read.spikes.counts, again.counts)

    root = ET.fromstring(browser.taken("figure.svg"))
    words = " ".join(filter(None, (part.text for part in root.iter())))
    assert "Membrane potential of twin 5" in words
    assert NAMES[0] in words


def _came_from_here(browser: Browser, address: str) -> None:
    """Nothing was asked of anybody else, and nothing went wrong unseen."""
    urls = browser.driver.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert urls
    foreign = [url for url in urls if not url.startswith((f"{address}/", "data:", "blob:"))]
    assert not foreign
    problems = [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not problems
