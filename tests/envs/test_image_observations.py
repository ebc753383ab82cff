"""Image layouts: what shapes mean, frames in one order, and a sentence for every wrong image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from mint_rl.envs.image_observations import (
    check_channels,
    check_image,
    frames_of,
    image_layout,
    image_space,
    joined,
)
from mint_rl.errors import UserError


def _box(*shape: int, dtype: type = np.uint8, high: float = 255) -> spaces.Box:
    return spaces.Box(0, high, shape, dtype)


@pytest.mark.parametrize(
    ("shape", "axes", "size", "channels", "frames"),
    [
        ((40, 60), "HW", (40, 60), 1, None),
        ((40, 60, 3), "HWC", (40, 60), 3, None),
        ((40, 60, 1), "HWC", (40, 60), 1, None),
        ((3, 40, 60), "CHW", (40, 60), 3, None),
        ((1, 40, 60), "CHW", (40, 60), 1, None),
        ((4, 84, 84), "THW", (84, 84), 1, 4),
        ((4, 40, 60, 3), "THWC", (40, 60), 3, 4),
        ((4, 3, 40, 60), "TCHW", (40, 60), 3, 4),
        ((2, 40, 60, 1), "THWC", (40, 60), 1, 2),
    ],
)
def test_the_shape_tells_the_axes(
    shape: tuple[int, ...], axes: str, size: tuple[int, int], channels: int, frames: int | None
) -> None:
    layout = image_layout(_box(*shape), "X")
    assert (layout.axes, layout.size, layout.channels, layout.frames) == (axes, size, channels, frames)
    assert image_layout(_box(*shape), "X", axes) == layout


@pytest.mark.parametrize("axes", ["HW", "HWC", "CHW", "WHC", "THW", "HWT", "THWC", "CTWH", "HWCT"])
@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_frames_come_in_one_order(axes: str, tensors: bool, one_by_one: bool) -> None:
    sides = {"T": 4, "H": 20, "W": 30, "C": 3}
    shape = tuple(sides[axis] for axis in axes)
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    layout = image_layout(_box(*shape), "X", axes)
    given = torch.from_numpy(images) if tensors else images
    frames = frames_of(list(given) if one_by_one else given, layout, 3)
    assert isinstance(frames, torch.Tensor) == tensors
    frames = np.asarray(frames)
    count = sides["T"] if "T" in axes else 1
    assert frames.shape == (2 * count, 20, 30, 3)
    assert frames.dtype == np.uint8
    for n, t, row, column, colour in [(0, 0, 3, 7, 0), (1, 3, 19, 29, 2), (1, 1, 0, 11, 1)]:
        place = {"T": t, "H": row, "W": column, "C": colour}
        if "T" in axes or t == 0:
            wanted = images[(n, *(place[axis] for axis in axes))]
            assert frames[n * count + (t if "T" in axes else 0), row, column, colour] == wanted


def test_grey_images_suit_every_encoder_but_colour_only_its_own() -> None:
    grey, colour = image_layout(_box(40, 60), "X"), image_layout(_box(40, 60, 3), "X")
    image = np.arange(2400, dtype=np.uint8).reshape(1, 40, 60)
    assert frames_of(image, grey, 1).shape == (1, 40, 60, 1)
    assert (frames_of(image, grey, 3) == image[..., None]).all()
    check_channels(grey, 3)
    check_channels(colour, 3)
    with pytest.raises(UserError, match=r"reads images of 1 channel, but 'X' gives colour .*Grayscale"):
        check_channels(colour, 1)


@pytest.mark.parametrize(
    ("space", "axes", "words"),
    [
        (
            spaces.Discrete(3),
            None,
            r"'X' gives observations of type Discrete: take its pictures instead.*ren",
        ),
        (_box(4, dtype=np.float32), None, r"float32 arrays of shape \(4,\): take its pictures"),
        (_box(128), None, r"uint8 arrays of shape \(128,\): take its pictures"),
        (
            _box(40, 60, 3, dtype=np.float32, high=1),
            None,
            r"from 0 to 255, but .*float32.*: convert it first",
        ),
        (_box(40, 60, 3, dtype=np.int64), None, "int64"),
        (_box(40, 60, 4), None, r"\(40, 60, 4\), which is neither grey .* colour .*layout='HWT'"),
        (_box(40, 60, 12), None, "neither grey"),
        (_box(2, 40, 60, 4), None, "neither grey"),
        (_box(1, 2, 40, 60, 3), None, "take its pictures"),
        (_box(40, 60, 4), "HWC", "images of 4 channels, but an image is grey"),
        (_box(0, 60, 3), None, "a side is 0"),
        (_box(40, 60, 3), "HWQ", "layout is 'HWQ'; it must name each axis once"),
        (_box(40, 60, 3), "HHW", "each axis once"),
        (_box(40, 60, 3), "TC", "each axis once"),
        (_box(40, 60, 3), "HW", "names 2 axes, but 'X' gives"),
    ],
)
def test_what_holds_no_image_is_one_sentence(
    space: spaces.Space[object], axes: str | None, words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        image_layout(space, "X", axes)
    assert "\n" not in str(caught.value)


def test_the_image_of_a_dict_is_named() -> None:
    camera = _box(40, 60, 3)
    space = spaces.Dict({"camera": camera, "arm": _box(2, dtype=np.float32)})
    assert image_space(space, "camera", "X") == camera
    assert image_space(camera, None, "X") == camera
    with pytest.raises(
        UserError, match="Dict of 'arm', 'camera': say which entry is the image, key='camera'"
    ):
        image_space(space, None, "X")
    with pytest.raises(UserError, match="no entry 'eye' in its observations; it has: 'arm', 'camera'"):
        image_space(space, "eye", "X")
    with pytest.raises(UserError, match=r"no entry of .* is a uint8 image \('arm'\): take its pictures"):
        image_space(spaces.Dict({"arm": space["arm"]}), None, "X")
    with pytest.raises(UserError, match="leave key out"):
        image_space(camera, "camera", "X")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((40, 61, 3), np.uint8), r"shape \(40, 61, 3\) instead of \(40, 60, 3\): images must keep"),
        (np.zeros((40, 60, 4), np.uint8), r"\(40, 60, 4\) instead of"),
        (np.zeros((40, 60), np.uint8), r"\(40, 60\) instead of"),
        (np.full((40, 60, 3), np.nan), "a float64 image that holds NaN or infinite values; images are uint8"),
        (np.full((40, 60, 3), np.inf, np.float32), "NaN or infinite"),
        (np.full((40, 60, 3), 300.0), "a float64 image with values from 300 to 300"),
        (np.full((40, 60, 3), -1, np.int64), "a int64 image with values from -1 to -1"),
        (np.full((40, 60, 3), 0.5, np.float32), r"float32 .*convert it there, \(255 \* image\).astype"),
        (
            np.full((40, 60, 3), 200.0, np.float32),
            r"although its observation space says uint8.*, image.astype",
        ),
        (torch.full((40, 60, 3), 0.5), "a float32 image although"),
        (None, r"'X' gave None where an image of shape \(40, 60, 3\) should be"),
        ([[1]], "an observation of type list"),
        (np.uint8(7), "an observation of type uint8"),
        ({}, "an observation of type dict"),
    ],
)
def test_wrong_images_are_one_sentence(image: object, words: str) -> None:
    layout = image_layout(_box(40, 60, 3), "X")
    with pytest.raises(UserError, match=words) as caught:
        check_image(image, layout)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=words):
        frames_of([image], layout, 3)
    if isinstance(image, np.ndarray | torch.Tensor):
        with pytest.raises(UserError, match=words):
            frames_of(image[None], layout, 3)


def test_parts_are_joined_as_what_they_are() -> None:
    a, b = np.zeros((1, 2)), np.ones((2, 2))
    assert joined([a]) is a
    np.testing.assert_array_equal(joined([a, b]), [[0, 0], [1, 1], [1, 1]])
    assert joined([torch.from_numpy(a), torch.from_numpy(b)]).shape == (3, 2)
