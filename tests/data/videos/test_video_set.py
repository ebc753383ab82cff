"""Sets of videos: one size, a cache that is trusted only for what it holds, and broken videos named."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_videos import counting_frames, number_of, write_clip, write_image

from mint_rl.data.demonstrations import Demonstration, DemonstrationSet, write_demonstrations
from mint_rl.data.videos import VideoConfig, VideoSet, open_videos
from mint_rl.data.videos import cache as cache_module
from mint_rl.data.videos.stored_array import StoredArray
from mint_rl.data.videos.video_set import default_size
from mint_rl.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three videos of 6, 7 and 8 frames, 24×32, lossless."""
    for number in range(3):
        frames = counting_frames(6 + number, start=2 * number)
        write_clip(tmp_path / "clips" / f"clip{number}.avi", frames)
    return tmp_path / "clips"


def _open(data: Path, **settings: object) -> tuple[VideoSet, list[str]]:
    said: list[str] = []
    videos = open_videos(VideoConfig(data=[str(data)], **settings), said.append)  # type: ignore[arg-type]
    return videos, said


def _decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips that are decoded from now on."""
    names: list[str] = []
    original = cache_module.Reading.__iter__

    def reading(self: cache_module.Reading):  # type: ignore[no-untyped-def]
        names.append(Path(self.clip.name).name)
        return original(self)

    monkeypatch.setattr(cache_module.Reading, "__iter__", reading)
    return names


def test_videos_are_read_into_the_users_cache(clips: Path, tmp_path: Path) -> None:
    videos, said = _open(clips)
    assert [number_of(np.asarray(video)) for video in videos] == [
        list(range(6)), list(range(2, 9)), list(range(4, 12)),
    ]  # fmt: skip
    assert (len(videos), videos.num_frames, videos.size, said) == (3, 21, (24, 32), [])
    assert [Path(name).name for name in videos.names] == ["clip0.avi", "clip1.avi", "clip2.avi"]
    kept = sorted((tmp_path / "user-cache" / "mint-rl" / "videos").iterdir())
    assert [path.suffix for path in kept] == [".json", ".npy"] * 3
    assert isinstance(videos[0], StoredArray)


def test_what_is_cached_is_not_decoded_again(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = _open(clips)
    decoded = _decoded(monkeypatch)
    again, _ = _open(clips)
    assert decoded == []
    assert again.fingerprint() == first.fingerprint()


@pytest.mark.parametrize(
    "settings", [{"size": "12x16"}, {"stride": 2}, {"fps": 5.0}, {"max_frames": 3}], ids=str
)
def test_frames_of_other_settings_are_made_anew_beside_them(
    clips: Path, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = _open(clips)
    decoded = _decoded(monkeypatch)
    other, _ = _open(clips, **settings)
    assert len(decoded) == 3
    assert other.fingerprint() != plain.fingerprint()
    frames = np.asarray(plain[2])
    expected = {
        "size": frames.reshape(-1, 12, 2, 16, 2, 3).mean((2, 4)).round().astype(np.uint8),
        "stride": frames[::2],
        "fps": frames[::2],  # of 10
        "max_frames": frames[:3],
    }[next(iter(settings))]
    np.testing.assert_array_equal(np.asarray(other[2]), expected)
    assert _open(clips)[0].fingerprint() == plain.fingerprint()
    assert len(decoded) == 3, "the first frames were gone"


def test_a_file_that_has_changed_replaces_its_frames(clips: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    _open(clips, cache=str(cache))
    before = set(cache.iterdir())
    (beside := next(cache.glob("*.npy"))).with_name(f"{beside.stem}-entropy.npy").write_bytes(b"more")
    write_clip(clips / "clip0.avi", counting_frames(4, start=9))
    write_clip(clips / "clip1.avi", counting_frames(4, start=9))
    write_clip(clips / "clip2.avi", counting_frames(4, start=9))
    videos, _ = _open(clips, cache=str(cache))
    assert [number_of(np.asarray(video)) for video in videos] == [[9, 10, 11, 12]] * 3
    assert len(list(cache.iterdir())) == 6
    assert not before & set(cache.iterdir())


@pytest.mark.parametrize("damage", ["cut frames", "no description", "garbled description", "other size"])
def test_a_damaged_cache_is_rebuilt(clips: Path, tmp_path: Path, damage: str) -> None:
    expected, _ = _open(clips, cache=str(tmp_path / "cache"))
    for path in (tmp_path / "cache").iterdir():
        if path.suffix == ".npy" and damage == "cut frames":
            path.write_bytes(path.read_bytes()[:-100])
        elif path.suffix == ".npy" and damage == "other size":
            np.save(path, np.zeros((6, 5, 5, 3), np.uint8))
        elif path.suffix == ".json" and damage == "no description":
            path.unlink()
        elif path.suffix == ".json" and damage == "garbled description":
            path.write_text('{"original_size": 3}')
    videos, _ = _open(clips, cache=str(tmp_path / "cache"))
    assert videos.fingerprint() == expected.fingerprint()
    for video, other in zip(videos, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(video), np.asarray(other))


def test_broken_videos_are_named_and_counted(clips: Path) -> None:
    (clips / "clip1.avi").write_bytes(b"")
    write_clip(clips / "single.mp4", counting_frames(1))
    videos, said = _open(clips)
    assert len(videos) == 2
    assert list(videos.broken) == [str(clips / "clip1.avi"), str(clips / "single.mp4")]
    assert said == [
        f"warning: 2 of 4 videos are skipped: '{clips}/clip1.avi' is damaged, cut short or no video; "
        f"'{clips}/single.mp4' has one frame; a pair needs 2"
    ]
    with pytest.raises(UserError, match=r"the video '.*clip1.avi' is damaged.*--broken skip"):
        _open(clips, broken="fail")


def test_many_broken_videos_are_counted(clips: Path) -> None:
    for number in range(14):
        (clips / f"z{number}.mp4").write_bytes(b"no")
    _, said = _open(clips)
    assert said[0].startswith("warning: 14 of 17 videos are skipped: ")
    assert said[0].count("'") == 20
    assert said[0].endswith("; and 4 more")


def test_when_none_is_left_that_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of 1 videos can be used: '.*a.mp4' is damaged"):
        _open(tmp_path / "a.mp4")
    write_clip(tmp_path / "b.avi", counting_frames(6))
    with pytest.raises(UserError, match="has one frame left; a pair needs 2"):
        _open(tmp_path / "b.avi", stride=6)


def test_a_broken_image_breaks_its_sequence(tmp_path: Path) -> None:
    for number, frame in enumerate(counting_frames(4)):
        write_image(tmp_path / "run" / f"{number}.png", frame)
        write_image(tmp_path / "whole" / f"{number}.png", frame)
    (tmp_path / "run" / "2.png").write_bytes(b"no image")
    videos, said = _open(tmp_path)
    assert [Path(name).name for name in videos.names] == ["whole"]
    assert "run' holds the image '2.png', which is damaged or no image" in said[0]


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ((96, 96), (96, 96)), ((384, 384), (96, 96)), ((64, 64), (64, 64)), ((320, 480), (160, 240)),
        ((540, 960), (135, 240)), ((240, 640), (90, 240)), ((100, 200), (100, 200)), ((1920, 20), (240, 12)),
    ],
)  # fmt: skip
def test_sizes_where_none_is_asked_for(original: tuple[int, int], expected: tuple[int, int]) -> None:
    assert default_size(*original) == expected


def test_every_video_gets_the_size_of_the_first(tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "a.avi", counting_frames(3, (240, 320)))
    write_clip(tmp_path / "clips" / "b.avi", counting_frames(3, (48, 64)))
    write_clip(tmp_path / "clips" / "c.avi", counting_frames(3, (60, 60)))
    videos, said = _open(tmp_path / "clips")
    assert {tuple(video.shape[1:]) for video in videos} == {(180, 240, 3)}
    assert said == [
        f"frames are made 180x240, those of '{tmp_path}/clips/a.avi' being 240x320; --size chooses another",
        "warning: 1 of 3 videos have another shape than 180x240 and are stretched, for one "
        f"'{tmp_path}/clips/c.avi' of 60x60",
    ]
    assert _open(tmp_path / "clips")[1] == said, "a cached set says the same"
    assert _open(tmp_path / "clips", size="32")[0].size == (32, 32)


def test_mixed_frame_rates_are_said_and_can_be_brought_to_one(tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "a.avi", counting_frames(20), fps=20)
    write_clip(tmp_path / "clips" / "b.avi", counting_frames(10), fps=10)
    _, said = _open(tmp_path / "clips")
    assert said == [
        "warning: the videos have from 10 to 20 frames a second; --fps 10 would bring them to one rate"
    ]
    videos, said = _open(tmp_path / "clips", fps=10)
    assert said == []
    assert [number_of(np.asarray(video)) for video in videos] == [list(range(0, 20, 2)), list(range(10))]
    _, said = _open(tmp_path / "clips", fps=20)
    assert len(said) == 1
    assert "1 of 2 videos have fewer than 20 frames a second" in said[0]


def test_videos_are_chosen_evenly(tmp_path: Path) -> None:
    for task in range(3):
        for take in range(4):
            write_clip(tmp_path / f"task{task}" / f"{take}.avi", counting_frames(2))
    videos, _ = _open(tmp_path, max_videos=3)
    assert [str(Path(name).relative_to(tmp_path)) for name in videos.names] == [
        "task0/0.avi", "task1/2.avi", "task2/3.avi",
    ]  # fmt: skip


def test_demonstrations_stay_in_memory(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 20, 24, 3), np.uint8)
    actions = np.zeros(9, np.int64)
    demos = [Demonstration(frames, actions, actions, score=1.0) for frames in images]
    path = tmp_path / "demos.hdf5"
    write_demonstrations(path, DemonstrationSet("magical/MoveToCorner-Demo-v0", demos))
    videos, said = _open(path)
    np.testing.assert_array_equal(np.stack(list(videos)), images)
    assert said == []
    smaller, _ = _open(path, stride=4, size="15x18")
    assert [video.shape for video in smaller] == [(3, 15, 18, 3)] * 2
    assert sorted(tmp_path.iterdir()) == [path], "something was cached"
    assert _open(tmp_path)[0].fingerprint() == videos.fingerprint()


def test_a_full_disk_while_caching_leaves_nothing_half_written(clips: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, limits[1]))  # the first video takes 13,952 bytes
    try:
        with pytest.raises(UserError, match=r"cannot write to the cache folder '.*': its disk is full"):
            _open(clips, cache=str(tmp_path / "cache"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".json", ".npy"]
    assert len(_open(clips, cache=str(tmp_path / "cache"))[0]) == 3


def test_a_cache_that_cannot_be_written_is_said(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("precious")
    with pytest.raises(UserError, match=r"cannot write to the folder '.*taken': .*--cache"):
        _open(clips, cache=str(tmp_path / "taken"))


def test_processes_that_read_the_same_videos_do_no_harm(clips: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from mint_rl.data.videos import VideoConfig, open_videos\n"
        f"config = VideoConfig(data=[{str(clips)!r}], cache={str(tmp_path / 'cache')!r})\n"
        "print(open_videos(config).fingerprint())\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0], "failed, or imported torch"
    assert answers == {_open(clips, cache=str(tmp_path / "cache"))[0].fingerprint()}
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_frames_that_another_process_has_just_written_are_kept(clips: Path, tmp_path: Path) -> None:
    """A set that is being read loses nothing to a process that finds its cache half made."""
    videos, _ = _open(clips, cache=str(tmp_path / "cache"))
    expected = [np.array(video[:]) for video in videos]
    for path in (tmp_path / "cache").glob("*.json"):
        path.unlink()
    _open(clips, cache=str(tmp_path / "cache"))
    for video, frames in zip(videos, expected, strict=True):
        np.testing.assert_array_equal(video[:], frames)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "96*96"}, "'size' is height x width"),
        ({"size": "8x96"}, "'size' must be at least 12"),
        ({"size": ""}, "'size' is height x width"),
        ({"stride": 0}, "'stride' must be at least 1"),
        ({"max_frames": 1}, "'max_frames' must be at least 2"),
        ({"max_videos": 0}, "'max_videos' must be at least 1"),
        ({"fps": 0.0}, "'fps' must be above 0"),
        ({"fps": float("nan")}, "'fps' must be above 0"),
        ({"format": "clever"}, "unknown format 'clever' .did you mean 'clevrer'"),
        ({"broken": "ignore"}, "unknown answer to broken videos 'ignore'; known: skip, fail"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        VideoConfig(**settings)  # type: ignore[arg-type]


def test_sizes_are_read_as_people_write_them() -> None:
    for text, size in (
        ("96x128", (96, 128)),
        ("96 × 128", (96, 128)),
        ("96", (96, 96)),
        ("96,128", (96, 128)),
    ):
        assert VideoConfig(size=text).frame_size == size


def test_descriptions_are_readable(clips: Path, tmp_path: Path) -> None:
    _open(clips, cache=str(tmp_path / "cache"), size="12x16")
    (about,) = [
        content
        for path in (tmp_path / "cache").glob("*.json")
        if (content := json.loads(path.read_text()))["video"].endswith("clip0.avi")
    ]
    assert about["original_size"] == [24, 32]
    assert about["size"] == [12, 16]
    assert about["fps"] == pytest.approx(10)
    assert os.path.isabs(about["video"])
