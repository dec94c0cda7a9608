"""The page as a file: its figures are those of the results, and it is the same bytes again."""

from __future__ import annotations

import html
import http.client
import json
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.reports import claims_table
from alexnet_lab.reports.page import PAGE, json_in_html, write_page
from alexnet_lab.reports.page_content import collect_page
from alexnet_lab.reports.run_view import RunReader
from alexnet_lab.runs.lock import take
from alexnet_lab.runs.progress import show_progress
from claims.made_runs import make_run
from reports.made_page import CLAIMS, made_page, make_claims, watching, working_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_page(tmp_path_factory.mktemp("page"))


def section_of(page: str, claim: str) -> str:
    """The rows of a claim as text, without marks."""
    part = page.partition(f'<div data-part="claim-{claim}-measured">')[2].partition("<div data-part=")[0]
    assert part, claim
    return html.unescape(re.sub(r"<[^>]+>", "|", part))


def test_its_figures_are_those_of_the_results(folder: Path) -> None:
    page = (folder / "reports" / PAGE).read_text()
    claims = json.loads((folder / "reports" / "claims.json").read_text())["claims"]
    assert [claim["claim"] for claim in claims] == list(CLAIMS)
    for claim in claims:
        shown = section_of(page, claim["claim"])
        for row in claim["rows"]:
            words = claims_table.in_words(row)
            assert words in shown
            known = [row[key] for key in ("mean", "low", "high") if row[key] is not None]
            for text, value in zip(re.findall(r"[+-]?\d+\.?\d*", words), known, strict=True):
                assert float(text) == pytest.approx(value, abs=0.501 * 10 ** -len(text.partition(".")[2]))
            assert row["label"] in shown
    table = json.loads((folder / "reports" / "lrn" / "table.json").read_text())
    tables = page.partition('<div data-part="claim-lrn-tables">')[2].partition("<div data-part=")[0]
    for row in table["rows"]:
        assert f">{row['top1_error']:.1f}" in tables
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', page)[1])
    assert charts["claim-relu-training"]["layer"][0]["data"]["values"] == [{"level": 25}]
    drawn = charts["claim-lrn-validation"]["data"]["values"]
    for place, variant in enumerate(("base", "no-lrn")):
        last = [one for one in drawn if one["v"] == place][-1]
        row = next(row for row in table["rows"] if row["variant"] == variant)
        assert last["mean"] == pytest.approx(row["top1_error"], rel=1e-4)


def test_it_is_the_same_bytes_again_and_small(folder: Path, program, tmp_path: Path) -> None:
    first = (folder / "reports" / PAGE).read_bytes()
    make_claims(tmp_path)  # in another folder, by another process
    made = program("report.py")
    assert made.returncode == 0, made.stderr
    assert "reports/index.html" in made.stdout
    assert (tmp_path / "reports" / PAGE).read_bytes() == first
    assert len(first) < 2_000_000


def test_reports_alone_are_enough(folder: Path, tmp_path: Path) -> None:
    """As where claims.json and the tables were kept, and the runs were not."""
    shutil.copytree(folder / "reports", tmp_path / "reports")
    with working_in(tmp_path):
        write_page(Path("runs/mini"))
    page, whole = ((one / "reports" / PAGE).read_text() for one in (tmp_path, folder))
    for claim in CLAIMS:
        assert section_of(page, claim) == section_of(whole, claim)
    assert '<figure class="chart"' not in page


def test_a_claim_by_the_name_of_another_folder_shows_nothing_of_that(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "reports", tmp_path / "reports")
    secret = tmp_path / "secret"
    secret.mkdir()
    shutil.copy(folder / "reports" / "kernels" / "kernels.png", secret)
    claims = tmp_path / "reports" / "claims.json"
    found = json.loads(claims.read_text().replace('"claim": "lrn"', '"claim": "../secret"'))
    found["claims"].append(found["claims"][0] | {"claim": "of no row", "verdict": "so far", "rows": []})
    claims.write_text(json.dumps(found))
    with working_in(tmp_path):
        content = collect_page(Path("runs/mini"), RunReader(), strict=True)
    [section] = [one for one in content.sections if one.name == "../secret"]
    assert section.figures == []
    assert "/" not in section.anchor


def test_runs_of_no_claim_are_rows_by_their_names(tmp_path: Path) -> None:
    """Those whose names differ in the seed alone are one; what is damaged is said and left out of figures."""
    for variant, error in (("model.lrn-true", 0.2), ("model.lrn-false", 0.3)):
        for seed in range(2):
            make_run(tmp_path / "runs" / "swept", variant, seed, error, [0.5, error])
    (tmp_path / "runs" / "swept" / "model.lrn-true_seed-1" / "result.json").write_text("{")
    (tmp_path / "runs" / "swept" / "elsewhere").symlink_to("/etc")
    with working_in(tmp_path):
        content = collect_page(Path("runs/swept"), RunReader(), strict=True)
        page = write_page(Path("runs/swept"))
        assert page == Path("reports/swept/index.html")
        assert page.is_file()
    assert content.sections == []
    assert content.run_states == {"complete": 3, "damaged": 2}
    lines = content.others.tables["Top-1 error"]
    assert [(line.label, line.error, line.n) for line in lines] == [
        ("model.lrn-false", "30.0", "2"),
        ("model.lrn-true", "20.0", "1 of 2"),
    ]
    assert [label for label, _ in content.others.series] == ["model.lrn-false", "model.lrn-true"]


