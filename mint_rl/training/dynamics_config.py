"""The settings of `mint-rl dynamics`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_rl.data.videos.config import VideoConfig
from mint_rl.envs.magical.masked_videos import BEHAVIOURS
from mint_rl.envs.magical.names import check_names, parse_env_id
from mint_rl.envs.magical.recording import VIDEO_NOISE
from mint_rl.errors import UserError, unknown_name
from mint_rl.options import option
from mint_rl.policies.dynamics import DynamicsNetworkConfig
from mint_rl.training.keypoint_evaluation import HELD_OUT_SEED


@dataclass
class DynamicsConfig(VideoConfig):
    """Everything that decides a run: which videos, which keypoints, which network, how it is trained."""

    data: list[str] = option(
        [], "videos, folders, demonstrations, CLEVRER with proposals, bouncing; none: rollouts of MAGICAL"
    )
    size: str | None = option(None, "height x width of the frames, say 96x96; none: as the encoder's")
    envs: list[str] = option(
        ["MoveToRegion-TestJitter", "MoveToCorner-TestJitter", "MakeLine-TestJitter"],
        "environments of these rollouts, tasks of MAGICAL with or without variant",
    )
    episodes: int = option(20, "rollouts of each environment to train on")
    test_episodes: int = option(10, "rollouts of each environment, or videos of bouncing, to test on")
    behaviour: str = option("auto", "who acts: expert, explorer, or auto: the expert where a task has one")
    noise: float = option(VIDEO_NOISE, "probability of a random step of the expert's")
    encoder: str = option("magical", "shipped name, run folder, hub id or the authors' .pt file")
    descriptors: bool = option(True, "tell the network what each keypoint looks like, too")
    actions: bool = option(False, "tell the network what is done: rollouts and demonstrations know it")
    seed: int = option(0, "decides rollouts, initial weights, batches and the split of the videos")
    out: str | None = option(None, "the run folder; none: a new one in runs/")
    overwrite: bool = option(False, "allow `out` to hold an earlier run, which is replaced")

    history: int = option(4, "frames of the window")
    unroll: int = option(5, "steps of its own predictions that the network is trained through")
    horizons: list[int] = option([1, 2, 5, 10], "how many steps ahead predictions are scored")
    network: DynamicsNetworkConfig = field(default_factory=DynamicsNetworkConfig)
    steps: int = option(800, "training steps at most")
    batch: int = option(32, "windows a step")
    learning_rate: float = option(2e-3, "of AdamW, after the warm-up; then it falls as a cosine")
    weight_decay: float = option(1e-4, "of AdamW")
    gradient_clip: float = option(1.0, "largest norm of the gradient")
    average: float = option(0.998, "decay of the exponential average of the weights")
    validate_every: int = option(100, "steps between looks at the held-out videos; the best step is kept")
    patience: int = option(4, "stop after so many looks without a better one")
    validation_share: float = option(0.1, "share of the training videos that is held out, at least one")
    test_share: float = option(
        0.2, "share of the videos in data, but bouncing, that is tested on, at least one"
    )
    threads: int = option(1, "CPU threads: the numbers of a run depend on it")
    device: str = option("cpu", "where to train: cpu, cuda or cuda:<number>")

    def __post_init__(self) -> None:
        super().__post_init__()
        lowest = {
            "episodes": 2, "test_episodes": 1, "seed": 0, "history": 1, "unroll": 1, "steps": 1, "batch": 1,
            "weight_decay": 0.0, "average": 0.0, "validate_every": 1, "patience": 1, "threads": 1,
        }  # fmt: skip
        for name, limit in lowest.items():
            if not getattr(self, name) >= limit:
                raise UserError(f"the option '{name}' must be at least {limit:g}, got {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise UserError(f"the option '{name}' must be above 0, got {getattr(self, name)}")
        for name in ("validation_share", "test_share"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"the option '{name}' must be from 0 to below 1, got {getattr(self, name)}")
        if not self.average < 1:
            raise UserError(f"the option 'average' must be below 1, got {self.average}")
        if not 0 <= self.noise <= 1:
            raise UserError(f"the option 'noise' must be from 0 to 1, got {self.noise}")
        if self.seed + self.episodes > HELD_OUT_SEED:
            raise UserError(
                f"rollouts to test on begin at the seed {HELD_OUT_SEED}: seed and episodes together must "
                f"stay below, got {self.seed + self.episodes}"
            )
        if not self.horizons or min(self.horizons) < 1 or len(set(self.horizons)) < len(self.horizons):
            raise UserError(
                f"the option 'horizons' must hold different numbers of steps, 1 or more, got {self.horizons}"
            )
        if self.behaviour not in BEHAVIOURS:
            raise unknown_name("behaviour", self.behaviour, BEHAVIOURS)
        if not self.envs and not self.data:
            raise UserError("the options 'envs' and 'data' are both empty: there is nothing to learn from")
        for env in self.envs:
            check_names(*parse_env_id(env))
        if self.actions and self.data and self.stride > 1:
            raise UserError("actions lead from one frame to the next: with them, stride must be 1")
