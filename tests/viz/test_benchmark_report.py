"""The report of a benchmark: files for people and programs, and one page that needs nothing else."""

from __future__ import annotations

import base64
import csv
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mint_rl.cli import VERBS, main
from mint_rl.errors import UserError
from mint_rl.training.benchmark_grid import Method
from mint_rl.training.benchmark_scores import collect
from mint_rl.training.statistics import Estimate
from mint_rl.viz.benchmark_plots import _plot_scores, mark_of
from mint_rl.viz.benchmark_report import benchmark_report
from mint_rl.viz.benchmark_tables import Entry, Table, interval_text, latex, markdown, tables
from tests.training.benchmark_stub import fill

FILM = b"\x1a\x45\xdf\xa3 a film"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    fill(folder, policies=["mlp", "cnn:policy.width=0.5", "mlp:history=9,seeds=2"])
    for cell in folder.glob("cells/*-mlp-*/seed-0"):
        (cell / "episode.webm").write_bytes(FILM)
    said: list[str] = []
    benchmark_report(folder, say=said.append)
    assert len(said) == 1
    return folder


class Page(HTMLParser):
    """What a browser would load, and the tables as it would show them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.values: list[str] = []
        self._cell: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append(tag)
        self.loads += [
            value or "" for name, value in attributes if name in ("src", "href", "srcset", "poster")
        ]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []
            if tag == "td":
                self.values.append(given["data-value"] or "")

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.tables[-1][-1].append("".join(self._cell or []))
            self._cell = None


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text("utf-8"))


def test_the_page_loads_nothing(page: Page) -> None:
    assert page.loads
    assert all(source.startswith("data:") for source in page.loads)
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)


def test_the_page_holds_plots_and_films(page: Page) -> None:
    pictures = [source.split(",")[1] for source in page.loads if source.startswith("data:image/png;base64,")]
    assert len(pictures) == 4  # scores and aggregates of two kinds of data
    for picture in pictures:
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.std() > 5, "an empty picture"
    films = [source.split(",")[1] for source in page.loads if source.startswith("data:video/webm;base64,")]
    assert [base64.b64decode(film) for film in films] == [FILM] * 4


def test_the_page_shows_the_tables_with_numbers_to_sort_by(folder: Path, page: Page) -> None:
    wanted = tables(collect(folder))
    assert len(page.tables) == len(wanted)
    for shown, table in zip(page.tables, wanted, strict=True):
        assert shown[0] == table.header
        assert shown[1:] == [[entry.text for entry in row] for row in table.rows]
    entries = [entry for table in wanted for row in table.rows for entry in row]
    for value, entry in zip(page.values, entries, strict=True):
        assert value == (entry.text if entry.value is None else str(entry.value))


def test_what_failed_is_told_in_a_sentence(folder: Path) -> None:
    sentence = "MoveToRegion, protocol, mlp history=9, seed 1: training diverged: the loss is nan"
    assert sentence in (folder / "report.html").read_text("utf-8")
    assert f"- {sentence}" in (folder / "README.md").read_text("utf-8")


def test_demo_says_that_training_seeds_count(folder: Path) -> None:
    for name in ("report.html", "README.md"):
        assert "Demo has a single start" in (folder / name).read_text("utf-8")


def test_every_episode_is_in_the_table_of_scores(folder: Path) -> None:
    with open(folder / "episodes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # 2 tasks × 2 kinds of data × 7 runs that did not fail × 2 variants × 4 episodes
    assert len(rows) == 2 * 2 * 7 * 2 * 4
    wanted = {
        "task": "MoveToCorner", "data": "randomised", "policy": "cnn:policy.width=0.5",
        "training_seed": "2", "variant": "Demo", "episode_seed": "1000003",
    }  # fmt: skip
    (one,) = (row for row in rows if wanted.items() <= row.items())
    assert float(one["score"]) == pytest.approx(0.9 + 0.02 + 0.001 * (1000003 % 7) - 0.1)


def test_the_summary_holds_every_estimate(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    (first, second, third) = summary["results"][0]["policies"]
    assert (first["policy"], second["policy"], third["policy"]) == (
        "mlp",
        "cnn:policy.width=0.5",
        "mlp:history=9",
    )
    jitter = second["variants"]["TestJitter"]
    assert jitter["first_minus_this"]["mean"] == pytest.approx(0.1)
    assert jitter["interval"][0] < jitter["mean"] < jitter["interval"][1]
    assert (jitter["episodes"], jitter["training_seeds"]) == (4, [0, 1, 2])
    assert "first_minus_this" not in first["variants"]["TestJitter"]
    assert third["failures"] == {"1": "training diverged: the loss is nan"}
    assert summary["aggregates"]["protocol"]["environments"] == 4
    assert summary["commands"][0]["command"].startswith("mint-rl benchmark --preset quick")


def test_no_table_mixes_kinds_of_data(folder: Path) -> None:
    for table in tables(collect(folder)):
        assert table.data in table.title
        other = {"protocol": "randomised", "randomised": "protocol"}[table.data]
        assert other not in table.title


def test_cost_with_and_without_pretraining(folder: Path, tmp_path: Path) -> None:
    fill(tmp_path, tasks=["MoveToRegion"], data=["protocol"])
    path = tmp_path / "benchmark.json"
    noted = json.loads(path.read_text())
    path.write_text(json.dumps({**noted, "pretraining_cpu_seconds": {"magical": 150.0}}))
    cost = next(table for table in tables(collect(tmp_path)) if "CPU seconds" in table.title)
    assert [[entry.text for entry in row] for row in cost.rows] == [
        ["mlp", "1.0", "5.0", "6.0", "1.00", "156.0"],
        ["cnn width=0.5", "1.0", "5.0", "6.0", "1.00", "6.0"],
    ]


def test_markdown_and_latex() -> None:
    table = Table(
        "protocol",
        "A_b & c",
        ["policy", "x|y"],
        [[Entry("p − q_1"), Entry(".5 [-.4, .6]", 0.5)]],
        "50 % done.",
    )
    assert markdown(table) == (
        "### A_b & c\n\n| policy | x\\|y |\n|---|---|\n| p − q_1 | .5 [-.4, .6] |\n\n50 % done.\n"
    )
    assert latex(table) == (
        "\\begin{table}\\small\n\\caption{A\\_b \\& c. 50 \\% done.}\n\\begin{tabular}{lr}\n\\toprule\n"
        "policy & x|y \\\\\n\\midrule\np $-$ q\\_1 & .5 [$-$.4, .6] \\\\\n\\bottomrule\n\\end{tabular}\n"
        "\\end{table}\n"
    )


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.975, 0.96, 0.99), ".975 [.960, .990]"),
        (Estimate(1.0, 1.0, 1.0), "1.000 [1.000, 1.000]"),
        (Estimate(-0.0204, -0.031, 0.01), "-.020 [-.031, .010]"),
        (Estimate(0.5, float("nan"), float("nan")), ".500"),
        (None, "–"),
    ],
)
def test_intervals_as_text(estimate: Estimate | None, text: str) -> None:
    assert interval_text(estimate) == text


def test_the_report_is_written_again_from_what_is_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main(["benchmark", "report", str(folder), "--out", str(out), "--no-videos"]) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {
        "report.html", "README.md", "tables.tex", "summary.json", "episodes.csv", "scores-protocol.png",
        "scores-randomised.png", "aggregate-protocol.png", "aggregate-randomised.png",
    }  # fmt: skip
    assert "video/webm" not in (out / "report.html").read_text("utf-8")
    for name in ("tables.tex", "summary.json", "episodes.csv", "README.md"):
        assert (out / name).read_text("utf-8") == (folder / name).read_text("utf-8")
    assert str(out / "report.html") in capsys.readouterr().out


def test_nothing_to_report_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "report", str(tmp_path)]) == 2
    assert "there is no benchmark in" in capsys.readouterr().err
    fill(tmp_path, policies=["mlp:history=9"], seeds=2, tasks=["MoveToRegion"], data=["protocol"])
    for path in tmp_path.glob("cells/*/seed-0/result.json"):
        path.unlink()
    with pytest.raises(UserError, match="has been evaluated yet"):
        benchmark_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_benchmark_through_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from mint_rl.cli import benchmark as verbs
    from tests.training import benchmark_stub

    def record(config: object, say: object) -> None:
        path = Path(config.out)  # type: ignore[attr-defined]
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"demonstrations")

    monkeypatch.setattr("mint_rl.training.benchmark_data.record", record)
    monkeypatch.setattr(verbs, "_RUNS_A_CELL", (sys.executable, benchmark_stub.__file__))
    words = ["benchmark", "--variants", "Demo", "--episodes", "2", "--out", str(tmp_path / "b"), "jobs=2"]
    assert main([*words, "--policies", "mlp", "--seeds", "2"]) == 0
    assert (tmp_path / "b" / "report.html").exists()
    assert main([*words, "--policies", "mlp:history=9", "--seeds", "2"]) == 1, "one run of it diverges"
    assert "seed 1: training diverged: the loss is nan" in capsys.readouterr().out
    assert "diverged" in (tmp_path / "b" / "report.html").read_text("utf-8")


def test_every_command_of_the_documentation_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text("utf-8")
    commands = re.findall(r"^mint-rl .*", text, re.MULTILINE)
    assert len(commands) >= 7
    checked = []
    for name in ("benchmark", "benchmark report"):
        verb = VERBS[name]
        run = {"run": lambda config: checked.append(config) or 0}
        monkeypatch.setitem(VERBS, name, type(verb)(**{**vars(verb), **run}))
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    for config in checked:
        for word in getattr(config, "policies", ()):
            Method.parse(word).configuration("MakeLine")


BAD = [
    (["--policies", "mpl"], "unknown policy 'mpl' (did you mean 'mlp'?)"),
    (["--data", "protocl"], "unknown setting of the data 'protocl' (did you mean 'protocol'?)"),
    (["--preset", "papr"], "unknown preset 'papr' (did you mean 'paper'?)"),
    (["--launcher", "slurm"], "unknown launcher 'slurm'"),
    (["--data", "human"], "data=human needs demonstrations of MoveToRegion"),
    (["--encoders", "nowhere"], "nowhere"),
    (["report", "nowhere"], "there is no benchmark in 'nowhere'"),
    (["repor"], "'repor'"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_sentence(
    words: list[str],
    part: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mint-rl: ")
    assert error.count("\n") == 1
    assert part in error
    assert list(tmp_path.iterdir()) == []


def test_no_two_policies_share_a_mark() -> None:
    assert len({mark_of(number) for number in range(72)}) == 72


def test_a_long_legend_leaves_height_to_the_panels() -> None:
    def row(number: int) -> SimpleNamespace:
        label = f"interaction {number} with settings that make long words, magical:descriptors=crops12"
        return SimpleNamespace(label=label, scores={"Demo": None}, estimate=lambda variant: None)

    rows = [row(number) for number in range(10)]
    figure = _plot_scores([("MakeLine", rows)], [row.label for row in rows])  # type: ignore[list-item]
    figure.draw_without_rendering()
    height = figure.axes[0].get_position().height * figure.get_figheight()
    assert height > 1.8  # inches
