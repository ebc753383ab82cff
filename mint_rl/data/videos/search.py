"""Finding videos: what a path on the command line stands for.

A path is a video file, a folder with videos or images somewhere below it, a text file that lists paths, a
file of demonstrations, or a data set whose layout says which of its files are the videos:

    MIME      <task>/<demonstration>/hd_kinect_rgb.mp4, beside other cameras' videos
    SIMITATE  <class>/<person>/<sequence>/_kinect2_qhd_image_color_rect_compressed/<seconds>.jpg
    LeRobot   meta/info.json; see `lerobot`
    CLEVRER   video_00000-01000/video_00000.mp4

The word "bouncing" is no path: its videos are made, see `mint_rl.data.bouncing`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mint_rl.data.bouncing.videos import is_bouncing
from mint_rl.data.videos.bouncing import bouncing_clips
from mint_rl.data.videos.clips import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    BrokenVideo,
    Clip,
    Frame,
    image_sequence,
    natural,
    video_file,
)
from mint_rl.data.videos.config import VideoConfig
from mint_rl.data.videos.lerobot import INFO_FILE, lerobot_clips
from mint_rl.errors import UserError

DEMONSTRATION_SUFFIXES = (".hdf5", ".h5")
LIST_SUFFIXES = (".txt", ".lst")
MIME_VIDEO = "hd_kinect_rgb.mp4"
SIMITATE_FOLDER = "_kinect2_qhd_image_color_rect_compressed"
_CLEVRER_VIDEO = re.compile(r"video_\d+\.mp4")

Say = Callable[[str], None]


def find_clips(config: VideoConfig, say: Say = lambda line: None) -> list[Clip]:
    """The videos that `config.data` stands for, each source's in natural order; not opened yet.

    Raises `UserError` for a path that does not exist or holds no video.
    """
    return [
        clip
        for source in config.data
        for clip in (
            bouncing_clips(source, config) if is_bouncing(source) else _source(Path(source), config, say)
        )
    ]


def _source(path: Path, config: VideoConfig, say: Say) -> list[Clip]:
    suffix = path.suffix.lower()
    if suffix in DEMONSTRATION_SUFFIXES or (config.format == "demonstrations" and not path.is_dir()):
        return _demonstrations(path)
    if not path.exists():
        raise UserError(f"'{path}' does not exist: give videos, folders of videos or images, or data sets")
    if path.is_dir():
        return _folder(path, config, say)
    if suffix in LIST_SUFFIXES:
        return [clip for line in _lines(path) for clip in _listed(path, line, config, say)]
    if suffix in VIDEO_SUFFIXES or config.format == "files":
        return [video_file(path)]
    if suffix in IMAGE_SUFFIXES:
        raise UserError(f"'{path}' is one image: give the folder that holds the images of a video")
    raise UserError(f"'{path}' is no video by its name: {', '.join(VIDEO_SUFFIXES)} are known")


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the list '{path}' cannot be read as text: {error}") from error
    paths = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not paths:
        raise UserError(f"the list '{path}' is empty: write one path a line")
    return paths


def _listed(source: Path, line: str, config: VideoConfig, say: Say) -> list[Clip]:
    """What one line of a list stands for; a path that is not there is a broken video."""
    path = source.parent / line
    if path.suffix.lower() in LIST_SUFFIXES:
        raise UserError(f"the list '{source}' names the list '{path}': lists do not hold lists")
    if not path.exists():
        return [Clip(str(path), (), lambda: _missing(source))]
    return _source(path, config, say)


def _missing(source: Path) -> Iterator[Frame]:
    raise BrokenVideo(f"does not exist, but '{source}' lists it")
    yield  # a generator like all others


def _demonstrations(path: Path) -> list[Clip]:
    from mint_rl.data.demonstrations import read_demonstrations

    return [
        Clip(f"{path} demonstration {number}", (), lambda: iter(()), images=demonstration.images)
        for number, demonstration in enumerate(read_demonstrations(path))
    ]


def _folder(root: Path, config: VideoConfig, say: Say) -> list[Clip]:
    """The videos anywhere below a folder."""
    clips: list[Clip] = []
    folders = list(_walk(root))
    known = _layout(folders, config.format)
    for folder, names in folders:
        if config.format in ("auto", "lerobot") and (folder / INFO_FILE).is_file():
            clips += lerobot_clips(folder, config.camera, say)
        elif known == "mime":
            clips += [video_file(folder / name) for name in names if name == MIME_VIDEO]
        elif known == "clevrer":
            clips += [video_file(folder / name) for name in names if _CLEVRER_VIDEO.fullmatch(name)]
        elif known == "simitate":
            if folder.name == SIMITATE_FOLDER:
                clips.append(_simitate(folder, _with_suffix(folder, names, IMAGE_SUFFIXES)))
        elif known == "demonstrations":
            for path in _with_suffix(folder, names, DEMONSTRATION_SUFFIXES):
                clips += _demonstrations(path)
        elif known == "files":
            clips += _files(folder, names)
    if not clips:
        wanted = "video" if config.format in ("auto", "files") else f"video in the layout '{config.format}'"
        raise UserError(
            f"there is no {wanted} in '{root}': videos end in {', '.join(VIDEO_SUFFIXES)}, images in "
            f"{', '.join(IMAGE_SUFFIXES)}"
        )
    return clips


def _layout(folders: list[tuple[Path, list[str]]], wanted: str) -> str:
    """The layout that is asked for, or that the names give away."""
    if wanted != "auto":
        return wanted
    if any(MIME_VIDEO in names for _, names in folders):
        return "mime"
    if any(folder.name == SIMITATE_FOLDER for folder, _ in folders):
        return "simitate"
    return "files"


def _files(folder: Path, names: list[str]) -> list[Clip]:
    """A folder's videos and demonstrations; where it has neither, its images are one video."""
    demonstrations = _with_suffix(folder, names, DEMONSTRATION_SUFFIXES)
    videos = _with_suffix(folder, names, VIDEO_SUFFIXES)
    images = _with_suffix(folder, names, IMAGE_SUFFIXES)
    clips = [video_file(path) for path in videos]
    for path in demonstrations:
        clips += _demonstrations(path)
    return clips or ([image_sequence(folder, images)] if images else [])


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders below `root`, in natural order, with the names of their files; hidden ones left out.

    Links are followed, each folder once; a LeRobot data set is not entered.
    """
    seen: set[str] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except OSError as error:
            raise UserError(f"the folder '{folder}' cannot be read: {error.strerror or error}") from error
        yield folder, sorted(entry.name for entry in entries if entry.is_file())
        if not (folder / INFO_FILE).is_file():
            below = [Path(entry.path) for entry in entries if entry.is_dir()]
            pending += sorted(below, key=natural, reverse=True)


def _with_suffix(folder: Path, names: list[str], suffixes: tuple[str, ...]) -> list[Path]:
    chosen = [folder / name for name in names if os.path.splitext(name)[1].lower() in suffixes]
    return sorted(chosen, key=natural)


def _simitate(folder: Path, images: list[Path]) -> Clip:
    """Images that are called by their time in seconds."""
    try:
        timed = sorted((float(path.stem), path) for path in images)
    except ValueError:
        return image_sequence(folder, images)
    return image_sequence(folder, [path for _, path in timed], [time for time, _ in timed])
