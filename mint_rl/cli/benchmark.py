"""The verbs of the benchmark: run it, and report what it found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mint_rl.cli.parser import DONE, INTERRUPTED, Verb

INCOMPLETE = 1  # some training runs failed; the others are done
_RUNS_A_CELL = (sys.executable, "-m", "mint_rl.cli.benchmark_job")


def _benchmark(config: Any) -> int:
    from mint_rl.training.benchmark import benchmark
    from mint_rl.training.benchmark_scores import collect
    from mint_rl.viz.benchmark_report import benchmark_report

    result = benchmark(config, _RUNS_A_CELL)
    if result.finished and any(row.scores for row in collect(result.folder).rows):
        benchmark_report(result.folder, videos=config.videos)
    if result.interrupted:
        print(f"stopped, {result.finished} training runs are finished: the same command goes on from here")
        return INTERRUPTED
    return INCOMPLETE if result.failures else DONE


def _keypoints(config: Any) -> int:
    from mint_rl.training.keypoint_benchmark import keypoint_benchmark
    from mint_rl.viz.keypoint_benchmark_report import keypoint_benchmark_report

    result = keypoint_benchmark(config, _RUNS_A_CELL)
    if result.finished:
        keypoint_benchmark_report(result.folder)
    if result.interrupted:
        print(f"stopped, {result.finished} cells are finished: the same command goes on from here")
        return INTERRUPTED
    return INCOMPLETE if result.failures else DONE


def _report(options: argparse.Namespace) -> int:
    from mint_rl.training.keypoint_benchmark import is_keypoint_benchmark
    from mint_rl.viz.benchmark_report import benchmark_report
    from mint_rl.viz.keypoint_benchmark_report import keypoint_benchmark_report

    out = None if options.out is None else Path(options.out)
    if is_keypoint_benchmark(Path(options.folder)):
        keypoint_benchmark_report(Path(options.folder), out)
        return DONE
    benchmark_report(Path(options.folder), out, videos=not options.no_videos)
    return DONE


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="the folder of a benchmark, finished or not")
    parser.add_argument("--out", help="another folder to write to (default: the benchmark's)")
    parser.add_argument("--no-videos", action="store_true", help="leave the videos out of the page")


VERBS = {
    "benchmark": Verb(
        "tasks × data × policies × encoders × training seeds: train, evaluate, compare",
        (
            "mint-rl benchmark --preset quick",
            "mint-rl benchmark --preset paper --jobs 16 --out runs/paper",
            "mint-rl benchmark --tasks MakeLine --data protocol randomised --policies mlp cnn:seeds=1",
            "mint-rl benchmark --tasks MoveToCorner --data human --human demos/corner.hdf5 --seeds 5",
            "mint-rl benchmark --preset paper --launcher submitit_slurm:partition=cpu,timeout_min=600",
        ),
        _benchmark,
        config="benchmark",
    ),
    "benchmark keypoints": Verb(
        "methods × data × training seeds: train keypoints, score them beside controls, compare",
        (
            "mint-rl benchmark keypoints",
            "mint-rl benchmark keypoints --preset paper --jobs 16 --out runs/keypoints-paper",
            "mint-rl benchmark keypoints --methods mint transporter:steps=300 --data bouncing --seeds 2",
            "mint-rl benchmark keypoints --methods mint mint:loss.sigma=7 --data magical --tasks MakeLine",
            "mint-rl benchmark keypoints --data CLEVRER/ --size 160x240 --also MINT_CLEVRER.pt --dynamics",
        ),
        _keypoints,
        config="keypoint_benchmark",
    ),
    "benchmark report": Verb(
        "write the report of a benchmark of policies or of keypoints again, from what is there",
        (
            "mint-rl benchmark report runs/benchmark",
            "mint-rl benchmark report runs/paper --out results/paper",
        ),
        _report,
        arguments=_report_arguments,
    ),
}