def test_the_time_left_is_that_of_what_runs_and_what_waits(tmp_path: Path) -> None:
    sweep = tmp_path / "runs" / "swept"
    for seed in range(2):
        make_run(sweep, "base", seed)  # half an hour each
    for name in ("base_seed-2", "base_seed-3"):
        (sweep / name).mkdir()
    show_progress(sweep / "base_seed-2", {"state": "training", "epoch": 1, "epochs": 4, "seconds_left": 600})
    lock = take(sweep / "base_seed-2")
    assert lock is not None
    with working_in(tmp_path):
        content = collect_page(Path("runs/swept"), RunReader(), strict=True)
        lock.release()
        later = collect_page(Path("runs/swept"), RunReader(), strict=True)
    assert content.run_states == {"complete": 2, "running": 1, "not started": 1}
    assert content.time_left == "40 min 00 s"
    assert later.time_left == ""


def test_it_asks_for_nothing(folder: Path) -> None:
    page = (folder / "reports" / PAGE).read_text()
    markup = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!#|data:|\.\./runs/)[^"]*', markup)
    assert "default-src 'none'" in html.unescape(markup)


DAMAGES: dict[str, tuple[str, str]] = {
    "claims.json: is damaged": ("claims.json", "{"),
    "it is of another version": ("claims.json", '{"schema_version": 9}'),
    "claim is 3": ("claims.json", '{"schema_version": 1, "claims": [{"claim": 3}]}'),
    "seeds is a number that nothing measures": ("claims.json", ""),
    "was made by another version": ("lrn/table.json", "[]"),
    "table.json: is damaged": ("lrn/table.json", '{"schema_version": 2, "rows": [{"label": 1}]}'),
}


@pytest.mark.parametrize("said", DAMAGES)
def test_a_damaged_report_is_refused(said: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "reports", tmp_path / "reports", ignore=shutil.ignore_patterns(PAGE))
    name, content = DAMAGES[said]
    if not content:
        content = re.sub(r'"seeds": \d+', f'"seeds": {"9" * 400}', (tmp_path / "reports" / name).read_text())
    (tmp_path / "reports" / name).write_text(content)
    with working_in(tmp_path), pytest.raises(UserError, match=re.escape(said)):
        write_page(Path("runs/mini"))
    assert not (tmp_path / "reports" / PAGE).exists()


def test_what_cannot_be_meant_is_refused_before_anything_is_written(program, tmp_path: Path) -> None:
    for arguments, said in (
        (["report.py"], "runs/mini: no such sweep; runs/ holds nothing"),
        (["report.py", "swep=x"], "swep: no such key; did you mean sweep?"),
        (["report.py", "sweep=../etc"], "sweep=../etc: must be the name of a folder in runs/"),
        (["watch.py", f"sweep={'a' * 300}"], "a: must be the name of a folder in runs/"),
        (["watch.py", "port=99999"], "port=99999: must be a whole number from 0 to 65535"),
    ):
        answer = program(*arguments)
        assert answer.returncode == 2, arguments
        assert said in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_claim_that_waits_for_runs_says_so(folder: Path) -> None:
    with working_in(folder):
        content = collect_page(Path("runs/mini"), RunReader(), strict=True)
    states = {section.name: section.state for section in content.sections}
    assert states["ten-crop"] == states["depth"] == "not run"
    assert states["relu"] in ("agrees", "cannot be told")
    assert content.others is None


def test_json_in_a_page_is_no_markup() -> None:
    hostile = {"</script><!--": "<script>&\u2028"}
    text = json_in_html(hostile)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == hostile


@pytest.mark.slow
def test_the_server_answers_this_host_alone_and_changes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with watching(folder, "mini") as address:
        host = urlsplit(address).netloc

        def ask(path: str, method: str = "GET", name: str = host) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(host)
            connection.request(method, path, headers={"Host": name})
            answer = connection.getresponse()
            assert method == "POST" or "default-src 'none'" in answer.headers["Content-Security-Policy"]
            return answer.status, answer.read()

        assert ask("/")[0] == 200
        assert ask("/", name=host.replace("127.0.0.1", "localhost"))[0] == 200
        assert ask("/", name="attacker.example")[0] == 421
        assert ask("/", name=f"attacker.example:{urlsplit(address).port}")[0] == 421
        assert ask("/events", name="attacker.example")[0] == 421
        assert ask("/", "HEAD") == (200, b"")
        assert ask("/", "POST")[0] == 501
        for path in ("/../reports/claims.json", "/runs/mini/base_seed-0/result.json", "//etc/passwd", "/%2e%2e/x"):
            assert ask(path)[0] == 404
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
