"""One cell of a benchmark of keypoints: train, score test by test, learn dynamics, write all of it down.

The cell's folder gets `run/` (what `mint-rl pretrain` writes), `scores/<test>.json`, `dynamics.json` if that
is asked for, and `result.json`. Each file appears whole or not at all, so a cell goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mint_rl.errors import UserError
from mint_rl.files import write_text
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.keypoints.metrics import VideoMetrics
from mint_rl.training.cell_result import Result, work_on
from mint_rl.training.keypoint_benchmark_grid import RUN_FOLDER, TRAINED, KeypointCell
from mint_rl.training.keypoint_evaluation import (
    KeypointEvaluationConfig,
    evaluate_keypoints,
    evaluation_videos,
)
from mint_rl.training.pretrain import pretrain
from mint_rl.training.pretrain_loop import SNAPSHOT_FOLDER
from mint_rl.training.threads import cpu_threads

if TYPE_CHECKING:
    from mint_rl.training.dynamics_scores import VideoScores

SCORES_FOLDER, DYNAMICS_FILE, DYNAMICS_FOLDER = "scores", "dynamics.json", "dynamics"


@dataclass(frozen=True)
class TestScores:
    """The metrics of one encoder or control on the videos of one test."""

    videos: list[VideoMetrics]
    seconds: float  # CPU time of encoding
    frames: int


def run_keypoint_cell(folder: Path) -> Result:
    """Do what is left to do in the cell of a folder; a failure becomes a sentence in `result.json`.

    Raises `UserError` if another process is at this cell or the folder describes none, and
    `KeyboardInterrupt` on Ctrl-C, after which the next call goes on.
    """
    cell = KeypointCell.read(folder)

    def work(result: Result, resume: bool) -> None:
        if not result.trained:
            if cell.kind == TRAINED:
                _train(cell, result, resume)
            result.trained = True
            result.write(folder)
        for test in unfinished_tests(cell):
            _evaluate(cell, test, result)
        if cell.dynamics and read_dynamics(cell) is None:
            _learn_dynamics(cell, result)

    return work_on(folder, work)


def is_finished(cell: KeypointCell) -> bool:
    """Whether nothing is left to do."""
    result = Result.read(cell.folder)
    predicted = not cell.dynamics or read_dynamics(cell) is not None
    return result.trained and result.failure is None and not unfinished_tests(cell) and predicted


def unfinished_tests(cell: KeypointCell) -> list[str]:
    """The tests whose scores are not there as the cell asks for them."""
    return [test for test in cell.tests if read_scores(cell, test) is None]


def read_scores(cell: KeypointCell, test: str) -> TestScores | None:
    """The scores of a test; None where there are none, or of other videos."""
    content = _read(cell.folder / SCORES_FOLDER / f"{test}.json", cell.tests[test])
    if content is None:
        return None
    videos = [VideoMetrics(**{k: _number(v) for k, v in video.items()}) for video in content["videos"]]
    return TestScores(videos, content["seconds"], content["frames"])


def read_dynamics(cell: KeypointCell) -> dict[str, list[VideoScores]] | None:
    """By environment or data set, what was predicted of each test video; None where there is nothing."""
    content = _read(cell.folder / DYNAMICS_FILE, cell.dynamics)
    if content is None:
        return None
    return {
        name: [
            {
                measure: {who: {int(n): _number(v) for n, v in ahead.items()} for who, ahead in found.items()}
                for measure, found in video.items()
            }
            for video in videos
        ]
        for name, videos in content["videos"].items()
    }


def _train(cell: KeypointCell, result: Result, resume: bool) -> None:
    """Train the encoder, from where an interrupted run stopped or else from the beginning."""
    folder = cell.folder / RUN_FOLDER
    if resume and (folder / SNAPSHOT_FOLDER).is_dir():
        config = dataclasses.replace(cell.configuration(), out=str(folder), resume=True)
    else:
        config = dataclasses.replace(cell.configuration(), out=str(folder), overwrite=True)
    trained = pretrain(config)
    if trained.interrupted:
        raise KeyboardInterrupt
    seconds = trained.metrics["cpu_seconds"]
    result.cpu_seconds = {name: seconds[name] for name in ("data", "training")}


def _evaluate(cell: KeypointCell, test: str, result: Result) -> None:
    started = time.process_time()
    config = KeypointEvaluationConfig(**cell.tests[test])
    with cpu_threads(1):
        (found,) = evaluate_keypoints({cell.method: cell.detector()}, evaluation_videos(config))
    videos = [metrics for group in found.videos.values() for metrics in group]
    content = {
        "of": cell.tests[test],
        "seconds": found.seconds,
        "frames": found.frames,
        "videos": [{name: _plain(value) for name, value in asdict(video).items()} for video in videos],
    }
    _write(cell.folder / SCORES_FOLDER / f"{test}.json", content)
    _add_seconds(result, "evaluation", started, cell.folder)


def _learn_dynamics(cell: KeypointCell, result: Result) -> None:
    # Imported here: the graph networks take seconds, which most cells have no need of.
    from mint_rl.training.dynamics import DynamicsConfig, learn_dynamics

    started = time.process_time()
    config = DynamicsConfig(
        **cell.dynamics,
        encoder=cell.encoder,
        seed=cell.seed,
        out=str(cell.folder / DYNAMICS_FOLDER),
        overwrite=True,
        threads=cell.threads,
    )
    learned = learn_dynamics(config)
    if learned.scores is None:
        raise KeyboardInterrupt
    videos = {
        name: [
            {
                measure: {who: {str(n): _plain(v) for n, v in ahead.items()} for who, ahead in found.items()}
                for measure, found in video.items()
            }
            for video in group
        ]
        for name, group in learned.scores.videos.items()
    }
    _write(cell.folder / DYNAMICS_FILE, {"of": cell.dynamics, "videos": videos})
    _add_seconds(result, "dynamics", started, cell.folder)


def _add_seconds(result: Result, part: str, started: float, folder: Path) -> None:
    seconds = result.cpu_seconds.get(part, 0.0) + time.process_time() - started
    result.cpu_seconds[part] = round(seconds, 2)
    result.write(folder)


def _read(path: Path, of: dict[str, Any]) -> dict[str, Any] | None:
    """What `_write` wrote, if it is there and about the same videos."""
    if not path.exists():
        return None
    content = read_json_object(path, f"the folder '{path.parent}' of a benchmark's cell")
    if content.get("of") != of:
        return None
    if not isinstance(content.get("videos"), list | dict):
        raise UserError(f"'{path}' holds no scores of a benchmark: remove it")
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value
