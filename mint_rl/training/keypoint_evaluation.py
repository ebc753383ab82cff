"""`mint-rl keypoints evaluate`: how well encoders detect and keep objects, on videos with masks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.bouncing.videos import SIZE, TEST_VIDEOS, is_bouncing, masked_bouncing, parse_bouncing
from mint_rl.data.demonstrations import read_demonstrations
from mint_rl.data.masked_video import MaskedVideo
from mint_rl.data.videos.clevrer import masked_clevrer
from mint_rl.data.videos.config import parse_size
from mint_rl.envs.magical.colour_masks import colour_masked
from mint_rl.envs.magical.experts import EXPERT_TASKS
from mint_rl.envs.magical.masked_videos import BEHAVIOURS, masked_episodes
from mint_rl.envs.magical.names import TABLE, TASKS, VARIANTS, env_id, parse_env_id
from mint_rl.envs.magical.recording import VIDEO_NOISE
from mint_rl.errors import UserError, unknown_name
from mint_rl.files import writable_folder, write_text
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.inference_settings import describe_settings, load_with_settings
from mint_rl.keypoints.metrics import video_metrics
from mint_rl.options import option
from mint_rl.training.keypoint_scores import LEGEND, EncoderScores, comparison, table
from mint_rl.training.threads import cpu_threads

# Far from the seeds of recordings, which count up from 0, and of policies' evaluations, from 1,000,000.
HELD_OUT_SEED = 500_000
_VARIANT_NAMES = tuple(dict.fromkeys(variant for variants in VARIANTS.values() for variant in variants))


@dataclass
class KeypointEvaluationConfig:
    """Which encoders to evaluate, and on what."""

    encoders: list[str] = option(
        [], "shipped names, run folders or the authors' .pt files, each perhaps with :gamma=15,gate=none"
    )
    data: list[str] = option(
        [], "videos with masks: folders of CLEVRER, demonstration files, bouncing; none: episodes of MAGICAL"
    )
    max_videos: int | None = option(
        None, f"of each folder or file in data, at most so many; none: all, and {TEST_VIDEOS} of bouncing"
    )
    size: str | None = option(
        None, "height x width of the videos of bouncing, say 320x480; none: as the first encoder's images"
    )
    tasks: list[str] = option(
        [], "MAGICAL tasks; none: those with a scripted expert on Demo, all on the Test variants"
    )
    variants: list[str] = option(
        ["Demo", "TestJitter", "TestLayout", "TestAll"], "their variants; tasks without one are left out"
    )
    episodes: int = option(25, "episodes of each environment")
    seed: int = option(
        HELD_OUT_SEED, "seed of the first episode or video of bouncing; the next ones count up"
    )
    behaviour: str = option("auto", "expert, explorer, or auto: the expert where a task has one")
    noise: float = option(VIDEO_NOISE, "probability of a random step of the expert's")
    resolution: int = option(96, "side of MAGICAL's frames in pixels; encoders resize them to theirs")
    out: str | None = option(
        None, "also write the table, with both ends of every interval, to this JSON file"
    )

    def __post_init__(self) -> None:
        for name, value in (("episodes", self.episodes), ("max_videos", self.max_videos)):
            if value is not None and value < 1:
                raise UserError(f"the option '{name}' must be at least 1, got {value}")
        if self.size is not None:
            parse_size(self.size)
        if not 0 <= self.seed < 2**31:
            raise UserError(f"the option 'seed' must be from 0 to 2147483647, got {self.seed}")
        if self.behaviour not in BEHAVIOURS:
            raise unknown_name("behaviour", self.behaviour, BEHAVIOURS)
        for task in self.tasks:
            if task not in TABLE:
                raise unknown_name("task", task, TASKS)
        for variant in self.variants:
            if variant not in _VARIANT_NAMES:
                raise unknown_name("variant", variant, _VARIANT_NAMES)

    def environments(self) -> list[str]:
        """The ids of the environments to play, variant by variant."""
        chosen = []
        for variant in self.variants:
            every = EXPERT_TASKS if variant == "Demo" else TASKS
            tasks = [task for task in self.tasks or every if variant in VARIANTS[task]]
            chosen += [env_id(task, variant) for task in tasks]
        if not chosen:
            raise UserError(
                f"none of the tasks {', '.join(self.tasks)} has a variant {' or '.join(self.variants)}; "
                "'mint-rl envs' lists what there is"
            )
        return chosen


class Detector(Protocol):
    """Whatever finds keypoints: encoders, and the controls beside them."""

    def encode(self, frames: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """uint8 frames (T, H, W, 3) → x, y and status of keypoints (T, K, 3)."""


def read_video(detector: Detector, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Keypoints (T, K, 3) of the frames (T, H, W, 3) of a video: an encoder's tracks, if it has any."""
    return detector.read_video(frames) if isinstance(detector, KeypointEncoder) else detector.encode(frames)


