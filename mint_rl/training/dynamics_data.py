"""What dynamics are learned from and tested on: videos as keypoints, with masks and actions where known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mint_rl.data.bouncing.videos import (
    NAME,
    TEST_SEED,
    chosen_frames,
    is_bouncing,
    masked_bouncing,
    parse_bouncing,
)
from mint_rl.data.demonstrations import NUM_ACTIONS, Demonstration, DemonstrationSet, read_demonstrations
from mint_rl.data.masked_video import MaskedVideo
from mint_rl.data.videos import open_videos
from mint_rl.data.videos.clevrer import is_proposal, masked_clevrer
from mint_rl.data.videos.config import VideoConfig
from mint_rl.data.videos.search import DEMONSTRATION_SUFFIXES
from mint_rl.data.videos.video_set import Video
from mint_rl.envs.magical.colour_masks import colour_masked
from mint_rl.envs.magical.masked_videos import masked_episodes
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.training.dynamics_config import DynamicsConfig
from mint_rl.training.encoding import Encoding
from mint_rl.training.keypoint_evaluation import HELD_OUT_SEED

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class KeypointVideo:
    """A video of T frames as keypoints."""

    name: str  # which environment or data set it belongs to: scores are averaged by it
    frames: Video  # (T, H, W, 3)
    keypoints: NDArray[np.float32]  # (T, K, 3 + D)
    actions: NDArray[np.int64] | None = None  # (T − 1,) what was done after each frame but the last
    masks: NDArray[np.integer] | None = None  # (T, H', W') instance ids
    objects: tuple[int, ...] = ()  # the ids that are objects

    def __len__(self) -> int:
        return len(self.keypoints)


class DynamicsData(NamedTuple):
    """Videos apart: each list has at least one."""

    training: list[KeypointVideo]
    validation: list[KeypointVideo]  # to stop early by
    test: list[KeypointVideo]


class Source(NamedTuple):
    """A video before it is encoded."""

    name: str
    frames: Video
    actions: NDArray[np.int64] | None = None
    masks: NDArray[np.integer] | None = None
    objects: tuple[int, ...] = ()


def load_data(config: DynamicsConfig, encoder: KeypointEncoder, say: Say = print) -> DynamicsData:
    """Videos of `config.data`, or rollouts of MAGICAL, as keypoints; split by whole videos.

    MAGICAL's rollouts and the videos of bouncing that are tested on have their own seeds, the same for every
    run; of what else is in `config.data` a share drawn by the seed is tested on. Videos that are too short
    for a window and the frame after it are left out. Raises `UserError` where too few are left, or actions
    are wanted that nobody knows.
    """
    encoding = Encoding(encoder, config.descriptors)
    if not config.data:
        training = _encoded(_rollouts(config, config.seed, config.episodes), encoding, config, say)
        test = _encoded(_rollouts(config, HELD_OUT_SEED, config.test_episodes), encoding, config, say)
        rest = training
    else:
        rest, test = _of_data(config, encoding, config.frame_size or encoder.config.image_size, say)
    training, validation = _split(rest, config.validation_share, config.seed + 1)
    encoding.trim()
    return DynamicsData(training, validation, test)


def _of_data(
    config: DynamicsConfig, encoding: Encoding, size: tuple[int, int], say: Say
) -> tuple[list[KeypointVideo], list[KeypointVideo]]:
    """The videos in `config.data` to train on and to test on; made and plain ones are read in this size."""
    rest: list[KeypointVideo] = []
    test: list[KeypointVideo] = []
    made = [source for source in config.data if is_bouncing(source)]
    given = [source for source in config.data if not is_bouncing(source)]
    if given:
        videos = _encoded(_videos(config, given, size, say), encoding, config, say)
        if len(videos) < 3:
            raise UserError(
                f"dynamics need at least 3 videos of more than {config.history} frames, one to train on, one "
                f"to stop by and one to test on, but there are {len(videos)}: give more"
            )
        rest, test = _split(videos, config.test_share, config.seed)
    if made:
        rest = rest + _encoded(_plain(config, made, size, NAME, say), encoding, config, say)
        test = test + _encoded(_made_tests(config, made, size), encoding, config, say)
        if not test:
            raise UserError(
                f"the videos of {NAME} have no more frames than the window of {config.history}: make them "
                "longer, or --history smaller"
            )
    return rest, test


def _rollouts(config: DynamicsConfig, seed: int, episodes: int) -> Iterator[Source]:
    for env in config.envs:
        for video in masked_episodes(env, episodes, seed, config.behaviour, config.noise):
            yield _masked(video)


def _made_tests(config: DynamicsConfig, words: Sequence[str], size: tuple[int, int]) -> Iterator[Source]:
    """The videos of bouncing to test on, with masks."""
    for word in words:
        settings = parse_bouncing(word)
        chosen = chosen_frames(settings.frames, config.fps, config.stride, config.max_frames)
        for video in masked_bouncing(config.test_episodes, TEST_SEED, size, settings):
            yield Source(NAME, video.frames[chosen], None, video.masks[chosen], video.objects)


def _videos(
    config: DynamicsConfig, sources: Sequence[str], size: tuple[int, int], say: Say
) -> Iterator[Source]:
    """Videos that lie on disk, with masks and actions where these are known."""
    plain = []
    for path in map(Path, sources):
        if path.suffix.lower() in DEMONSTRATION_SUFFIXES:
            yield from _demonstrations(read_demonstrations(path), config, say)
        elif path.is_dir() and any(is_proposal(file) for file in path.rglob("*.json")):
            for video in masked_clevrer(path, config.max_videos):
                chosen = slice(None, None, config.stride)
                most = config.max_frames
                yield Source(
                    video.name, video.frames[chosen][:most], None, video.masks[chosen][:most], video.objects
                )
        else:
            plain.append(str(path))
    if plain:
        yield from _plain(config, plain, size, "videos", say)


def _plain(
    config: DynamicsConfig, sources: Sequence[str], size: tuple[int, int], name: str, say: Say
) -> Iterator[Source]:
    """Videos without masks, by way of the cache."""
    settings = {name: getattr(config, name) for name in VideoConfig.__dataclass_fields__}
    settings |= {"data": list(sources), "size": "{}x{}".format(*size)}
    for frames in open_videos(VideoConfig(**settings), say):
        yield Source(name, frames)


def _demonstrations(found: DemonstrationSet, config: DynamicsConfig, say: Say) -> Iterator[Source]:
    """Demonstrations with what was done in them, and masks by colour where these can be had."""
    chosen: Sequence[int] = range(len(found))
    if config.max_videos is not None and config.max_videos < len(found):
        chosen = np.linspace(0, len(found) - 1, config.max_videos).round().astype(int).tolist()
    kept = [_shortened(found[index], config) for index in chosen]
    found = replace(found, demonstrations=kept)
    masked: list[MaskedVideo] | None
    try:
        masked = colour_masked(found)
    except UserError as error:
        masked = None
        say(f"no masks of objects: {error}")
    for number, one in enumerate(kept):
        # The frame after the last action is not kept, so that action leads nowhere.
        actions = one.executed[:-1] if config.stride == 1 else None
        source = Source(found.env_id, one.images, actions)
        if masked is not None:
            source = source._replace(masks=masked[number].masks, objects=masked[number].objects)
        yield source


def _shortened(one: Demonstration, config: DynamicsConfig) -> Demonstration:
    chosen = np.arange(0, len(one), config.stride)[: config.max_frames]
    states = None if one.states is None else one.states[chosen]
    return replace(
        one,
        images=one.images[chosen],
        actions=one.actions[chosen],
        executed=one.executed[chosen],
        states=states,
    )


def _masked(video: MaskedVideo) -> Source:
    return Source(video.name, video.frames, video.actions, video.masks, video.objects)


def _encoded(
    sources: Iterator[Source], encoding: Encoding, config: DynamicsConfig, say: Say
) -> list[KeypointVideo]:
    from tqdm import tqdm

    videos, short = [], 0
    for source in tqdm(sources, desc="encoding", unit="video", delay=0.5):
        if len(source.frames) <= config.history:
            short += 1
            continue
        if config.actions and source.actions is None:
            raise UserError(
                f"actions=true, but of {source.name} nobody knows what was done: give demonstrations "
                "(.hdf5), or none for rollouts of MAGICAL"
            )
        actions = source.actions if config.actions else None
        keypoints = encoding.of(np.asarray(source.frames))
        videos.append(
            KeypointVideo(source.name, source.frames, keypoints, actions, source.masks, source.objects)
        )
    if short:
        say(f"warning: {short} videos have no more frames than the window of {config.history}: left out")
    return videos


def _split(
    videos: Sequence[KeypointVideo], share: float, seed: int
) -> tuple[list[KeypointVideo], list[KeypointVideo]]:
    """The others, and a share of the videos drawn by the seed: at least one, and never all."""
    if len(videos) < 2:
        raise UserError(f"{len(videos)} video(s) cannot be split into those to train on and those to stop by")
    number = min(max(1, round(share * len(videos))), len(videos) - 1)
    drawn = set(np.random.default_rng(seed).permutation(len(videos))[:number].tolist())
    kept = [video for index, video in enumerate(videos) if index not in drawn]
    return kept, [videos[index] for index in sorted(drawn)]


class Windows:
    """Every window of some videos, with what follows it.

    A window ends at a frame that has T − 1 frames before it and one after it, in the same video.
    """

    def __init__(self, videos: Sequence[KeypointVideo], history: int) -> None:
        lengths = np.array([len(video) for video in videos])
        first = np.cumsum(lengths) - lengths
        inside = [
            np.arange(start + history - 1, start + n - 1) for start, n in zip(first, lengths, strict=True)
        ]
        self.keypoints = torch.from_numpy(np.concatenate([video.keypoints for video in videos]))
        # One action a frame; that of the last leads nowhere and is never asked for.
        self.actions: Tensor | None = None
        if all(video.actions is not None for video in videos):
            told = [np.append(video.actions, 0) for video in videos if video.actions is not None]
            self.actions = torch.from_numpy(np.concatenate(told))
        self._back = torch.arange(1 - history, 1)
        self._ends = torch.from_numpy(np.concatenate(inside))
        last = [
            np.full(len(ends), start + n - 1) for ends, start, n in zip(inside, first, lengths, strict=True)
        ]
        self._last = torch.from_numpy(np.concatenate(last))

    def __len__(self) -> int:
        return len(self._ends)

    def batch(self, chosen: Tensor, steps: int) -> Batch:
        """The windows with these numbers (B,) and the `steps` frames after each."""
        ends, last = self._ends[chosen][:, None], self._last[chosen][:, None]
        after = ends + torch.arange(1, steps + 1)
        now = torch.minimum(after - 1, last)
        return Batch(
            history=self.keypoints[ends + self._back],
            targets=self.keypoints[torch.minimum(after, last)][..., :3],
            known=after <= last,
            actions=None if self.actions is None else self.actions[now],
        )

    def movements(self) -> Tensor:
        """From each window's last frame to the next, of keypoints that are active in both: (M, 2)."""
        now, following = self.keypoints[self._ends], self.keypoints[self._ends + 1]
        both = (now[..., 2] > 0.5) & (following[..., 2] > 0.5)
        moved: Tensor = (following[..., :2] - now[..., :2])[both]
        return moved


class Batch(NamedTuple):
    """B windows of T frames and the S frames that follow."""

    history: Tensor  # (B, T, K, 3 + D)
    targets: Tensor  # (B, S, K, 3)
    known: Tensor  # (B, S) bool: false beyond the end of the video
    actions: Tensor | None  # (B, S) int64: what was done before each of the S frames

    def to(self, device: str) -> Batch:
        return Batch(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]


def number_of_actions(config: DynamicsConfig) -> int:
    """How many the network is told among; 0 where it is told nothing."""
    return NUM_ACTIONS if config.actions else 0
