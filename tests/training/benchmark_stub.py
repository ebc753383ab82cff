"""Stands in for the program that runs one cell of a benchmark: scores at once, without learning anything.

    python benchmark_stub.py <folder of a cell>                    as mint_rl.cli.benchmark_job
    python benchmark_stub.py --multirun +cell=… hydra/launcher=…   the same, started by Hydra

It knows policies that misbehave: see `_BEHAVIOUR`. Every start is noted in `starts.txt` beside the folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

# By the seed of a cell whose policy is the MLP with history=9.
_BEHAVIOUR = {1: "fails", 2: "is killed", 3: "raises", 4: "interrupts its parent"}


def score(cell: dict[str, Any], variant: str, episode: int) -> float:
    """A number that depends on everything, so that mixing things up is noticed."""
    base = {"Demo": 0.9, "TestJitter": 0.6}.get(variant, 0.3)
    return round(base + 0.01 * cell["seed"] + 0.001 * (episode % 7) - 0.1 * ("cnn" in cell["method"]), 6)


def fill(folder: Path, **changes: Any) -> None:
    """A finished benchmark in a folder: two tasks, two kinds of data, an MLP, a CNN, and one that fails."""
    from mint_rl.training.benchmark import note_command
    from mint_rl.training.benchmark_config import BenchmarkConfig
    from mint_rl.training.benchmark_grid import grid

    options: dict[str, Any] = {
        "tasks": ["MoveToRegion", "MoveToCorner"], "data": ["protocol", "randomised"], "seeds": 3,
        "policies": ["mlp", "cnn:policy.width=0.5"], "variants": ["Demo", "TestJitter"], "episodes": 4,
        "out": str(folder),
    }  # fmt: skip
    config = BenchmarkConfig(**{**options, **changes})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demos").write_bytes(b"demonstrations")
    note_command(config, folder)
    demos = {(task, data): [str(folder / "demos")] for task in config.tasks for data in config.data}
    for cell in grid(config, demos):
        cell.folder.mkdir(parents=True, exist_ok=True)
        cell.write()
        run(cell.folder)


def run(folder: Path) -> int:
    cell = json.loads((folder / "cell.json").read_text())
    with open(folder.parent / "starts.txt", "a") as file:
        file.write(f"{cell['seed']}\n")
    behaviour = _BEHAVIOUR.get(cell["seed"], "") if "history=9" in cell["method"] else ""
    first_time = (folder.parent / "starts.txt").read_text().split().count(str(cell["seed"])) == 1
    if behaviour == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "raises":
        raise ValueError("something\nover two lines")
    if behaviour == "interrupts its parent" and first_time:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    failure = "training diverged: the loss is nan" if behaviour == "fails" else None
    result = {
        "trained": failure is None, "failure": failure, "finished": "2024-05-06T07:08:09Z",
        "cpu_seconds": {"training": 4.0 + cell["seed"], "encoding": 1.0, "evaluation": 9.0},
        "machine": {
            "processor": "P", "cores": "2", "system": "S", "python": "3", "torch": "2", "mint-rl": "0"
        },
    }  # fmt: skip
    (folder / "scores").mkdir(exist_ok=True)
    for variant in cell["variants"] if failure is None else ():
        seeds = range(cell["test_seed"], cell["test_seed"] + cell["episodes"])
        scores = [score(cell, variant, seed) for seed in seeds]
        evaluation = {"seed": cell["test_seed"], "scores": scores}
        (folder / "scores" / f"{variant}.json").write_text(json.dumps({"evaluation": {variant: evaluation}}))
    (folder / "result.json").write_text(json.dumps(result))
    return 0 if failure is None else 1


def job(config: Any) -> None:
    run(Path(config.cell))


if __name__ == "__main__":
    if "--multirun" in sys.argv:
        import hydra

        hydra.main(version_base="1.3", config_path=None)(job)()
        sys.exit(0)
    sys.exit(run(Path(sys.argv[1])))
