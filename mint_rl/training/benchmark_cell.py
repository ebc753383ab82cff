"""One cell of a benchmark: train, evaluate variant by variant, write down what came of it.

The cell's folder gets `run/` (what `mint-rl bc` writes), `scores/<variant>.json` (what `mint-rl evaluate`
writes) and `result.json`. Each file appears whole or not at all, so a cell goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.training.bc import behaviour_cloning
from mint_rl.training.benchmark_grid import Cell, present_digest, settings_of
from mint_rl.training.cell_result import Result, work_on
from mint_rl.training.cloning_loop import SNAPSHOT_FOLDER
from mint_rl.training.evaluate import EvaluateConfig, evaluate_run

RUN_FOLDER, SCORES_FOLDER = "run", "scores"
# Entries of a run's CPU seconds that are no training: its demonstrations are shared, its scores come later.
_LATER = ("demonstrations", "evaluation")


def run_cell(folder: Path, film: Callable[[Path], object] | None = None) -> Result:
    """Do what is left to do in the cell of a folder; a failure becomes a sentence in `result.json`.

    film: called with the folder when everything else is done, if the cell asks for a video.

    Raises `UserError` if another process is at this cell or the folder describes none, and
    `KeyboardInterrupt` on Ctrl-C, after which the next call goes on.
    """
    cell = Cell.read(folder)

    def work(result: Result, resume: bool) -> None:
        if not result.trained:
            _train(cell, result, resume)
        for variant in unfinished_variants(cell):
            _evaluate(cell, variant, result)
        if film is not None and cell.video:
            film(folder)

    return work_on(folder, work)


def is_finished(cell: Cell) -> bool:
    """Whether nothing is left to do."""
    result = Result.read(cell.folder)
    return result.trained and result.failure is None and not unfinished_variants(cell)


def unfinished_variants(cell: Cell) -> list[str]:
    """The variants that have not been played for as many episodes as the cell asks for."""
    wanted = set(range(cell.test_seed, cell.test_seed + cell.episodes))
    return [variant for variant in cell.variants if not wanted <= set(read_scores(cell.folder, variant))]


def read_scores(folder: Path, variant: str) -> dict[int, float]:
    """The score of every episode that was played on a variant, by the seed of the environment."""
    path = folder / SCORES_FOLDER / f"{variant}.json"
    if not path.exists():
        return {}
    evaluation = read_json_object(path, f"the folder '{folder}' of a benchmark's cell")["evaluation"][variant]
    return dict(enumerate(evaluation["scores"], start=evaluation["seed"]))


def _train(cell: Cell, result: Result, resume: bool) -> None:
    """Train the policy, from where an interrupted run stopped or else from the beginning."""
    if present_digest(cell) != cell.digest:
        raise UserError(
            "encoder, demonstrations or settings changed after the benchmark began: give the command again"
        )
    folder = cell.folder / RUN_FOLDER
    if resume and (folder / SNAPSHOT_FOLDER).is_dir():
        config = dataclasses.replace(settings_of(cell), out=str(folder), resume=True)
    else:
        config = dataclasses.replace(settings_of(cell), out=str(folder), overwrite=True)
    trained = behaviour_cloning(config)
    if trained.interrupted:
        raise KeyboardInterrupt
    seconds = {name: value for name, value in trained.metrics["cpu_seconds"].items() if name not in _LATER}
    result.trained, result.cpu_seconds = True, seconds
    result.write(cell.folder)


def _evaluate(cell: Cell, variant: str, result: Result) -> None:
    started = time.process_time()
    evaluate_run(
        EvaluateConfig(
            run=str(cell.folder / RUN_FOLDER),
            env=cell.task,
            variants=[variant],
            episodes=cell.episodes,
            seed=cell.test_seed,
            threads=cell.threads,
            device=settings_of(cell).device,
            out=str(cell.folder / SCORES_FOLDER / f"{variant}.json"),
        )
    )
    before = result.cpu_seconds.get("evaluation", 0.0)
    result.cpu_seconds["evaluation"] = round(before + time.process_time() - started, 2)
    result.write(cell.folder)
