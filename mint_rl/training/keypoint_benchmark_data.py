"""What a benchmark of keypoints trains on and scores on: the same for all methods."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mint_rl.data.bouncing.videos import NAME, VERSION, is_bouncing, parse_bouncing
from mint_rl.data.videos.clevrer import is_proposal
from mint_rl.data.videos.clips import natural
from mint_rl.envs.magical.names import parse_env_id
from mint_rl.errors import UserError, unknown_name
from mint_rl.files import writable_folder
from mint_rl.training.keypoint_benchmark_config import KeypointBenchmarkConfig
from mint_rl.training.method_word import slug

MAGICAL = "magical"
DATA_FOLDER = "data"
# At 25 frames a second most keypoints hardly move from one frame to the next.
_STRIDE = 4
_VIDEO = re.compile(r"video_(\d+)\.mp4")


@dataclass(frozen=True)
class DataSet:
    """One kind of data of a benchmark."""

    name: str  # as the user wrote it
    training: dict[str, Any]  # settings of `mint-rl pretrain`: which frames are trained on
    tests: dict[str, dict[str, Any]]  # by name, settings of `mint-rl keypoints evaluate`: what is scored on
    dynamics: dict[str, Any] = field(default_factory=dict)  # settings of `mint-rl dynamics`: on which videos
    digest: str = ""  # of what the settings for training do not say of the frames


def check_data(config: KeypointBenchmarkConfig) -> None:
    """`UserError` for data that there is not, before any work."""
    for word in config.data:
        if word == MAGICAL:
            continue
        if is_bouncing(word):
            parse_bouncing(word)
        elif Path(word).is_dir():
            _split(word, config.videos, config.test_videos)
        else:
            raise UserError(
                f"{unknown_name('data', word, (MAGICAL, NAME))}, or a folder of videos with CLEVRER's "
                "proposals, which there is not"
            )


def data_set(config: KeypointBenchmarkConfig, word: str) -> DataSet:
    """The data that a word stands for. Of a folder, links to the videos are made below `config.out`."""
    if word == MAGICAL:
        tests = {
            "-".join(parse_env_id(env)): {
                "tasks": [parse_env_id(env)[0]],
                "variants": [parse_env_id(env)[1]],
                "episodes": config.episodes,
            }
            for env in config.environments()
        }
        return DataSet(
            word,
            # env=None: also for methods that would by themselves train on one environment
            {"data": [], "env": None, "rollouts": config.rollouts},
            tests,
            {"episodes": config.dynamics_videos, "test_episodes": config.dynamics_test_videos},
        )
    dynamics: dict[str, Any] = {
        "size": config.size,
        "stride": _STRIDE,
        "test_episodes": config.dynamics_test_videos,
    }
    if is_bouncing(word):
        return DataSet(
            word,
            {"data": [word], "env": None, "max_videos": config.videos, "size": config.size},
            {NAME: {"data": [word], "max_videos": config.test_videos, "size": config.size}},
            dynamics | {"data": [word], "max_videos": config.dynamics_videos},
            f"{NAME} {VERSION}",
        )
    train, test = _split(word, config.videos, config.test_videos)
    name = slug(Path(word).resolve().name)
    parts = [
        _linked(Path(config.out, DATA_FOLDER), f"{name}-{kind}", files)
        for kind, files in (("train", train), ("test", test))
    ]
    return DataSet(
        word,
        {"data": [str(parts[0])], "env": None, "size": config.size},
        {name: {"data": [str(parts[1])]}},
        # Of the videos that no encoder was trained on, a share is held out from the dynamics in turn.
        dynamics | {"data": [str(parts[1])]},
        _digest(train),
    )


def _split(root: str, videos: int, test_videos: int) -> tuple[list[Path], list[Path]]:
    """Files of a folder to train on, the first videos; and to test on, the last ones, with their proposals.

    Where there are few, half of them is left for training.
    """
    found = {
        match[1]: path for path in Path(root).rglob("video_*.mp4") if (match := _VIDEO.fullmatch(path.name))
    }
    proposals = {
        path.stem.rpartition("_")[2]: path for path in Path(root).rglob("*.json") if is_proposal(path)
    }
    both = sorted(found.keys() & proposals.keys(), key=lambda number: natural(found[number]))
    if len(both) < 2:
        raise UserError(
            f"'{root}' has {len(both)} videos (video_00000.mp4) with proposals (proposal_00000.json); "
            "one is needed to train on, another to score on"
        )
    tested = min(test_videos, len(both) // 2)
    trained = both[: len(both) - tested][:videos]
    return [found[n] for n in trained], [part[n] for n in both[-tested:] for part in (found, proposals)]


def _linked(folder: Path, name: str, files: list[Path]) -> Path:
    """A folder of links to some files, called by them."""
    target = writable_folder(folder / f"{name}-{_digest(files)}")
    for file in files:
        if not (target / file.name).is_symlink():
            os.symlink(file.resolve(), target / file.name)
    return target


def _digest(files: list[Path]) -> str:
    """Eight hexadecimal digits that names and sizes of files decide."""
    about = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
    return hashlib.sha256(about.encode()).hexdigest()[:8]
