"""The settings of a behaviour-cloning run."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_rl.envs.magical.experts import expert
from mint_rl.envs.magical.names import check_names, parse_env_id
from mint_rl.errors import UserError, unknown_name
from mint_rl.options import option
from mint_rl.policies.base import PolicyConfig
from mint_rl.policies.interaction import InteractionConfig
from mint_rl.policies.registry import policy_class
from mint_rl.training.evaluate import TEST_SEED, check_acting
from mint_rl.training.pretrain_config import PRECISIONS

KEPT = ("last", "loss", "score")
# Steps when none are asked for: keypoint policies have converged by then; the CNN agent stops before.
_STEPS = {"cnn": 2000}
_DEFAULT_STEPS = 2500
_PATIENCE = {"cnn": 5}


@dataclass
class BCConfig:
    """Everything that decides a behaviour-cloning run."""

    env: str = option("MoveToCorner", "task, with or without variant: what the policy is for")
    policy: PolicyConfig = field(
        default_factory=InteractionConfig
    )  # interaction, set-transformer, mlp or cnn, and its options
    demos: list[str] = option([], "files of demonstrations; none: record them with the scripted expert")
    demo_env: list[str] = option([], "variants to record on, as many episodes each; none: that of env")
    episodes: int = option(25, "demonstrations to record, in all")
    lowest_score: float = option(1.0, "demonstrations that scored less are left out")
    dagger: int = option(
        0, "rounds of rollouts labelled by the scripted expert; after each, training starts again on all"
    )
    dagger_episodes: int = option(10, "episodes of a round")
    encoder: str = option(
        "magical",
        "a shipped name (magical, magical-dense, magical-tracking) or a folder, with settings as in "
        "magical:descriptors=crops123; not for the CNN",
    )
    descriptors: bool = option(True, "add the encoder's features at each keypoint")
    history: int = option(4, "frames that the policy sees")
    seed: int = option(0, "decides recording, initial weights, batches and the validation split")
    out: str | None = option(None, "the run folder; none: a new one in runs/")
    overwrite: bool = option(False, "allow `out` to hold an earlier run, which is replaced")
    resume: bool = option(False, "go on with the unfinished run in `out`")
    cache: str | None = option(None, "folder that keeps encoded episodes; none: one in the user's cache")

    steps: int | None = option(
        None, "training steps; none: 2,500 for keypoint policies, at most 2,000 for the CNN agent"
    )
    batch: int = option(128, "steps of demonstrations in a training step")
    learning_rate: float = option(1e-3, "of AdamW, after the warm-up")
    weight_decay: float = option(1e-2, "weight decay of AdamW")
    gradient_clip: float = option(5.0, "largest norm of the gradient")
    average: float | None = option(
        None, "decay of the average of the weights, which is what is kept; none: 0, and 0.99 with patience"
    )
    coordinate_noise: float = option(
        0.005, "standard deviation added to keypoints, as a share of the image's side"
    )
    shifted_copies: int | None = option(
        None,
        "times that demonstrations are encoded again, moved by some pixels; none: 8, fewer for many frames",
    )
    shift: int = option(4, "largest such move, in pixels each way")
    colour: float = option(
        0.0, "how much the colours of these copies are changed, from 0 to 1: .5 where they differ in tests"
    )
    dynamics_weight: float = option(1.0, "weight of predicting the next keypoints; 0 switches it off")
    pose_weight: float = option(
        1.0,
        "weight of learning the robot's pose, where demonstrations hold states and the policy has a frame of "
        "reference (policy.frame=true)",
    )
    idle_weight: float = option(
        1.0, "weight of steps in which the demonstrator does nothing; below 1 a policy stops less readily"
    )
    finetune_encoder: bool = option(False, "train the encoder along with the policy, from the frames")
    encoder_learning_rate: float = option(1e-4, "the encoder's, when it is trained along")

    validation_share: float = option(0.1, "share of the demonstrations that is held out, whole")
    keep: str | None = option(
        None,
        "weights to keep: last, loss (lowest on held-out demonstrations) or score (best rollouts on "
        "validation seeds); none: score with patience, else last",
    )
    patience: int | None = option(
        None,
        "log records in a row with neither better weights nor a lower held-out loss, after which training "
        "ends; the rate does not fall then; none: 5 "
        "for the CNN agent, else 0, which trains all steps at a rate that falls to 0",
    )
    log_every: int = option(100, "steps between log records, each with the losses on held-out demonstrations")
    save_every: int = option(500, "steps between snapshots, from which a run can be resumed")
    threads: int | None = option(None, "CPU threads; none: 1 for keypoint policies, all for the CNN agent")
    device: str = option("cpu", "where to train, and where the data stays: cpu, cuda or cuda:<number>")
    precision: str | None = option(
        None,
        "of the network while training: float32 or bfloat16; none: bfloat16 for the CNN agent where the "
        "processor has it",
    )

    variants: list[str] = option(["Demo", "TestJitter"], "variants of the task to evaluate on")
    evaluation_episodes: int = option(25, "episodes of evaluation on each variant; 0: no evaluation")
    evaluation_seed: int = option(
        TEST_SEED, "seed of the first episode of evaluation; the next ones count up"
    )
    temperature: str = option(
        "0.5", "of the sampling of actions; 0: the most likely action; auto: the best of 0, 0.5 and 1"
    )
    chunk: str = option("1", "actions taken before looking again, up to policy.chunk; auto: the best number")
    validation_episodes: int = option(
        20, "episodes on validation seeds, on each variant of the demonstrations, for what is chosen by score"
    )

    def __post_init__(self) -> None:
        if isinstance(self.demos, str):
            self.demos = [self.demos]
        self.temperature = str(self.temperature)  # in Python a number does as well
        self.chunk = str(self.chunk)
        check_acting(
            self.temperature, self.chunk, self.validation_episodes,
            self.evaluation_seed, self.evaluation_episodes,
        )  # fmt: skip
        lowest = {
            "episodes": 2, "history": 1, "batch": 1, "log_every": 1, "evaluation_episodes": 0, "seed": 0,
            "learning_rate": 0.0, "weight_decay": 0.0, "gradient_clip": 0.0, "coordinate_noise": 0.0,
            "dynamics_weight": 0.0, "pose_weight": 0.0, "idle_weight": 0.0, "shift": 0, "dagger": 0,
            "dagger_episodes": 1, "encoder_learning_rate": 0.0, "save_every": 1, "steps": 1,
            "shifted_copies": 0, "patience": 0,
        }  # fmt: skip
        for name, limit in lowest.items():
            value = getattr(self, name)
            if value is not None and not value >= limit:
                raise UserError(f"the option '{name}' must be at least {limit:g}, got {value}")
        if not 0 < self.validation_share < 1:
            raise UserError(
                f"the option 'validation_share' must lie between 0 and 1, got {self.validation_share}"
            )
        if not 0 <= self.lowest_score <= 1:
            raise UserError(f"the option 'lowest_score' must be from 0 to 1, got {self.lowest_score}")
        if not 0 <= self.colour <= 1:
            raise UserError(f"the option 'colour' must be from 0 to 1, got {self.colour}")
        if self.average is not None and not 0 <= self.average < 1:
            raise UserError(f"the option 'average' must be at least 0 and below 1, got {self.average}")
        if self.keep is not None and self.keep not in KEPT:
            raise unknown_name("choice of weights to keep", self.keep, KEPT)
        if self.precision is not None and self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        policy_class(self.policy.name)
        self._check_environments()
        self._check_together()

    def _check_environments(self) -> None:
        task, _ = parse_env_id(self.env)
        for name in self.variants:
            check_names(task, name)
        for name in self.demo_env:
            if parse_env_id(name)[0] != task:
                raise UserError(f"demonstrations of '{name}' do not show {task}, which the policy is for")
        if len(set(map(parse_env_id, self.demo_env))) < len(self.demo_env):
            raise UserError(f"demo_env names a variant twice: {', '.join(self.demo_env)}")
        if len(self.demo_env) > self.episodes:
            raise UserError(f"{self.episodes} episodes are too few for {len(self.demo_env)} variants")
        if self.dagger:
            expert(task)  # says where there is none

    def _check_together(self) -> None:
        """Settings that contradict each other."""
        if self.demos and self.demo_env:
            raise UserError("demos gives demonstrations and demo_env records them: choose one")
        if self.patience and self.keep == "last":
            raise UserError("patience=… needs to know what is better: choose keep=score or keep=loss")
        if self.finetune_encoder and self.policy.name == "cnn":
            raise UserError("the CNN agent has no encoder to fine-tune: leave finetune_encoder out")
        if self.resume and self.out is None:
            raise UserError("resume=true needs the folder of the run to go on with: give --out")
        if self.resume and self.overwrite:
            raise UserError("resume=true and overwrite=true contradict each other")


def steps_of(config: BCConfig) -> int:
    """How many steps the configuration asks for, in each round."""
    return config.steps if config.steps is not None else _STEPS.get(config.policy.name, _DEFAULT_STEPS)


def patience_of(config: BCConfig) -> int:
    """After how many records without better weights training ends; 0: never."""
    return config.patience if config.patience is not None else _PATIENCE.get(config.policy.name, 0)


def keep_of(config: BCConfig) -> str:
    """Which weights are kept: last, loss or score.

    The last ones by default, since at the end of a falling rate they are the best known and neither loss nor
    accuracy on held-out demonstrations orders policies by their score; where training is to stop by itself,
    the score of rollouts says when.
    """
    return config.keep or ("score" if patience_of(config) else "last")


def average_of(config: BCConfig) -> float:
    """The decay of the average of the weights."""
    return config.average if config.average is not None else (0.99 if patience_of(config) else 0.0)


def precision_of(config: BCConfig) -> str:
    """The precision of the network while training.

    bfloat16 halves the CNN agent's time where the processor can multiply in it. Where it cannot, as with AVX2
    alone, PyTorch imitates it, four times slower than float32.
    """
    if config.precision is not None:
        return config.precision
    if config.policy.name != "cnn":
        return "float32"
    import torch

    if torch.device(config.device).type == "cpu":
        able = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    else:
        able = torch.cuda.is_bf16_supported()
    return "bfloat16" if able else "float32"
