"""What do videos cost before and while they are trained on, and does a training step ever wait for them?

    python benchmarks/video_input.py
    python benchmarks/video_input.py --sizes 96x96 320x480 --steps 30 --json video_input.json

Makes six clips of 480×320, 128 frames each, reads them into a cache at each size, computes the entropy, and
trains for some steps of ten pairs. Times are CPU time of one thread, but waiting, which is what the clock on
the wall shows between asking for a batch and having it. Memory is the most that the process of a size held.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl.data.videos import VideoConfig, open_videos
from mint_rl.files import write_text
from mint_rl.keypoints.gate import entropy_image
from mint_rl.keypoints.method import Clips
from mint_rl.training.prefetch import Prefetch
from mint_rl.training.pretrain_config import PretrainConfig
from mint_rl.training.pretrain_loop import evaluate_clips, new_method
from mint_rl.training.video_pairs import VideoPairs
from mint_rl.viz.video import write_video

CLIPS, FRAMES, HEIGHT, WIDTH = 6, 128, 320, 480
# Reading and entropy a frame, drawing a batch, a step; batches that were late and the share of the time that
# they took; what the cache holds and what the process held.
COLUMNS = (
    "size", "reading ms", "entropy ms", "drawing ms", "step s", "late", "waiting %", "disk MB", "memory MB",
)  # fmt: skip


def moving_squares(seed: int) -> NDArray[np.uint8]:
    """Five squares that wander over grey noise: (FRAMES, HEIGHT, WIDTH, 3)."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(30, (HEIGHT - 70, WIDTH - 70), (5, 2))
    steps = rng.uniform(-2, 2, (5, 2))
    colours = rng.integers(0, 256, (5, 3))
    ground = rng.normal(120, 3, (HEIGHT, WIDTH, 1)).astype(np.uint8).repeat(3, axis=2)
    frames = np.repeat(ground[None], FRAMES, axis=0)
    for frame in frames:
        for (y, x), colour in zip(places.astype(int), colours, strict=True):
            frame[y : y + 35, x : x + 35] = colour
        places = np.clip(places + steps, 0, (HEIGHT - 35, WIDTH - 35))
    return frames


def measure(clips: Path, cache: Path, size: str, steps: int) -> dict[str, Any]:
    """Read, prepare and train at one size."""
    torch.set_num_threads(1)
    entropy_image(torch.zeros(1, 12, 12, 3, dtype=torch.uint8))  # kernels are loaded at their first use
    start = time.process_time()
    videos = open_videos(VideoConfig(data=[str(clips)], size=size, cache=str(cache)), say=lambda line: None)
    decoded = time.process_time()
    config = PretrainConfig(steps=steps)
    pairs = VideoPairs(videos.videos, config.preprocessing, config.region)
    prepared = time.process_time()
    method = new_method(config, pairs.size)
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-3)
    method.train()

    def draw(step: int) -> Clips:
        rng = np.random.default_rng([0, step])
        return pairs.draw(config.pairs, rng, config.turns, config.shift, config.apart)

    for step in range(3):
        draw(step)
    drawn = time.process_time()
    with Prefetch(draw, range(steps)) as batches:
        for number, batch in enumerate(batches):
            if number == 1:  # the first step compiles and allocates
                began, clock = time.process_time(), time.perf_counter()
            _, terms = evaluate_clips(method, batch, config)
            optimiser.zero_grad()
            terms["total"].backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    ended = time.process_time()
    figures = (
        size,
        1e3 * (decoded - start) / videos.num_frames,
        1e3 * (prepared - decoded) / videos.num_frames,
        1e3 * (drawn - prepared) / 3,
        (ended - began) / (steps - 1),
        batches.waits,
        100 * batches.waited / (time.perf_counter() - clock),
        sum(path.stat().st_size for path in cache.iterdir()) / 1e6,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
    return dict(zip(COLUMNS, figures, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["96x96", "160x240", "320x480"])
    parser.add_argument("--steps", type=int, default=12, help="training steps at each size (12)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(CLIPS):
            write_video(Path(folder, f"clips/{seed}.mp4"), moving_squares(seed), fps=25)
        print(f"{CLIPS} clips of {FRAMES} frames {HEIGHT}x{WIDTH}; CPU time of one thread")
        print("".join(f"{name:>12}" for name in COLUMNS))
        for size in options.sizes:
            # A process each, so that memory is that size's own.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                job = (Path(folder, "clips"), Path(folder, f"cache-{size}"), size, options.steps)
                row = pool.apply(measure, job)
            rows.append(row)
            print(
                "".join(
                    f"{value:>12.3g}" if name != "size" else f"{value:>12}" for name, value in row.items()
                )
            )
    if options.json is not None:
        write_text(options.json, json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
