"""`mint-rl keypoints merge`: of encoders of several training seeds, one that misses fewer objects."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mint_rl.data.videos import VideoConfig, open_videos
from mint_rl.errors import UserError
from mint_rl.files import writable_folder, write_text
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_files import CONFIG_FILE
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.keypoints.merging import check_alike, choose_keypoints, covered, merge
from mint_rl.keypoints.mint import MintLossConfig
from mint_rl.keypoints.resize import resize_frames
from mint_rl.options import option
from mint_rl.training.entropy_images import entropy_images
from mint_rl.training.pretrain_data import record_rollouts, spread_frames
from mint_rl.training.threads import cpu_threads

MERGE_FILE = "merge.json"
_HALF = 2  # the choice looks at images of half the side, for a quarter of the memory


@dataclass
class MergeConfig(VideoConfig):
    """Which encoders become one, and on what frames their keypoints are chosen."""

    encoders: list[str] = option([], "run folders or shipped names of one kind, each perhaps with :gamma=12")
    keep: int | None = option(
        None, "keypoints that are kept, as many of each encoder; none: half of all that there are"
    )
    tracks: int | None = option(
        None, "tracks that follow a video's keypoints, as in 32; none: every frame is read for itself"
    )
    data: list[str] = option(
        [], "videos to choose them on, as of `mint-rl pretrain`; none: rollouts of MAGICAL"
    )
    rollouts: int = option(3, "episodes of each of MAGICAL's tasks, where no data is given")
    looked_at: int = option(240, "frames of the videos that are looked at, evenly over all")
    seed: int = option(0, "of the rollouts")
    out: str = option("", "the folder of the merged encoder")
    overwrite: bool = option(False, "allow `out` to hold an encoder, which is replaced")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, lowest in (("rollouts", 1), ("looked_at", 1), ("seed", 0), ("keep", 1), ("tracks", 1)):
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise UserError(f"the option '{name}' must be at least {lowest}, got {value}")


@dataclass(frozen=True)
class MergeResult:
    """What a merge left behind."""

    folder: Path
    encoder: KeypointEncoder
    kept: list[list[int]]  # of each encoder the keypoints that were kept
    examples: NDArray[np.uint8]  # (8, H, W, 3), frames to look at


def merge_runs(config: MergeConfig, say: Callable[[str], None] = print) -> MergeResult:
    """Merge encoders, keeping the keypoints that cover the most entropy of some videos, and write the result.

    The folder gets `config.json`, `model.safetensors` and `merge.json`: the settings, the keypoints kept, and
    how much of the entropy they cover.

    Raises `UserError` for encoders that cannot be read or are of different kinds, a `keep` that they cannot
    give, videos that cannot be used, or a folder that holds an encoder or cannot be written.
    """
    if not config.encoders or not config.out:
        raise UserError(
            "which encoders, and where to? for instance: mint-rl keypoints merge runs/a runs/b --out runs/ab"
        )
    encoders = [load_with_settings(word) for word in config.encoders]
    check_alike(encoders)
    keep = _keep(config, encoders)
    first = encoders[0].config = dataclasses.replace(encoders[0].config, tracks=config.tracks)
    folder = Path(config.out)
    if (folder / CONFIG_FILE).exists() and not config.overwrite:
        raise UserError(f"'{folder}' holds an encoder: choose another --out, or pass overwrite=true")
    writable_folder(folder)
    try:
        recorded = not config.data
        videos = record_rollouts(config.rollouts, config.seed, say) if recorded else open_videos(config, say)
    except UserError:
        with suppress(OSError):  # there was something in it before
            folder.rmdir()
        raise
    with cpu_threads(1):
        number = min(config.looked_at, videos.num_frames)
        frames = resize_frames(spread_frames(videos.videos, number), first.image_size)
        keypoints = torch.from_numpy(np.concatenate([encoder.encode(frames) for encoder in encoders], 1))
        (images,) = entropy_images([frames], first.preprocessing, first.region)
        entropy = functional.avg_pool2d(torch.from_numpy(images[:])[:, None], _HALF)[:, 0]
        size = (entropy.shape[1], entropy.shape[2])
        cover = covered(keypoints, size, MintLossConfig(sigma=MintLossConfig.sigma / _HALF))
        kept, shares = choose_keypoints(cover, entropy, len(encoders), keep)
    merged = merge(encoders, kept)
    merged.save_pretrained(folder)
    record: dict[str, Any] = {
        "settings": dataclasses.asdict(config),
        "frames": len(frames),
        "kept": [
            {"encoder": word, "keypoints": numbers}
            for word, numbers in zip(config.encoders, kept, strict=True)
        ],
        "covered": [round(float(share), 4) for share in shares],
    }
    write_text(folder / MERGE_FILE, json.dumps(record, indent=2) + "\n")
    say(
        f"{keep} of {keypoints.shape[1]} keypoints cover {shares[-1]:.1%} of the entropy, the first half of "
        f"them {shares[max(keep // 2 - 1, 0)]:.1%}"
    )
    say(f"the encoder is in '{folder}'")
    return MergeResult(folder, merged, kept, spread_frames([frames], 8))


def _keep(config: MergeConfig, encoders: Sequence[KeypointEncoder]) -> int:
    number, each = len(encoders), encoders[0].num_keypoints
    keep = config.keep if config.keep is not None else number * max(each // 2, 1)
    if keep % number or keep > number * each:
        raise UserError(
            f"the option 'keep' must be a multiple of {number}, the number of encoders, up to "
            f"{number * each}, got {keep}"
        )
    return keep
