"""LeRobot data sets of both versions, with cameras in .mp4 and in parquet."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_videos import counting_frames, number_of, write_clip, write_json

from mint_rl.data.videos.clips import BrokenVideo, Clip
from mint_rl.data.videos.config import VideoConfig
from mint_rl.data.videos.lerobot import lerobot_clips
from mint_rl.data.videos.search import find_clips
from mint_rl.errors import UserError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

FPS = 10
LENGTHS = (5, 7, 4)
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
V2 = {
    "codebase_version": "v2.1",
    "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
}
V3 = {
    "codebase_version": "v3.0",
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}


def _frames(episode: int) -> np.ndarray:
    return counting_frames(LENGTHS[episode], start=5 * episode)


def _info(root: Path, version: dict[str, str], kind: str, cameras: tuple[str, ...] = (FRONT,)) -> None:
    shape = {"dtype": kind, "shape": [24, 32, 3], "names": ["height", "width", "channel"]}
    features: dict[str, Any] = {name: dict(shape) for name in cameras}
    features["observation.state"] = {"dtype": "float32", "shape": [6], "names": None}
    features["observation.images.depth"] = {**shape, "info": {"video.is_depth_map": True}}
    write_json(root / "meta" / "info.json", {**version, "fps": FPS, "chunks_size": 2, "features": features})


def _v2_episodes(root: Path) -> None:
    lines = [json.dumps({"episode_index": n, "tasks": ["push"], "length": LENGTHS[n]}) for n in range(3)]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(lines) + "\n")


def v2_videos(root: Path, cameras: tuple[str, ...] = (FRONT,)) -> Path:
    _info(root, V2, "video", cameras)
    _v2_episodes(root)
    for camera in cameras:
        for episode in range(3):
            folder = root / "videos" / f"chunk-{episode // 2:03d}" / camera
            write_clip(folder / f"episode_{episode:06d}.mp4", _frames(episode), fps=FPS)
    return root


def v3_videos(root: Path) -> Path:
    """Two episodes in the first file, one in the second."""
    _info(root, V3, "video")
    folder = root / "videos" / FRONT / "chunk-000"
    write_clip(folder / "file-000.mp4", np.concatenate([_frames(0), _frames(1)]), fps=FPS)
    write_clip(folder / "file-001.mp4", _frames(2), fps=FPS)
    _v3_episodes(root, {
        f"videos/{FRONT}/chunk_index": [0, 0, 0],
        f"videos/{FRONT}/file_index": [0, 0, 1],
        f"videos/{FRONT}/from_timestamp": [0.0, 0.5, 0.0],
        f"videos/{FRONT}/to_timestamp": [0.5, 1.2, 0.4],
        f"stats/{FRONT}/mean": [[[0.1]]] * 3,
    })  # fmt: skip
    return root


def _v3_episodes(root: Path, columns: dict[str, list[Any]]) -> None:
    table = {"episode_index": [0, 1, 2], "length": list(LENGTHS), "tasks": [["push"]] * 3, **columns}
    path = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(table), path)


def _write_images(path: Path, episodes: tuple[int, ...]) -> None:
    from PIL import Image

    images, indices = [], []
    for episode in episodes:
        for number, frame in enumerate(_frames(episode)):
            stream = io.BytesIO()
            Image.fromarray(frame).save(stream, "PNG")
            images.append({"bytes": stream.getvalue(), "path": f"frame-{number:06d}.png"})
            indices.append(episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table({FRONT: images, "episode_index": indices, "timestamp": [0.0] * len(images)})
    parquet.write_table(table, path, row_group_size=4)


def v2_images(root: Path) -> Path:
    _info(root, V2, "image")
    _v2_episodes(root)
    for episode in range(3):
        path = root / "data" / f"chunk-{episode // 2:03d}" / f"episode_{episode:06d}.parquet"
        _write_images(path, (episode,))
    return root


def v3_images(root: Path) -> Path:
    _info(root, V3, "image")
    _write_images(root / "data" / "chunk-000" / "file-000.parquet", (0, 1))
    _write_images(root / "data" / "chunk-000" / "file-001.parquet", (2,))
    _v3_episodes(root, {"data/chunk_index": [0, 0, 0], "data/file_index": [0, 0, 1]})
    return root


def _counts(clip: Clip) -> list[int]:
    return number_of(np.stack([frame.load() for frame in clip.read()]))


@pytest.mark.parametrize("make", [v2_videos, v3_videos, v2_images, v3_images])
def test_every_episode_has_its_own_frames(tmp_path: Path, make: Any) -> None:
    clips = lerobot_clips(make(tmp_path))
    assert [_counts(clip) for clip in clips] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11], [10, 11, 12, 13]]
    assert len({clip.name for clip in clips}) == 3
    assert len({(clip.files, clip.part) for clip in clips}) == 3, "episodes would share a place in the cache"
    times = [frame.time for frame in clips[1].read()]
    assert np.diff(times) == pytest.approx(1 / FPS)  # type: ignore[arg-type]


def test_a_data_set_is_recognised_anywhere_below_a_folder(tmp_path: Path) -> None:
    v2_videos(tmp_path / "b")
    v3_videos(tmp_path / "a" / "nested")
    write_clip(tmp_path / "other.mp4", counting_frames(3))
    clips = find_clips(VideoConfig(data=[str(tmp_path)]))
    assert len(clips) == 1 + 3 + 3
    assert len(find_clips(VideoConfig(data=[str(tmp_path)], format="lerobot"))) == 6
    assert len(find_clips(VideoConfig(data=[str(tmp_path / "b")]))) == 3


def test_the_camera_is_chosen_by_name_or_its_last_word(tmp_path: Path) -> None:
    v2_videos(tmp_path, (WRIST, FRONT))
    said: list[str] = []
    assert WRIST in lerobot_clips(tmp_path, None, said.append)[0].name
    assert said == [f"'{tmp_path}' has the cameras {WRIST}, {FRONT}: '{WRIST}' is taken; --camera chooses"]
    for camera in (FRONT, "front"):
        assert FRONT in lerobot_clips(tmp_path, camera, said.append)[0].name
    assert len(said) == 1
    with pytest.raises(UserError, match=r"unknown camera of '.*' 'frnt'.*known: .*wrist, .*front"):
        lerobot_clips(tmp_path, "frnt")


def test_an_episode_with_too_few_frames_is_broken(tmp_path: Path) -> None:
    v3_videos(tmp_path)
    folder = tmp_path / "videos" / FRONT / "chunk-000"
    write_clip(folder / "file-000.mp4", np.concatenate([_frames(0), _frames(1)])[:9], fps=FPS)
    first, second, _ = lerobot_clips(tmp_path)
    assert _counts(first) == [0, 1, 2, 3, 4]
    with pytest.raises(BrokenVideo, match="has 4 of the 7 frames that its metadata promise"):
        _counts(second)


def test_a_damaged_data_file_breaks_its_episodes_alone(tmp_path: Path) -> None:
    v2_images(tmp_path)
    path = tmp_path / "data" / "chunk-000" / "episode_000001.parquet"
    path.write_bytes(path.read_bytes()[:50])
    first, second, third = lerobot_clips(tmp_path)
    assert (len(_counts(first)), len(_counts(third))) == (5, 4)
    with pytest.raises(BrokenVideo, match=r"episode_000001.parquet' cannot be read as parquet"):
        _counts(second)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"codebase_version": "v1.6"}, "is of version v1.6; v2.x and v3.x can be read"),
        ({"features": {"action": {"dtype": "float32"}}}, "has no camera"),
        ({"features": None}, "lacks features or fps"),
        ({"video_path": "../../{video_key}/{episode_index}.mp4"}, "which leaves the data set"),
        ({"video_path": "{nothing}.mp4"}, "lack or garble 'nothing'"),
    ],
)
def test_metadata_that_cannot_be_used_are_said(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    v2_videos(tmp_path)
    path = tmp_path / "meta" / "info.json"
    write_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(UserError, match=words):
        lerobot_clips(tmp_path)


def test_missing_and_broken_metadata_are_said(tmp_path: Path) -> None:
    v2_videos(tmp_path / "two")
    (tmp_path / "two" / "meta" / "episodes.jsonl").write_text('{"episode_index": 0}\n')
    with pytest.raises(UserError, match="lack or garble 'length'"):
        lerobot_clips(tmp_path / "two")
    (tmp_path / "two" / "meta" / "episodes.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"episodes\.jsonl' cannot be read as lines of JSON"):
        lerobot_clips(tmp_path / "two")
    (tmp_path / "two" / "meta" / "info.json").write_text("{")
    with pytest.raises(UserError, match=r"info\.json' cannot be read as JSON"):
        lerobot_clips(tmp_path / "two")
    v3_videos(tmp_path / "three")
    (tmp_path / "three" / "meta" / "episodes" / "chunk-000" / "file-000.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"file-000\.parquet' cannot be read as parquet"):
        lerobot_clips(tmp_path / "three")
    (tmp_path / "three" / "meta" / "episodes" / "chunk-000" / "file-000.parquet").unlink()
    with pytest.raises(UserError, match=r"has no meta/episodes"):
        lerobot_clips(tmp_path / "three")


def test_without_pyarrow_the_user_learns_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    v3_videos(tmp_path / "three")
    v2_videos(tmp_path / "two")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'mint-rl\[lerobot\]'"):
        lerobot_clips(tmp_path / "three")
    assert len(lerobot_clips(tmp_path / "two")) == 3  # it has nothing in parquet that is needed
