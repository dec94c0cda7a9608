"""What the page is made of, of runs that nobody has made; and a browser that looks at it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.claims.verdict import verdict_on
from alexnet_lab.reports.ablation_table import make_table, write_table
from alexnet_lab.reports.claims_table import write_claims
from alexnet_lab.reports.collect import collect
from alexnet_lab.reports.page import write_page
from alexnet_lab.runs.measured import write_numbers
from alexnet_lab.runs.paths import job_name
from claims.made_runs import IMAGES, make_run
from conftest import HANG, SOURCE, one_thread

CLAIMS = ("lrn", "relu", "kernels", "towers")  # a difference, a ratio, a value, and one that others share runs with
SEEDS, EPOCHS = 3, 12
NOT_EQUAL = 0.02  # how much more other variants err than the base


def make_claims(folder: Path, names: Sequence[str] = CLAIMS, seeds: int = SEEDS) -> None:
    """runs/mini and reports/ in `folder`, as src/reproduce.py leaves them: claims, tables, and an image of kernels."""
    sweep, reports = Path("runs/mini"), Path("reports")
    random = np.random.default_rng(0)
    with working_in(folder):
        experiments = {name: load_experiment(name) for name in (*names, "ablations")}
        for name in names:
            for variant in experiments[name].trained:
                for seed in range(seeds):
                    if not (sweep / job_name(variant, [f"seed={seed}"])).exists():
                        _make_run(sweep, variant, seed, NOT_EQUAL * (variant != experiments[name].base), random)
        verdicts = [verdict_on(name, experiments[name], "mini", sweep, range(seeds)) for name in names]
        for name in names:
            if experiments[name].margin is not None:
                (reports / name).mkdir(parents=True)
                table = make_table(experiments[name], collect(sweep, experiments[name], list(range(seeds))), seeds)
                write_table(reports / name, table, ["made"])
        write_claims(reports, sweep, verdicts, {name: [f"{seeds} made runs."] for name in names})
        (reports / "kernels").mkdir(exist_ok=True)
        (reports / "kernels" / "kernels.png").write_bytes(_one_pixel())


def made_page(folder: Path) -> Path:
    """A folder in which the page over these claims was written; the same folder."""
    make_claims(folder)
    with working_in(folder):
        write_page(Path("runs/mini"))
    return folder


def _make_run(sweep: Path, variant: str, seed: int, worse: float, random: np.random.Generator) -> None:
    end = round((0.18 + worse + random.normal(0, 0.004)) * IMAGES) / IMAGES
    slow = 4.0 if variant == "tanh" else 2.0
    curve = [end + (0.85 - end) * math.exp(-epoch / slow) for epoch in range(EPOCHS - 1)]
    folder = make_run(sweep, variant, seed, end, [*curve, end], val_ten_crop=end - 0.01, train_centre=end - 0.1)
    write_numbers(folder, "kernels", {"gap_above_random": float(random.normal(4, 1))})
    path = folder / "result.json"
    overrides = [f"model.lrn={variant}", f"seed={seed}"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"overrides": overrides, "commit": "a" * 40}))


def _one_pixel() -> bytes:
    from io import BytesIO

    from PIL import Image

    content = BytesIO()
    Image.new("RGB", (8, 8), (0, 114, 178)).save(content, "PNG")
    return content.getvalue()


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Paths of the program are from where it is started."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def watching(folder: Path, sweep: str) -> Iterator[str]:
    """src/watch.py over a sweep in `folder`; gives its address."""
    command = [sys.executable, str(SOURCE / "watch.py"), f"sweep={sweep}", "port=0"]
    with subprocess.Popen(command, cwd=folder, env=one_thread(), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.match(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            server.terminate()


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium, or another that is installed, driven by Playwright."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium; apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Tests run as root in containers, which have little shared memory, and the pages are the project's own.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Visit:
    """A page in the browser, with what it said on the console, what it asked for, and what it tried to open."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(120_000)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def draw_charts(self) -> None:
        """Bring every chart near the screen and wait until each is drawn."""
        self.page.evaluate("document.querySelectorAll('.chart').forEach(draw)")
        self.until("[...document.querySelectorAll('.chart')].every((one) => one.querySelector('.drawn svg'))")

    def until(self, expression: str) -> None:
        """Wait for what a script says. Playwright's own way asks for eval, which the page's policy forbids."""
        deadline = time.monotonic() + HANG
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)

    def close(self) -> None:
        self.context.close()
