"""Sources that can be looked at: files, folders, demonstrations, environments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mint_rl.data.bouncing import TEST_SEED, bouncing_video
from mint_rl.data.demonstrations import write_demonstrations
from mint_rl.envs.magical.recording import record_demonstrations
from mint_rl.errors import UserError
from mint_rl.viz.footage import Footage, open_footage
from mint_rl.viz.overlay import write_png
from mint_rl.viz.video import write_video

SHADES = (10, 90, 170, 250)
# A mask of CLEVRER's: 1,763 pixels of 320×480, rows 140 to 183, columns 61 to 107.
RLE = (
    "jVc0`0^95K3N3M2M3N2N2O1N101N2N101N1000000000000000000000000000000000000001N101N2N101N2N2N2N2N3L3N3LYSd3"
)


def shaded(shade: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), shade, np.uint8)


def only(source: str, **settings: object) -> Footage:
    (footage,) = open_footage(source, **settings)  # type: ignore[arg-type]
    return footage


def shades(footage: Footage) -> list[int]:
    """The frames' shades, to the nearest of `SHADES`."""
    means = [float(frame.mean()) for frame in footage.frames]
    return [min(SHADES, key=lambda shade: abs(shade - mean)) for mean in means]


def test_a_video_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [shaded(shade) for shade in SHADES], fps=5)
    footage = only(str(path))
    assert footage.fps == pytest.approx(5)
    assert footage.visible is None
    assert shades(footage) == list(SHADES)


def test_a_folder_of_images_and_one_of_videos(tmp_path: Path) -> None:
    for number, shade in enumerate(SHADES):
        write_png(tmp_path / "images" / f"{number}.png", shaded(shade))
        write_video(tmp_path / "videos" / f"{number}.mp4", [shaded(shade)] * 2)
    assert shades(only(str(tmp_path / "images"))) == list(SHADES)
    two = list(open_footage(str(tmp_path / "videos"), videos=2))
    assert [shades(footage) for footage in two] == [[SHADES[0]] * 2, [SHADES[1]] * 2]


def test_demonstrations(tmp_path: Path) -> None:
    demonstrations = record_demonstrations("MoveToRegion", 2, noise=0.1)
    write_demonstrations(tmp_path / "demos.hdf5", demonstrations)
    both = list(open_footage(str(tmp_path / "demos.hdf5"), videos=5))
    assert len(both) == 2
    for footage, demonstration in zip(both, demonstrations, strict=True):
        assert footage.fps == 8
        np.testing.assert_array_equal(np.stack(list(footage.frames)), demonstration.images)


def test_an_environment_of_magical_knows_what_is_in_sight() -> None:
    footage, other = open_footage("MoveToCorner-TestJitter", videos=2, seed=3)
    frames = list(footage.frames)
    assert footage.name == "magical/MoveToCorner-TestJitter-v0, seed 3"
    assert (len(frames), frames[0].shape, footage.fps) == (81, (384, 384, 3), 8)
    assert footage.visible is not None
    assert set(footage.visible.tolist()) == {2}
    assert not np.array_equal(frames[0], next(other.frames))


def test_any_gymnasium_environment() -> None:
    first, again = (only("CartPole-v1", seed=4) for _ in range(2))
    assert first.fps == 50
    frames = list(first.frames)
    assert frames[0].ndim == 3
    np.testing.assert_array_equal(frames, list(again.frames))


def test_clevrer_knows_what_is_in_sight(tmp_path: Path) -> None:
    write_video(tmp_path / "video_00007.mp4", [shaded(shade, 320, 480) for shade in SHADES[:3]])
    seen = {"mask": {"size": [320, 480], "counts": RLE}, "color": "red", "material": "metal", "shape": "cube"}
    frames = [{"frame_index": index, "objects": [seen] if index < 2 else []} for index in range(3)]
    (tmp_path / "proposal_00007.json").write_text(json.dumps({"frames": frames}))
    footage = only(str(tmp_path))
    assert footage.visible is not None
    assert footage.visible.tolist() == [1, 1, 0]
    assert shades(footage) == list(SHADES[:3])


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for source, message in (
        (str(tmp_path / "broken.mp4"), "broken.mp4' is damaged, cut short or no video"),
        (str(tmp_path / "missing.mp4"), "missing.mp4' does not exist"),
        (str(tmp_path), "broken.mp4' is damaged"),
        ("MoveToCornr", "'MoveToCornr' is no file, no folder and no known environment: .*MoveToCorner"),
        ("nothing/here", "'nothing/here' is no file, no folder and no known environment"),
    ):
        with pytest.raises(UserError, match=message):
            only(source)


def test_bouncing_objects_come_and_go_in_the_shape_of_the_encoders_images() -> None:
    footage = only("bouncing", seed=2, image_size=(40, 60))
    frames = list(footage.frames)
    assert (footage.name, footage.fps) == ("bouncing, test video 2", 25)
    assert (len(frames), frames[0].shape) == (128, (240, 360, 3))
    assert footage.visible is not None
    changes = np.diff(footage.visible)
    assert changes.max() > 0 > changes.min()
    again = bouncing_video(TEST_SEED + 2, (240, 360))
    np.testing.assert_array_equal(frames[64], again.frames[64])
