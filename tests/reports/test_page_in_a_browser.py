"""The page in a real Chromium: what it shows, what it answers to, and what it does while runs go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alexnet_lab.core.files import write_json
from alexnet_lab.reports.page import PAGE
from alexnet_lab.runs.paths import job_name
from claims.made_runs import make_run
from conftest import HANG, SMALL, SOURCE, one_thread
from reports.made_page import CLAIMS, Visit, chromium, made_page, make_claims, watching

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=alert(1)>'\"&amp;"
SCRIPT = "</script></pre><script>document.title = 'owned'; alert(1)</script>{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    return (folder / "reports" / PAGE).as_uri()


def violations(page: Any) -> list[str]:
    """What axe-core finds that a screen reader or weak eyes cannot use."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_opens_without_an_error_or_a_request(size: dict[str, int], theme: str, browser: Any, address: str) -> None:
    visit = Visit(browser, address, viewport=size, color_scheme=theme)
    visit.draw_charts()
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.page.evaluate("document.documentElement.dataset.theme") == theme
    ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground)[:3])) > 128) == (theme == "light")
    assert visit.asked == [address]
    assert visit.said == []
    visit.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_read_it(theme: str, browser: Any, address: str) -> None:
    visit = Visit(browser, address, viewport=DESKTOP, color_scheme=theme, bypass_csp=True)
    visit.draw_charts()
    visit.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert violations(visit.page) == []
    visit.page.evaluate("document.querySelector('.chart').removeAttribute('aria-label')")
    assert violations(visit.page)  # it would have been found
    visit.close()


def test_claims_sort_link_and_switch(browser: Any, address: str) -> None:
    visit = Visit(browser, address, viewport=DESKTOP)
    page = visit.page
    for claim in CLAIMS:
        heading = page.locator(f'[id="claim-{claim}"]')
        assert heading.count() == 1
        assert page.locator(f'table.glance a[href="#claim-{claim}"]').count() == 1
        assert page.locator(f'[data-part="claim-{claim}-measured"] .plot svg').count() >= 1
    assert page.locator('[data-part="claim-kernels-figures"] img').get_attribute("alt")
    page.locator('table.glance a[href="#claim-relu"]').click()
    assert page.evaluate("location.hash") == "#claim-relu"
    assert page.locator('[id="claim-relu"]').evaluate("(one) => one.getBoundingClientRect().top < innerHeight / 2")

    def titles() -> list[str]:
        return page.locator("table.glance tbody td.what a").all_inner_texts()

    head = page.locator("table.glance th").first
    for direction, reverse in (("ascending", False), ("descending", True)):
        head.locator("button").focus()
        page.keyboard.press("Enter")  # as somebody without a mouse does
        assert head.get_attribute("aria-sort") == direction
        assert titles() == sorted(titles(), reverse=reverse)

    visit.draw_charts()
    lines = page.locator('[data-chart="claim-lrn-validation"] .drawn svg .mark-line path')
    assert lines.count() == 2
    name = page.locator('[data-chart-group="claim-lrn"] button').nth(1)
    name.click()
    assert name.get_attribute("aria-pressed") == "false"
    visit.until(
        "document.querySelectorAll('[data-chart=\"claim-lrn-validation\"] .drawn svg .mark-line path').length === 1"
    )
    page.locator('[data-chart="claim-lrn-validation"]').hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    assert re.search(r"variant\s+normalized\s+epoch\s+\d+", page.locator("#vg-tooltip-element").inner_text())

    before = page.evaluate("document.documentElement.dataset.theme")
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") != before
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") != before
    assert visit.said == []
    visit.close()


def test_it_prints_and_stands_without_a_script(browser: Any, address: str) -> None:
    visit = Visit(browser, address, viewport=DESKTOP, color_scheme="dark", java_script_enabled=False)
    stills = visit.page.locator(".chart .still svg")
    assert stills.count() == 2 * len(CLAIMS)
    assert stills.first.is_visible()
    visit.page.emulate_media(media="print", color_scheme="dark")
    assert visit.page.locator(".bar").is_hidden()
    assert visit.page.pdf().startswith(b"%PDF")
    visit.close()


