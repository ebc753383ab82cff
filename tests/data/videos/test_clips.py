"""Videos and images decode to RGB in order, and what is wrong with one is said."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from make_videos import counting_frames, number_of, write_clip, write_image

from mint_rl.data.videos.clips import (
    BrokenVideo,
    Frame,
    at_rate,
    image_sequence,
    load_image,
    natural,
    read_video,
    sampled,
)
from mint_rl.errors import UserError


def _decode(path: Path, **part: float) -> np.ndarray:
    return np.stack([frame.load() for frame in read_video(path, **part)])


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".webm", ".gif"])
def test_every_format_gives_its_frames_in_order_and_colour(tmp_path: Path, suffix: str) -> None:
    frames = counting_frames(9)
    decoded = _decode(write_clip(tmp_path / f"clip{suffix}", frames))
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8
    if suffix == ".gif":  # eight levels of red
        assert (np.diff(decoded[:, 5, 5, 0].astype(int)) >= 0).all()
        assert np.abs(decoded[:, 5, -5].astype(int) - (0, 0, 200)).max() < 60
    else:
        assert number_of(decoded) == list(range(9))
        assert np.abs(decoded[:, 5, -5].astype(int) - (0, 0, 200)).max() < 8


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("clip.avi", "rawvideo", "bgr24"),
        ("clip.mov", "rawvideo", "rgb24"),
        ("clip.mkv", "ffv1", "bgra"),
        ("clip.mkv", "ffv1", "yuv420p10le"),
    ],
)
def test_channel_orders_alpha_and_depth_give_the_same_colours(
    tmp_path: Path, name: str, codec: str, pixels: str
) -> None:
    frames = counting_frames(3)
    decoded = _decode(write_clip(tmp_path / name, frames, codec=codec, pixels=pixels))
    assert np.abs(decoded[:, 6:18, 4:12].astype(int) - frames[:, 6:18, 4:12]).max() <= 4


@pytest.mark.parametrize("pixels", ["gray", "gray16le"])
def test_grey_videos_have_three_equal_channels(tmp_path: Path, pixels: str) -> None:
    grey = np.repeat(counting_frames(3)[..., :1], 3, axis=3)
    decoded = _decode(write_clip(tmp_path / "clip.mkv", grey, codec="ffv1", pixels=pixels))
    assert (decoded[..., 0] == decoded[..., 1]).all()
    assert (decoded[..., 0] == decoded[..., 2]).all()
    # Grey may be stored in a video's own range of levels; it stays in order.
    assert (np.diff(decoded[:, 5, 5, 0].astype(int)) > 0).all()


def test_times_are_seconds_and_a_part_is_cut_by_them(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", counting_frames(12), fps=10)
    times = [frame.time for frame in read_video(path)]
    assert times == pytest.approx(np.arange(12) / 10)
    assert number_of(_decode(path, start=0.45, stop=0.85)) == [5, 6, 7, 8]
    assert number_of(_decode(path, start=0.0, stop=0.25)) == [0, 1, 2]


def test_a_video_that_lies_on_its_side_is_put_upright(tmp_path: Path) -> None:
    frames = counting_frames(3)
    path = write_clip(tmp_path / "clip.mp4", frames)
    content = path.read_bytes()
    # The display matrix in the track header: 16.16 fixed point, here a quarter-turn.
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 24 << 16, 0, 1 << 30)
    header = content.index(b"tkhd")
    place = content.index(upright, header)
    path.write_bytes(content[:place] + turned + content[place + len(turned) :])
    decoded = _decode(path)
    assert decoded.shape == (3, 32, 24, 3)
    # That matrix turns clockwise, as phones held upright need it: the left half comes to the top.
    assert np.abs(decoded.astype(int) - np.rot90(frames, -1, (1, 2))).max() < 8


def _damaged(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "clip.mp4"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 24, 32, 3), np.uint8)
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a video at all " * 100)
    elif kind == "cut":
        write_clip(path, noise)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "cut mkv":
        path = write_clip(tmp_path / "clip.mkv", noise)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "scrambled":
        write_clip(path, noise, movflags="faststart")
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 3000] = rng.bytes(3000)
        path.write_bytes(bytes(content))
    elif kind == "sound":
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate = 16000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "damaged, cut short or no video"),
        ("text", "damaged, cut short or no video"),
        ("cut", "damaged, cut short or no video"),
        ("cut mkv", "cut short|damaged"),
        ("scrambled", "damaged"),
        ("sound", "holds no video"),
        ("missing", "[Nn]o such file"),
    ],
)
def test_what_is_wrong_with_a_video_is_said(
    tmp_path: Path, kind: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BrokenVideo, match=words):
        _decode(_damaged(tmp_path, kind))
    assert capfd.readouterr() == ("", ""), "ffmpeg wrote to the terminal"


def test_without_pyav_the_user_learns_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'mint-rl\[video\]'"):
        next(read_video(tmp_path / "clip.mp4"))


def test_images_of_every_kind_become_rgb(tmp_path: Path) -> None:
    from PIL import Image

    colour = counting_frames(1)[0]
    grey = colour[..., 0]
    alpha = np.dstack([colour, np.full(grey.shape, 7, np.uint8)])
    rgb_of_grey = np.repeat(grey[..., None], 3, 2)
    cases = {
        "rgb.png": (colour, colour),
        "alpha.png": (alpha, colour),
        "grey.png": (grey, rgb_of_grey),
        "deep.png": (grey.astype(np.uint16) * 256 + 17, rgb_of_grey),
        "rgb.bmp": (colour, colour),
        "rgb.tif": (colour, colour),
    }
    for name, (image, expected) in cases.items():
        np.testing.assert_array_equal(load_image(write_image(tmp_path / name, image)), expected, name)
    palette = Image.fromarray(colour).quantize(8)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(load_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))
    jpeg = load_image(write_image(tmp_path / "rgb.jpg", colour, quality=95, subsampling=0))
    assert np.abs(jpeg.astype(int) - colour).max() < 12
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    turned = load_image(write_image(tmp_path / "turned.png", colour, exif=exif))
    np.testing.assert_array_equal(turned, np.rot90(colour, -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_damaged_image_is_said(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    path = write_image(tmp_path / f"frame7{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    clip = image_sequence(tmp_path, [path])
    with pytest.raises(BrokenVideo, match=r"'frame7.*damaged or no image"):
        next(clip.read()).load()
    assert capfd.readouterr() == ("", "")


def test_numbers_sort_as_numbers() -> None:
    names = ["b1", "a10", "a2", "a2b", "10", "9", "a"]
    assert sorted(names, key=lambda name: natural(Path(name))) == ["9", "10", "a", "a2", "a2b", "a10", "b1"]


def _at(times: list[float | None]) -> list[Frame]:
    return [Frame(time, lambda number=number: number) for number, time in enumerate(times)]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("times", "fps", "expected"),
    [
        ([t / 30 for t in range(10)], 10, [0, 3, 6, 9]),
        ([t / 30 for t in range(9)], 10, [0, 3, 6]),
        ([t / 10 for t in range(3)], 20, [0, 0, 1, 1, 2]),
        ([5 + t / 25 for t in range(6)], 10, [0, 2, 5]),  # by their own clock: 0, 80 and 200 ms
        ([0.0, 0.1, 0.5, 0.6], 10, [0, 1, 1, 1, 1, 2, 3]),  # a pause
        ([None, None, None], 10, [0, 1, 2]),
        ([], 10, []),
    ],
)
def test_a_frame_stands_until_the_next(times: list[float | None], fps: float, expected: list[int]) -> None:
    assert [frame.load() for frame in at_rate(iter(_at(times)), fps)] == expected


def test_stride_and_the_most_frames_come_after_the_rate() -> None:
    frames = _at([t / 30 for t in range(60)])
    assert [f.load() for f in sampled(iter(frames), 10, 2, 4)] == [0, 6, 12, 18]
    assert [f.load() for f in sampled(iter(frames), None, 7, None)] == list(range(0, 60, 7))
    assert [f.load() for f in sampled(iter(frames), None, 1, 5)] == [0, 1, 2, 3, 4]
