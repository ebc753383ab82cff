"""The report of a benchmark of keypoints: tables, pictures and numbers from scores made up for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from mint_rl.cli import main
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import EncoderConfig, KeypointEncoder
from mint_rl.keypoints.metrics import VideoMetrics
from mint_rl.training import benchmark_launch as module
from mint_rl.training.cell_result import Result
from mint_rl.training.dynamics_scores import MEASURES, NETWORK, SEEN, STAY, VELOCITY
from mint_rl.training.keypoint_benchmark import keypoint_benchmark
from mint_rl.training.keypoint_benchmark_cell import is_finished
from mint_rl.training.keypoint_benchmark_config import KeypointBenchmarkConfig
from mint_rl.training.keypoint_benchmark_grid import KeypointCell
from mint_rl.training.machine import describe_machine
from mint_rl.viz.keypoint_benchmark_report import keypoint_benchmark_report


def score(cell: KeypointCell, test: str, video: int) -> VideoMetrics:
    """Numbers that depend on everything, so that mixing things up is noticed."""
    base = {"mint": 0.9, "transporter": 0.7}.get(cell.method, 0.1) - 0.2 * ("TestJitter" in test)
    dop = base + 0.01 * cell.seed + 0.001 * video
    return VideoMetrics(
        dop, dop - 0.05, 3.0, 2.0, float("nan") if cell.method == "grid" else 0.8, 0.7, 0.6, 9.0
    )


def fill(cells: list[KeypointCell], *_: Any) -> dict[str, str]:
    """In place of training and scoring."""
    failures = {}
    for cell in cells:
        failed = cell.method == "transporter" and cell.seed == 1
        Result(not failed, "it diverged" if failed else None).write(cell.folder)
        if failed:
            failures[cell.name] = "it diverged"
            continue
        if cell.kind == "trained":
            KeypointEncoder(EncoderConfig(num_keypoints=3)).save_pretrained(cell.folder / "run")
            seconds = {"data": 1.0, "training": 2.0 + cell.seed, "per_step": 0.25, "waiting": 0.0}
            metrics = {"cpu_seconds": seconds, "warnings": ["step 50: one heap"] * cell.seed}
            (cell.folder / "run" / "metrics.json").write_text(json.dumps(metrics))
        (cell.folder / "scores").mkdir(exist_ok=True)
        for test, of in cell.tests.items():
            videos = [vars(score(cell, test, n)) for n in range(3)]
            videos = [{k: None if v != v else v for k, v in video.items()} for video in videos]
            content = {"of": of, "seconds": 0.5, "frames": 100, "videos": videos}
            (cell.folder / "scores" / f"{test}.json").write_text(json.dumps(content))
        if cell.dynamics:
            video = {
                measure: {who: {"1": 0.5, "4": 0.25} for who in (NETWORK, STAY, VELOCITY, SEEN)}
                for measure in MEASURES
            }
            content = {"of": cell.dynamics, "videos": {"somewhere": [video, video]}}
            (cell.folder / "dynamics.json").write_text(json.dumps(content))
        assert is_finished(cell)
    return failures


CONFIG = KeypointBenchmarkConfig(
    methods=["mint", "transporter"], data=["magical", "bouncing:frames=24"], seeds=2, tasks=["MoveToRegion"],
    variants=["Demo", "TestJitter"], test_videos=2, dynamics=True, horizons=[1, 4], jobs=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_in_processes", fill)
        result = keypoint_benchmark(replace(CONFIG, out=str(folder)), ("nothing",), lambda line: None)
    assert set(result.failures.values()) == {"it diverged"}
    assert main(["benchmark", "report", str(folder), "--out", str(folder / "report")]) == 0
    return folder / "report"


def test_the_tables(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    assert "### magical, all environments: objects found and tracked" in text
    demo = text.split("### magical, Demo:")[1].split("###")[0]
    assert "| method | seeds | DOP | TOP | UAK | RAK | same+1 | active |" in demo
    assert "| mint | 2 | .906 ± .006 | .856 ± .006 | 3.00 ± .00 | 2.00 ± .00 | .800 ± .000 | 9.0" in demo
    assert "| transporter | 1 of 2 | .701 ± .001 |" in demo
    assert "| a grid of 25 places | – | .101 ± .001 | .051 ± .001 | 3.00 ± .00 | 2.00 ± .00 | – |" in demo
    everything = text.split("### magical, all environments")[1].split("###")[0]
    assert "| mint | 2 | .806 ± .00" in everything
    assert "2 environments, 3 test videos each." in everything
    assert "| mint | 0.250 | 4 | 5.00 |" in text
    assert "| mint | network | .500 ± .000 | .250 ± .000 |" in text
    assert "- magical, transporter, seed 1: it diverged" in text
    assert "- magical, mint, seed 1: step 50: one heap" in text
    assert "mint-rl benchmark keypoints --preset quick --methods mint transporter" in text
    assert f"- {describe_machine()['processor']}, " in text


def test_the_pictures(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.png"))
    assert names == [
        "come-and-go-bouncing_frames=24.png", "overlay-bouncing_frames=24.png", "overlay-magical.png",
    ]  # fmt: skip
    for name in names:
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert picture.std() > 5
        assert f"]({name})" in (folder / "README.md").read_text("utf-8")


def test_the_summary_holds_both_ends_of_intervals(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    mint, transporter = summary["results"]["magical"][:2]
    found = mint["scores"]["Demo"]["dop"]
    assert found["mean"] == pytest.approx(0.906)
    assert found["interval"][0] < found["mean"] < found["interval"][1]
    assert mint["cpu_seconds_a_step"] == 0.25
    assert mint["predicted"]["objects"]["network"]["4"]["mean"] == 0.25
    assert transporter["failures"] == {"1": "it diverged"}
    grid = summary["results"]["magical"][-1]
    assert grid["scores"]["Demo"]["identity"] is None
    assert grid["predicted"] is None


def test_latex_has_every_table(folder: Path) -> None:
    latex = (folder / "tables.tex").read_text("utf-8")
    assert latex.count(r"\begin{table}") == (folder / "README.md").read_text("utf-8").count("\n### ")


def test_an_encoder_that_is_gone_costs_its_picture_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = folder.parent
    (weights,) = benchmark.glob("cells/magical-mint-*/seed-0/run/model.safetensors")
    before = weights.read_bytes()
    weights.unlink()
    assert main(["benchmark", "report", str(benchmark), "--out", str(tmp_path)]) == 0
    weights.write_bytes(before)
    assert "no picture of mint: the encoder folder" in capsys.readouterr().out


def test_without_scores_there_is_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no benchmark of keypoints in"):
        keypoint_benchmark_report(tmp_path)
    monkeypatch.setattr(module, "run_in_processes", lambda *_: {})
    keypoint_benchmark(replace(CONFIG, out=str(tmp_path)), ("nothing",), lambda line: None)
    with pytest.raises(UserError, match="has been scored yet"):
        keypoint_benchmark_report(tmp_path)
