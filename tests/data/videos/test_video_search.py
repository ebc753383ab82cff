"""What a path stands for: folders, lists, image sequences and the layouts of data sets."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from make_videos import counting_frames, number_of, write_image

from mint_rl.data.videos.clips import BrokenVideo, Clip
from mint_rl.data.videos.config import VideoConfig
from mint_rl.data.videos.search import find_clips
from mint_rl.errors import UserError

FRAME = counting_frames(1)[0]


def _find(*data: Path, **settings: object) -> list[Clip]:
    return find_clips(VideoConfig(data=[str(path) for path in data], **settings))  # type: ignore[arg-type]


def _names(root: Path, clips: list[Clip]) -> list[str]:
    return [str(Path(clip.name).relative_to(root)) for clip in clips]


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_is_searched_with_its_subfolders_in_natural_order(tmp_path: Path) -> None:
    videos = ["a2.mp4", "a10.MOV", "b/1.mkv", "b/deep/er/x.avi", "c10/x.webm", "c9/x.gif"]
    _touch(*(tmp_path / name for name in videos))
    _touch(*(tmp_path / name for name in (".hidden.mp4", ".git/x.mp4", "notes.txt", "b/._1.mkv", "b/x.wav")))
    assert _names(tmp_path, _find(tmp_path)) == [
        "a2.mp4", "a10.MOV", "b/1.mkv", "b/deep/er/x.avi", "c9/x.gif", "c10/x.webm",
    ]  # fmt: skip


def test_every_folder_of_images_is_a_video(tmp_path: Path) -> None:
    for run in ("run2", "run10"):
        for number, frame in enumerate(counting_frames(12)):
            write_image(tmp_path / run / f"frame{number}.png", frame)
    _touch(tmp_path / "run2" / "notes.md")
    clips = _find(tmp_path)
    assert _names(tmp_path, clips) == ["run2", "run10"]
    frames = list(clips[0].read())
    assert number_of(np.stack([frame.load() for frame in frames])) == list(range(12))
    assert {frame.time for frame in frames} == {None}


def test_images_beside_videos_are_no_video(tmp_path: Path) -> None:
    _touch(tmp_path / "clip.mp4", tmp_path / "cover.jpg", tmp_path / "plots" / "a.png")
    assert _names(tmp_path, _find(tmp_path)) == ["clip.mp4", "plots"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    _touch(tmp_path / "elsewhere" / "clip.mp4")
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "data" / "link")
    os.symlink(tmp_path / "data", tmp_path / "data" / "circle")
    assert _names(tmp_path, _find(tmp_path / "data")) == ["data/link/clip.mp4"]


def test_a_list_names_paths_beside_it(tmp_path: Path) -> None:
    _touch(tmp_path / "sub" / "a.mp4", tmp_path / "folder" / "b.mp4", tmp_path / "far.mp4")
    (tmp_path / "sub" / "list.txt").write_text(
        f"# chosen\na.mp4\n\n../folder\n{tmp_path}/far.mp4\ngone.mp4\n"
    )
    clips = _find(tmp_path / "sub" / "list.txt")
    assert [Path(clip.name).name for clip in clips] == ["a.mp4", "b.mp4", "far.mp4", "gone.mp4"]
    with pytest.raises(BrokenVideo, match=r"does not exist, but '.*list.txt' lists it"):
        next(clips[3].read())


def test_mime_takes_the_colour_camera(tmp_path: Path) -> None:
    for demo in ("2/8", "10/9", "10/10"):
        _touch(
            *(
                tmp_path / demo / name
                for name in ("hd_kinect_rgb.mp4", "rd_kinect_rgb.mp4", "joint_angles.txt")
            )
        )
    expected = [f"{demo}/hd_kinect_rgb.mp4" for demo in ("2/8", "10/9", "10/10")]
    assert _names(tmp_path, _find(tmp_path)) == expected
    assert _names(tmp_path, _find(tmp_path, format="mime")) == expected
    assert len(_find(tmp_path, format="files")) == 6


def test_simitate_takes_the_colour_images_by_their_time(tmp_path: Path) -> None:
    colour = "_kinect2_qhd_image_color_rect_compressed"
    sequence = tmp_path / "basic" / "person1" / "seq_2"
    for number, time in enumerate(("1549455566.9", "1549455566.95", "1549455567.1")):
        write_image(sequence / colour / f"{time}.jpg", counting_frames(1, start=4 * number)[0], quality=95)
    _touch(sequence / "_kinect2_qhd_image_depth_rect_compressed" / "1549455566.9.png")
    (clip,) = _find(tmp_path)
    assert Path(clip.name) == sequence / colour
    frames = list(clip.read())
    assert number_of(np.stack([frame.load() for frame in frames])) == [0, 4, 8]
    assert [frame.time for frame in frames] == pytest.approx([1549455566.9, 1549455566.95, 1549455567.1])


def test_clevrer_takes_its_own_videos(tmp_path: Path) -> None:
    _touch(
        tmp_path / "video_00000-01000" / "video_00002.mp4",
        tmp_path / "video_00000-01000" / "video_00010.mp4",
        tmp_path / "preview.mp4",
    )
    assert [Path(clip.name).name for clip in _find(tmp_path, format="clevrer")] == [
        "video_00002.mp4", "video_00010.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("nowhere", {}, "'.*nowhere' does not exist: give videos, folders"),
        ("nowhere.hdf5", {}, "demonstration file '.*nowhere.hdf5' does not exist"),
        ("empty", {}, "there is no video in '.*empty': videos end in .mp4,"),
        ("empty", {"format": "mime"}, "no video in the layout 'mime' in"),
        ("empty", {"format": "lerobot"}, "no video in the layout 'lerobot' in"),
        ("one.png", {}, "'.*one.png' is one image: give the folder"),
        ("talk.wav", {}, "'.*talk.wav' is no video by its name: .mp4,"),
        ("nothing.txt", {}, "the list '.*nothing.txt' is empty"),
        ("binary.txt", {}, "the list '.*binary.txt' cannot be read as text"),
        ("lists.txt", {}, "the list '.*lists.txt' names the list '.*nothing.txt'"),
    ],
)
def test_what_holds_no_video_is_said(
    tmp_path: Path, name: str, settings: dict[str, object], words: str
) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    _touch(tmp_path / "one.png", tmp_path / "talk.wav", tmp_path / "nothing.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "lists.txt").write_text("nothing.txt")
    with pytest.raises(UserError, match=words):
        _find(tmp_path / name, **settings)
