"""The settings of a behaviour-cloning run."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_rl.envs.magical.names import check_names, parse_env_id
from mint_rl.errors import UserError
from mint_rl.options import option
from mint_rl.policies.base import PolicyConfig
from mint_rl.policies.interaction import InteractionConfig
from mint_rl.policies.registry import policy_class
from mint_rl.training.evaluate import TEST_SEED

# Steps when none are asked for: keypoint policies have converged by then; a step of the CNN costs seconds.
_STEPS = {"cnn": 400}
_DEFAULT_STEPS = 2500


@dataclass
class BCConfig:
    """Everything that decides a behaviour-cloning run."""

    env: str = option("MoveToCorner", "task, with or without variant: what demonstrations are recorded on")
    policy: PolicyConfig = field(
        default_factory=InteractionConfig
    )  # interaction, mlp or cnn, and its options
    demos: str | None = option(None, "a file of demonstrations; none: record them with the scripted expert")
    episodes: int = option(25, "demonstrations to record")
    encoder: str = option("magical", "a shipped name or a folder; the CNN agent needs none")
    descriptors: bool = option(True, "add the encoder's features at each keypoint")
    history: int = option(4, "frames that the policy sees")
    seed: int = option(0, "decides recording, initial weights, batches and the validation split")
    out: str | None = option(None, "the run folder; none: a new one in runs/")
    overwrite: bool = option(False, "allow `out` to hold an earlier run, which is replaced")

    steps: int | None = option(
        None, "training steps; none: 2,500 for keypoint policies, 400 for the CNN agent"
    )
    batch: int = option(128, "steps of demonstrations in a training step")
    learning_rate: float = option(1e-3, "the peak of a one-cycle schedule")
    weight_decay: float = option(1e-2, "weight decay of AdamW")
    gradient_clip: float = option(5.0, "largest norm of the gradient")
    coordinate_noise: float = option(
        0.005, "standard deviation added to keypoints, as a share of the image's side"
    )
    shifted_copies: int | None = option(
        None,
        "times that demonstrations are encoded again, moved by some pixels; none: 8, fewer for many frames",
    )
    shift: int = option(4, "largest such move, in pixels each way")
    dynamics_weight: float = option(1.0, "weight of predicting the next keypoints; 0 switches it off")
    validation_share: float = option(0.1, "share of the demonstrations that is held out, whole")
    threads: int | None = option(None, "CPU threads; none: 1 for keypoint policies, all for the CNN agent")
    log_every: int = option(100, "steps between log records")

    variants: list[str] = option(["Demo", "TestJitter"], "variants of the task to evaluate on")
    evaluation_episodes: int = option(25, "episodes of evaluation on each variant; 0: no evaluation")
    evaluation_seed: int = option(
        TEST_SEED, "seed of the first episode of evaluation; the next ones count up"
    )
    temperature: float = option(
        0.5, "of the sampling of actions in the evaluation; 0: the most likely action"
    )

    def __post_init__(self) -> None:
        lowest = {
            "episodes": 2, "history": 1, "batch": 1, "log_every": 1, "evaluation_episodes": 0, "seed": 0,
            "learning_rate": 0.0, "weight_decay": 0.0, "gradient_clip": 0.0, "coordinate_noise": 0.0,
            "dynamics_weight": 0.0, "shift": 0, "temperature": 0.0, "evaluation_seed": 0,
        }  # fmt: skip
        for name, limit in lowest.items():
            if not getattr(self, name) >= limit:
                raise UserError(f"the option '{name}' must be at least {limit:g}, got {getattr(self, name)}")
        if self.shifted_copies is not None and self.shifted_copies < 0:
            raise UserError(f"the option 'shifted_copies' must be at least 0, got {self.shifted_copies}")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"the option 'steps' must be at least 1, got {self.steps}")
        if not 0 < self.validation_share < 1:
            raise UserError(
                f"the option 'validation_share' must lie between 0 and 1, got {self.validation_share}"
            )
        policy_class(self.policy.name)
        task, variant = parse_env_id(self.env)
        check_names(task, variant)
        for name in self.variants:
            check_names(task, name)


def steps_of(config: BCConfig) -> int:
    """How many steps the configuration asks for."""
    return config.steps if config.steps is not None else _STEPS.get(config.policy.name, _DEFAULT_STEPS)