def evaluate_keypoints(
    encoders: Mapping[str, Detector], videos: Iterable[MaskedVideo]
) -> list[EncoderScores]:
    """The metrics of every encoder on every video; each video is seen once and forgotten.

    CPU time is that of PyTorch's present number of threads: wrap the call in `cpu_threads(1)` to have that of
    one core.
    """
    scores = {
        name: EncoderScores(name, describe_settings(one) if isinstance(one, KeypointEncoder) else "control")
        for name, one in encoders.items()
    }
    for number, video in enumerate(videos):
        for name, encoder in encoders.items():
            if number == 0:
                # What is compiled or loaded at first use costs no frame.
                read_video(encoder, video.frames[:1])
            start = time.process_time()
            keypoints = read_video(encoder, video.frames)
            seconds = time.process_time() - start
            metrics = video_metrics(keypoints, video.masks, video.objects, video.keypoint_area)
            scores[name].add(video.name, metrics, seconds, len(video))
    return list(scores.values())


def run_keypoint_evaluation(
    config: KeypointEvaluationConfig, say: Callable[[str], None] = print
) -> list[EncoderScores]:
    """Evaluate encoders on the same videos, print a table for each, and write the JSON file if asked for.

    From the second encoder on, the differences to the first are estimated too: their intervals are narrower
    than those of the encoders, because both saw the same videos.

    Raises `UserError` for an unknown encoder or environment, data without masks, numbers out of range, or a
    file that cannot be written.
    """
    if not config.encoders:
        raise UserError("which encoders? name at least one: mint-rl keypoints evaluate magical")
    if config.out is not None:
        writable_folder(Path(config.out).parent)
    encoders = {word: load_with_settings(word) for word in config.encoders}
    with cpu_threads(1):
        first = next(iter(encoders.values()))
        scores = evaluate_keypoints(encoders, evaluation_videos(config, first.config.image_size))
    baseline = scores[0]
    others: Sequence[EncoderScores | None] = [None] + [baseline] * (len(scores) - 1)
    for found, other in zip(scores, others, strict=True):
        say("\n" + table(found, other))
    if len(scores) > 2:
        say("\nside by side:\n" + comparison(scores))
    say("\n" + LEGEND)
    if config.out is not None:
        content = {
            "settings": asdict(config),
            "videos": {name: len(videos) for name, videos in baseline.videos.items()},
            "encoders": {
                found.encoder: found.to_json(other) for found, other in zip(scores, others, strict=True)
            },
        }
        write_text(config.out, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        say(f"every number: '{config.out}'")
    return scores


def evaluation_videos(
    config: KeypointEvaluationConfig, image_size: tuple[int, int] = SIZE, progress: bool = True
) -> Iterator[MaskedVideo]:
    """What to evaluate on, one video at a time; made ones are as large as `image_size` unless told.

    progress: show a bar.
    """
    from tqdm import tqdm

    if config.data:
        size = parse_size(config.size) if config.size else image_size
        videos = (video for source in config.data for video in _read(source, config, size))
        yield from tqdm(videos, desc="evaluating", unit="video", delay=0.3, disable=not progress)
        return
    environments = config.environments()
    total = config.episodes * sum(TABLE[parse_env_id(env)[0]].max_episode_steps + 1 for env in environments)
    with tqdm(total=total, desc="evaluating", unit="frame", delay=0.3, disable=not progress) as bar:
        for env in environments:
            for video in masked_episodes(
                env, config.episodes, config.seed, config.behaviour, config.noise, config.resolution
            ):
                bar.set_postfix_str(env)
                yield video
                bar.update(len(video))


def _read(source: str, config: KeypointEvaluationConfig, size: tuple[int, int]) -> Iterator[MaskedVideo]:
    """Videos with masks: made ones, CLEVRER's proposals from a folder, or demonstrations masked by colour."""
    most = config.max_videos
    if is_bouncing(source):
        yield from masked_bouncing(most or TEST_VIDEOS, config.seed, size, parse_bouncing(source))
    elif Path(source).is_dir():
        yield from masked_clevrer(source, most)
    else:
        yield from colour_masked(read_demonstrations(Path(source)))[:most]
