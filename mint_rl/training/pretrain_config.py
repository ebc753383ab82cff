"""The settings of a pretraining run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mint_rl.data.videos.config import VideoConfig
from mint_rl.entropy import PREPROCESSINGS
from mint_rl.entropy.checks import REGIONS
from mint_rl.errors import UserError, unknown_name
from mint_rl.keypoints.method import MethodConfig
from mint_rl.keypoints.mint import MintLossConfig
from mint_rl.options import option

PRECISIONS = ("float32", "bfloat16")


@dataclass
class PretrainConfig(VideoConfig):
    """Everything that decides a pretraining run."""

    data: list[str] = option(
        [],
        "videos, folders of videos or images, lists of paths, data sets, bouncing (videos that are made); "
        "none: rollouts of MAGICAL",
    )
    env: str | None = option(None, "instead of data, frames of an environment: any gymnasium id, or MakeLine")
    rollouts: int = option(3, "episodes of each of MAGICAL's tasks, where neither data nor env is given")
    frames: int = option(2000, "how many frames of `env`; its episodes are cut after max_frames, or 200")
    behaviour: str = option(
        "random", "who acts in `env`: random, in MAGICAL explorer, or the run folder of `mint-rl bc`"
    )
    method: str = option(
        "mint",
        "mint, the paper's variants mint-paper, mint-no-regularisation, mint-no-temporal, or its rivals "
        "transporter, transporter-modified, video-structure, or keypointgan, which finds the joints of a "
        "skeleton",
    )
    seed: int = option(0, "decides rollouts, initial weights, batches and the validation split")
    out: str | None = option(None, "the run folder; none: a new one in runs/")
    overwrite: bool = option(False, "allow `out` to hold an earlier run, which is replaced")
    resume: bool = option(False, "go on with the unfinished run in `out`")

    steps: int = option(3500, "training steps")
    pairs: int = option(10, "pairs of frames a step, or clips where the method takes longer ones")
    learning_rate: float = option(2e-3, "of Adam, after the warm-up")
    warmup: int = option(100, "steps over which the learning rate grows to that")
    final_rate: float = option(0.02, "share of it that the cosine schedule ends at")
    weight_decay: float = option(1e-4, "weight decay of Adam")
    gradient_clip: float = option(10.0, "largest norm of the gradient")
    turns: bool = option(True, "augment: turn each pair by quarters and mirror it")
    shift: int = option(6, "augment: move each pair by up to so many pixels")
    apart: float = option(0.5, "share of pairs whose two frames are turned and moved each on its own")

    num_keypoints: int = option(25, "keypoints, K")
    gamma: float = option(10.0, "γ, the height of a feature map that makes a keypoint active, while training")
    status_slope: float = option(1000.0, "steepness of the status around γ")
    inference_gamma: float | None = option(None, "γ that the saved encoder uses; none: the same")
    window: float | None = option(0.2, "soft-argmax window of the saved encoder, image sides; none: all")
    gate: str = option("auto", "entropy gate of the saved encoder: none, auto, or a number of nats")
    preprocessing: str = option(
        "binarise", "what happens to frames before their entropy: binarise, paper or none"
    )
    region: int = option(3, "side of the region that a pixel's entropy is taken over")
    loss: MethodConfig = field(default_factory=MintLossConfig)

    validation_share: float = option(0.1, "share of the videos that is held out, whole")
    validate_every: int = option(250, "steps between looks at the held-out videos; the best step is kept")
    log_every: int = option(50, "steps between log records")
    save_every: int = option(250, "steps between snapshots, from which a run can be resumed")
    threads: int = option(1, "CPU threads: the numbers of a run depend on it")
    device: str = option("cpu", "where to train: cpu, cuda or cuda:<number>")
    precision: str = option("float32", "of the network while training: float32, or bfloat16 for GPUs")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.env is not None and self.data:
            raise UserError("data and env contradict each other: give one of them")
        lowest = {
            "seed": 0, "frames": 2, "steps": 1, "pairs": 1, "warmup": 0, "final_rate": 0.0,
            "weight_decay": 0.0, "shift": 0, "num_keypoints": 1, "validation_share": 0.0, "log_every": 1,
            "save_every": 1, "validate_every": 1, "threads": 1,
        }  # fmt: skip
        for name, limit in lowest.items():
            if not getattr(self, name) >= limit:
                raise UserError(f"the option '{name}' must be at least {limit:g}, got {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip", "status_slope"):
            if not getattr(self, name) > 0:
                raise UserError(f"the option '{name}' must be above 0, got {getattr(self, name)}")
        for name in ("gamma", "inference_gamma"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"the option '{name}' must be a number from 0 up, got {value}")
        if self.window is not None and not self.window > 0:
            raise UserError(f"the option 'window' must be above 0 or none, got {self.window}")
        if self.gate not in ("none", "auto"):
            try:
                float(self.gate)
            except ValueError as error:
                raise UserError(
                    f"the option 'gate' must be none, auto or a number, got '{self.gate}'"
                ) from error
        if not 0 <= self.apart <= 1:
            raise UserError(f"the option 'apart' must be from 0 to 1, got {self.apart}")
        if not self.validation_share < 1:
            raise UserError(f"the option 'validation_share' must be below 1, got {self.validation_share}")
        if self.apart and not self.loss.needs().apart:
            raise UserError(
                f"the method '{self.method}' compares the frames of a clip as they are placed: set apart=0"
            )
        if self.preprocessing not in PREPROCESSINGS:
            raise unknown_name("preprocessing", self.preprocessing, PREPROCESSINGS)
        if self.region not in REGIONS:
            raise UserError(f"the option 'region' must be one of {REGIONS}, got {self.region}")
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.resume and self.out is None:
            raise UserError("resume=true needs the folder of the run to go on with: give --out")
        if self.resume and self.overwrite:
            raise UserError("resume=true and overwrite=true contradict each other")
