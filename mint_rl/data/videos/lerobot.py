"""LeRobotDataset v2.x and v3: the episodes of one camera, without LeRobot itself.

v2.x has a file an episode; v3 has many episodes in a file, and says in `meta/episodes` where each begins:

    meta/info.json                                     codebase_version, fps, features, path templates
    v2.x  meta/episodes.jsonl                          {"episode_index", "length", ...} a line
          data/chunk-000/episode_000000.parquet
          videos/chunk-000/<camera>/episode_000000.mp4
    v3    meta/episodes/chunk-000/file-000.parquet     a row an episode
          data/chunk-000/file-000.parquet
          videos/<camera>/chunk-000/file-000.mp4

A camera is a feature of type "video" (in .mp4) or "image" (PNG or JPEG bytes inside the data parquet).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from mint_rl.data.videos.clips import BrokenVideo, Clip, Frame, load_image, read_video
from mint_rl.errors import UserError, unknown_name

INFO_FILE = Path("meta", "info.json")
_V2_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_V2_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_V3_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_V3_VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"


def lerobot_clips(
    root: Path, camera: str | None = None, say: Callable[[str], None] = lambda line: None
) -> list[Clip]:
    """The episodes of a data set as one camera saw them; None is its first camera.

    Raises `UserError` for metadata that cannot be read, another version, or no such camera.
    """
    info = _info(root)
    camera = _camera(root, info, camera, say)
    stored = info["features"][camera]["dtype"]
    version = str(info["codebase_version"])
    try:
        episodes = _episodes_v3(root) if version.startswith("v3") else _episodes_v2(root, info)
        make = _video_clip if stored == "video" else _image_clip
        return [make(root, info, camera, episode) for episode in episodes]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"the metadata of the LeRobot data set '{root}' lack or garble {error}: copy or download it again"
        ) from error


def _info(root: Path) -> dict[str, Any]:
    path = root / INFO_FILE
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"'{path}' cannot be read as JSON: copy or download it again") from error
    if not isinstance(info, dict) or not isinstance(info.get("features"), dict) or not info.get("fps"):
        raise UserError(f"'{path}' is not that of a LeRobot data set: it lacks features or fps")
    version = str(info.get("codebase_version", "unknown"))
    if not re.match(r"v[23]\b", version):
        raise UserError(f"the LeRobot data set '{root}' is of version {version}; v2.x and v3.x can be read")
    return info


def _camera(root: Path, info: dict[str, Any], camera: str | None, say: Callable[[str], None]) -> str:
    cameras = [
        str(name)
        for name, feature in info["features"].items()
        if isinstance(feature, dict) and feature.get("dtype") in ("video", "image") and not _is_depth(feature)
    ]
    if not cameras:
        raise UserError(f"the LeRobot data set '{root}' has no camera: no feature is of type video or image")
    if camera is None:
        if len(cameras) > 1:
            say(f"'{root}' has the cameras {', '.join(cameras)}: '{cameras[0]}' is taken; --camera chooses")
        return cameras[0]
    # Cameras are known by the last part of their name as well, where one alone has it.
    short = [name for name in cameras if name.rpartition(".")[2] == camera]
    if camera not in cameras and len(short) != 1:
        raise unknown_name(f"camera of '{root}'", camera, cameras)
    return camera if camera in cameras else short[0]


def _is_depth(feature: dict[str, Any]) -> bool:
    details = {**(feature.get("video_info") or {}), **(feature.get("info") or {})}
    return bool(details.get("is_depth_map") or details.get("video.is_depth_map"))


def _episodes_v2(root: Path, info: dict[str, Any]) -> list[dict[str, Any]]:
    path = root / "meta" / "episodes.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        episodes = [json.loads(line) for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"'{path}' cannot be read as lines of JSON: copy or download it again") from error
    size = int(info.get("chunks_size") or 1000)
    for episode in episodes:
        episode["episode_chunk"] = int(episode["episode_index"]) // size
    return episodes


def _episodes_v3(root: Path) -> list[dict[str, Any]]:
    files = sorted((root / "meta" / "episodes").rglob("*.parquet"))
    if not files:
        raise UserError(f"the LeRobot data set '{root}' has no meta/episodes/*.parquet: download it again")
    episodes: list[dict[str, Any]] = []
    for path in files:
        # Statistics take most of a row and are not needed.
        names = [name for name in _parquet(path).schema_arrow.names if not name.startswith("stats/")]
        episodes += _parquet(path).read(columns=names).to_pylist()
    return sorted(episodes, key=lambda episode: int(episode["episode_index"]))


def _video_clip(root: Path, info: dict[str, Any], camera: str, episode: dict[str, Any]) -> Clip:
    number, length = int(episode["episode_index"]), int(episode["length"])
    if "episode_chunk" in episode:
        path = root / _filled(info.get("video_path") or _V2_VIDEO, episode, video_key=camera)
        start = stop = None
    else:
        part = {
            name: episode[f"videos/{camera}/{name}"]
            for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
        }
        path = root / _filled(info.get("video_path") or _V3_VIDEO, part, video_key=camera)
        # Half a frame earlier: the times are sums of float32 fractions.
        half = 0.5 / float(info["fps"])
        start, stop = max(float(part["from_timestamp"]) - half, 0.0), float(part["to_timestamp"]) - half
    read = partial(_of_length, partial(read_video, path, start, stop), length)
    return Clip(f"{root} episode {number} ({camera})", (path,), read, f"{start}-{stop}")


def _image_clip(root: Path, info: dict[str, Any], camera: str, episode: dict[str, Any]) -> Clip:
    number, length = int(episode["episode_index"]), int(episode["length"])
    if "episode_chunk" in episode:
        path = root / _filled(info.get("data_path") or _V2_DATA, episode)
    else:
        part = {name: episode[f"data/{name}"] for name in ("chunk_index", "file_index")}
        path = root / _filled(info.get("data_path") or _V3_DATA, part)
    fps = float(info["fps"])
    read = partial(_of_length, partial(_read_column, path, camera, number, fps), length)
    return Clip(f"{root} episode {number} ({camera})", (path,), read, f"{camera} {number}")


def _filled(template: str, values: dict[str, Any], **more: str) -> str:
    """A path template with its numbers; `str.format` would reach into whatever the file asked for."""

    def number(found: re.Match[str]) -> str:
        value = {**values, **more}[found[1]]
        return f"{int(value):0{int(found[2])}d}" if found[2] else str(value)

    path = re.sub(r"\{(\w+)(?::0?(\d+)d)?\}", number, template)
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"the path '{path}', which leaves the data set")
    return path


def _of_length(read: Callable[[], Iterator[Frame]], length: int) -> Iterator[Frame]:
    """The frames of an episode; `BrokenVideo` where there are fewer than its metadata say."""
    count = 0
    for frame in islice(read(), length):
        count += 1
        yield frame
    if count < length:
        raise BrokenVideo(f"has {count} of the {length} frames that its metadata promise")


def _read_column(path: Path, camera: str, episode: int, fps: float) -> Iterator[Frame]:
    """The images of an episode that a column of a data parquet holds, as bytes."""
    try:
        table = _parquet(path)
        number = 0
        for group in range(table.num_row_groups):
            rows = table.read_row_group(group, columns=["episode_index", camera])
            indices = rows.column("episode_index").to_pylist()
            if episode not in indices:
                continue
            for index, image in zip(indices, rows.column(camera), strict=True):
                if index != episode:
                    continue
                data = (image.as_py() or {}).get("bytes")
                if not data:
                    raise BrokenVideo(f"holds no picture in frame {number}")
                yield Frame(number / fps, partial(load_image, io.BytesIO(data), f"frame {number}"))
                number += 1
    except (KeyError, AttributeError) as error:
        raise BrokenVideo(f"has no pictures in the column '{camera}' of '{path}'") from error
    except UserError as error:
        raise BrokenVideo(f"cannot be read: {error}") from error


def _parquet(path: Path) -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "reading LeRobot data sets takes pyarrow; install it with: pip install 'mint-rl[lerobot]'"
        ) from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"'{path}' cannot be read as parquet: copy or download it again") from error
