"""Learn keypoints of an environment that is not MAGICAL, wrap it with them, and look.

    python examples/any_environment.py acrobot
    python examples/any_environment.py lunar-lander --out runs/lander

Neither needs a download: gymnasium draws both with pygame (`pip install pygame box2d`), without a display.
At the end, episodes of random actions are played, drawn, and counted: does a keypoint lie on what moves?
`mint-rl pretrain --env <id>` is the first half from the command line, for any environment that renders or
observes pictures.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mint_rl import KeypointObs
from mint_rl.resize import resize_frames
from mint_rl.training.pretrain import pretrain
from mint_rl.training.pretrain_config import PretrainConfig
from mint_rl.viz.overlay import contact_sheet, draw_keypoints, write_png
from mint_rl.viz.report import pretrain_report

# What worked, by looking at the overlays; docs/any_environment.md says what to try elsewhere.
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "acrobot": ("Acrobot-v1", {"num_keypoints": 10}),
    # Its colours are what tells the lander from the ground, so frames are not made black and white.
    "lunar-lander": ("LunarLander-v3", {"num_keypoints": 12, "preprocessing": "none"}),
}


def main(argv: Sequence[str] | None = None) -> Path:
    """Run the example; returns the picture that it drew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--steps", type=int, default=500, help="of pretraining: half a minute (default 500)")
    parser.add_argument("--frames", type=int, default=2000, help="to learn from (default 2000)")
    parser.add_argument("--look", type=int, default=400, help="steps of new episodes (default 400)")
    parser.add_argument("--out", type=Path, help="run folder (default runs/<recipe>)")
    options = parser.parse_args(argv)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame needs no display to draw

    name, settings = RECIPES[options.recipe]
    folder = options.out or Path("runs", options.recipe)
    config = PretrainConfig(
        env=name, size="96x96", frames=options.frames, steps=options.steps, out=str(folder), overwrite=True,
        **settings,
    )  # fmt: skip
    pretrain_report(pretrain(config))

    env = KeypointObs(gym.make(name, render_mode="rgb_array"), encoder=folder, source="render")
    env.action_space.seed(1)
    pictures, on_what_moves = [], []
    before: NDArray[np.uint8] | None = None
    for step in range(options.look):
        if before is None:
            keypoints, _ = env.reset(seed=1000 + step)
        picture = resize_frames(np.asarray(env.render())[None], (96, 96))[0]
        if step % max(1, options.look // 8) == 0:
            pictures.append(draw_keypoints(picture, keypoints, labels=True))
        if before is not None and (moving := changed(before, picture)).any():
            on_what_moves.append(touches(keypoints, moving))
        keypoints, _, terminated, truncated, _ = env.step(env.action_space.sample())
        before = None if terminated or truncated else picture
    env.close()
    sheet = write_png(folder / "episodes.png", contact_sheet(pictures[:8]))
    print(f"observations are now {env.observation_space.shape}: '{sheet}' shows them")
    share = f"{np.mean(on_what_moves):.0%} of {len(on_what_moves)}" if on_what_moves else "none of 0"
    print(f"an active keypoint lies on what moves in {share} pictures with movement")
    return sheet


def changed(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where two pictures differ by more than a tenth of the scale: what moved, before and after."""
    difference: NDArray[np.int64] = np.abs(now.astype(np.int64) - before).max(axis=2)
    return difference > 25


def touches(keypoints: NDArray[np.float32], moving: NDArray[np.bool_], reach: int = 3) -> bool:
    """Whether an active keypoint lies within `reach` pixels of it."""
    height, width = moving.shape
    places = keypoints[keypoints[:, 2] > 0.5, :2] * (width - 1, height - 1)
    rows, columns = np.nonzero(moving)
    distances = np.abs(places[:, None] - np.stack([columns, rows], axis=1)).max(axis=2)
    return bool((distances <= reach).any())


if __name__ == "__main__":
    main()
