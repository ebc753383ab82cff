"""Demonstrations as a person looks at them: a summary in words and a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mint_rl.data.demonstrations import Demonstration, DemonstrationSet, read_demonstrations
from mint_rl.data.summary import summary_text
from mint_rl.envs.magical.names import ACTION_NAMES
from mint_rl.viz.video import write_video

_SIDE = 384
# A video of more than a few minutes helps no one.
_EPISODES_SHOWN = 10


def show_demonstrations(
    file: str | Path, video: str | Path | None = None, say: Callable[[str], None] = print
) -> Path:
    """Print a summary of a demonstration file, write a video of its first ten episodes, return its path."""
    demonstrations = read_demonstrations(file)
    say(summary_text(demonstrations, ACTION_NAMES))
    target = Path(video) if video is not None else Path(file).with_suffix(".mp4")
    write_video(target, _pictures(demonstrations))
    shown = min(len(demonstrations), _EPISODES_SHOWN)
    say(f"{'video':<16}{target} ({shown} of {len(demonstrations)} demonstrations)")
    return target


def _pictures(demonstrations: DemonstrationSet) -> Iterator[NDArray[np.uint8]]:
    for number, demonstration in enumerate(demonstrations.demonstrations[:_EPISODES_SHOWN]):
        for step in range(len(demonstration)):
            yield _captioned(demonstration, number, step)


def _captioned(demonstration: Demonstration, number: int, step: int) -> NDArray[np.uint8]:
    """The frame above a line that names the episode and its action; a noisy step names both actions."""
    picture = cv2.resize(demonstration.images[step], (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
    label, done = demonstration.actions[step], demonstration.executed[step]
    caption = f"demo {number}  step {step + 1}/{len(demonstration)}  {ACTION_NAMES[label]}"
    if label != done:
        caption += f", but did {ACTION_NAMES[done]}"
    bar = np.full((24, _SIDE, 3), 255, dtype=np.uint8)
    cv2.putText(bar, caption, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate([np.asarray(picture, dtype=np.uint8), bar])