def test_three_hundred_runs_and_a_hostile_one(browser: Any, tmp_path: Path) -> None:
    """What strangers named, printed and wrote into JSON is text."""
    make_claims(tmp_path, ("lrn",))
    sweep = tmp_path / "runs" / "mini"
    for seed in range(300 - len(list(sweep.iterdir()))):
        make_run(sweep, "shallow", seed, 0.3, [0.5, 0.3])
    hostile = sweep / f"{HOSTILE.replace('/', '')}_seed-7"
    hostile.mkdir()
    write_json(hostile / "progress.json", {"state": "failed", "ending": SCRIPT, "epoch": 1, "epochs": 2})
    (hostile / "output.log").write_text(f"\x1b[31m{SCRIPT}\n")
    damaged = sweep / job_name("base", ["seed=0"]) / "result.json"
    damaged.write_text('{"status": "<script>"')
    claims = tmp_path / "reports" / "claims.json"
    kept = json.loads(claims.read_text())
    kept["claims"][0] |= {"title": SCRIPT, "reason": SCRIPT, "command": HOSTILE}
    kept["claims"][0]["rows"][0]["label"] = SCRIPT
    kept["claims"].append(kept["claims"][0] | {"claim": HOSTILE})
    claims.write_text(json.dumps(kept))
    with watching(tmp_path, "mini") as address:
        visit = Visit(browser, address, viewport=DESKTOP)
        page = visit.page
        painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        visit.until(painted)
        assert page.evaluate(painted) < 30_000  # milliseconds; a bound for a busy machine, docs/page.md has a figure
        assert page.locator(".states .failed b").inner_text() == "1"
        assert page.locator(".states .damaged b").inner_text() == "1"
        shown = page.locator(".failure").all_inner_texts()
        assert any(hostile.name in text and SCRIPT in text for text in shown)
        assert page.locator('[id="claim-lrn"] a').inner_text() == SCRIPT
        assert page.locator('table[id="runs-run-table"] tbody tr').count() >= 290
        visit.draw_charts()
        assert page.title() == "The AlexNet paper, claim by claim"
        assert page.locator("main img").count() == 0
        assert visit.said == []
        assert all(request.startswith(address) for request in visit.asked)

        # A report that is damaged meanwhile is said, and what is whole stays.
        claims.write_text("{")
        page.locator(".warning", has_text="claims.json: is damaged").wait_for()
        assert page.locator(".states .complete b").inner_text() == "299"
        visit.close()


def test_a_sweep_is_watched_and_a_run_of_it_killed(browser: Any, tmp_path: Path, store_root: Path) -> None:
    """States, curves and the failure appear without the page being loaded again."""
    epochs, killed = 8, "seed-1"
    settings = [*SMALL[:-2], f"trainer.max_epochs={epochs}", "logger=none", f"data.store_root={store_root}"]
    launcher = ["hydra.launcher.jobs=2", "hydra.launcher.sweep_retries=0"]
    command = [sys.executable, str(SOURCE / "train.py"), "-m", "seed=0,1", "sweep=watched", *settings, *launcher]
    with watching(tmp_path, "watched") as address:
        visit = Visit(browser, address, viewport=DESKTOP)
        page = visit.page
        assert "Nothing has been run" in page.locator("main").inner_text()
        page.evaluate("window.sameDocument = true")
        with subprocess.Popen(command, cwd=tmp_path, env=one_thread(), stderr=subprocess.PIPE, text=True) as sweep:
            page.locator(".now li", has_text=killed).locator("text=/epoch [0-9]/").wait_for(timeout=1000 * HANG)
            lock = json.loads((tmp_path / "runs" / "watched" / killed / ".lock").read_text())
            os.kill(lock["process"], signal.SIGKILL)
            page.locator(".failure", has_text=killed).wait_for(timeout=1000 * HANG)
            assert "ended by signal SIGKILL" in page.locator(".failure").inner_text()
            visit.draw_charts()
            page.locator(".states .complete b", has_text="1").wait_for(timeout=1000 * HANG)
            assert "1 of 2 jobs failed" in sweep.communicate(timeout=HANG)[1]
        # The curve that grew is that of the file.
        rows = (tmp_path / "runs" / "watched" / "seed-0" / "metrics.csv").read_text().splitlines()
        validated = [row for row in rows if row.startswith("epoch,")]
        visit.until(f"specs['runs-validation'].data.values.filter((one) => one.runs >= 1).length === {len(validated)}")
        assert page.evaluate("window.sameDocument")
        assert visit.said == []
        visit.close()
