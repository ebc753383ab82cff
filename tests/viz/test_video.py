"""Videos hold the frames that were given, in order."""

from pathlib import Path

import numpy as np
import pytest

from mint_rl.errors import UserError
from mint_rl.viz.video import write_video


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_frames_come_back_in_order_and_colour(tmp_path: Path, suffix: str) -> None:
    av = pytest.importorskip("av")
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    frames = [np.full((64, 96, 3), colour, dtype=np.uint8) for colour in colours]
    path = write_video(tmp_path / f"colours.{suffix}", frames, fps=8)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 8
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert [frame.shape for frame in decoded] == [(64, 96, 3)] * 3
    for frame, colour in zip(decoded, colours, strict=True):
        assert np.abs(frame.mean(axis=(0, 1)) - colour).max() < 12


def test_no_frames_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no frames"):
        write_video(tmp_path / "none.mp4", [])
    assert list(tmp_path.iterdir()) == []
