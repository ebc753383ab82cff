"""`mint-rl benchmark`: tasks × data × policies × encoders × training seeds, all on the same test episodes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mint_rl.errors import UserError
from mint_rl.files import writable_folder, write_text
from mint_rl.keypoints.encoder_files import encoder_folder, read_json_object
from mint_rl.keypoints.inference_settings import source_of
from mint_rl.training.benchmark_cell import is_finished
from mint_rl.training.benchmark_command import BENCHMARK_FILE, command_of
from mint_rl.training.benchmark_config import BenchmarkConfig
from mint_rl.training.benchmark_data import check_demonstrations, shared_demonstrations
from mint_rl.training.benchmark_grid import check_methods, grid
from mint_rl.training.benchmark_launch import (
    BenchmarkResult,
    parse_launcher,
    run_cells,
)


def benchmark(
    config: BenchmarkConfig, command: Sequence[str], say: Callable[[str], None] = print
) -> BenchmarkResult:
    """Do what is not done yet of a benchmark: record demonstrations, train and evaluate cell by cell.

    Everything that can be wrong with the settings is said before any work. What goes wrong later, such as a
    training run that diverges, is said in a sentence and costs its own cell alone. The same call goes on
    where an interrupted one stopped, and tries again what failed.

    Args:
        config: The grid.
        command: A program that runs one cell when it is given its folder, and many as a Hydra multirun: see
            `benchmark_launch`.
        say: Takes one line for the user at a time.

    Raises:
        UserError: Unknown names, missing files, a folder that cannot be written.
    """
    check_methods(config)
    human = check_demonstrations(config)
    if config.launcher is not None:
        parse_launcher(config.launcher)
    folder = writable_folder(config.out)
    note_command(config, folder)
    try:
        demonstrations = shared_demonstrations(config, human, say)
        cells = grid(config, demonstrations)
    except KeyboardInterrupt:
        return BenchmarkResult(folder, 0, {}, True)
    failures, interrupted = run_cells(
        cells, "training runs", config.launcher, config.jobs, command, is_finished, folder, say
    )
    for task in config.tasks:
        for data in config.data:
            if (task, data) not in demonstrations:
                failures[f"{task}, {data}"] = "there are no demonstrations"
    return BenchmarkResult(folder, sum(map(is_finished, cells)), failures, interrupted)


def read_benchmark(folder: Path) -> dict[str, Any]:
    """What `benchmark.json` says: settings of the last call, all commands, encoders. `UserError` without."""
    if not (folder / BENCHMARK_FILE).is_file():
        raise UserError(f"there is no benchmark in '{folder}'; 'mint-rl benchmark --out {folder}' makes one")
    return read_json_object(folder / BENCHMARK_FILE, f"the folder '{folder}'")


def note_command(config: BenchmarkConfig, folder: Path) -> None:
    """Write down the settings and the command, after those of earlier calls."""
    before = read_benchmark(folder) if (folder / BENCHMARK_FILE).is_file() else {}
    today = time.strftime("%Y-%m-%d", time.gmtime())
    commands = [*before.get("commands", []), {"date": today, "command": command_of(config)}]
    content = {
        "settings": asdict(config),
        "commands": [entry for i, entry in enumerate(commands) if entry not in commands[:i]],
        "pretraining_cpu_seconds": {
            **before.get("pretraining_cpu_seconds", {}),
            **{word: _pretraining_seconds(word) for word in config.encoders},
        },
    }
    write_text(folder / BENCHMARK_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _pretraining_seconds(encoder: str) -> float | None:
    """CPU seconds that an encoder's pretraining took, if `metrics.json` in its folder tells."""
    try:
        seconds = read_json_object(encoder_folder(source_of(encoder)) / "metrics.json", "it")["cpu_seconds"]
        return round(float(seconds["data"]) + float(seconds["training"]), 2)
    except (UserError, KeyError, TypeError, ValueError):
        return None
