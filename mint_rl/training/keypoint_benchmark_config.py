"""The settings of a benchmark of keypoints: which methods, trained on what, and what each is scored on."""

from __future__ import annotations

from dataclasses import dataclass

from mint_rl.data.videos.config import parse_size
from mint_rl.envs.magical.names import TABLE, TASKS
from mint_rl.errors import UserError, unknown_name
from mint_rl.options import option
from mint_rl.training.keypoint_evaluation import KeypointEvaluationConfig


@dataclass
class KeypointBenchmarkConfig:
    """Everything that decides a benchmark of keypoints: methods × data × training seeds."""

    preset: str = option(
        "quick", "where defaults come from: quick (minutes) or paper (the full tables: many hours)"
    )
    methods: list[str] = option(
        ["mint", "mint-paper", "transporter", "video-structure"],
        "ways of training keypoints, each with settings of 'mint-rl pretrain' after a colon",
    )
    data: list[str] = option(
        ["magical", "bouncing"],
        "what to train and score on: magical, bouncing (made videos), or folders of CLEVRER with proposals",
    )
    seeds: int = option(1, "training seeds, from 0; a method may have its own number: transporter:seeds=1")
    also: list[str] = option(["magical"], "encoders to score as they are: shipped, run folders, .pt files")
    controls: list[int] = option(
        [25, 9], "numbers of keypoints of the controls, random ones and a fixed grid; 0: no controls"
    )

    steps: int | None = option(200, "training steps; none: as many as each method takes by itself")
    rollouts: int = option(3, "of data=magical: episodes of each of the eight tasks to train on")
    videos: int = option(20, "of other data: videos to train on")
    size: str | None = option(None, "of other data: height x width of the frames, say 160x240")

    tasks: list[str] = option(
        ["MoveToCorner", "MakeLine"],
        "MAGICAL tasks to score on; none: those with a scripted expert on Demo, all on the Test variants",
    )
    variants: list[str] = option(["Demo", "TestJitter"], "their variants; tasks without one are left out")
    episodes: int = option(2, "episodes of each of these environments")
    test_videos: int = option(5, "of other data: videos to score on, none of them trained on")

    dynamics: bool = option(False, "also learn how each encoder's keypoints move, and score predictions")
    dynamics_steps: int = option(200, "training steps of that, at most")
    dynamics_videos: int = option(5, "episodes of each environment, or videos of bouncing, to learn from")
    dynamics_test_videos: int = option(3, "and so many to score it on")
    horizons: list[int] = option([1, 2, 5, 10], "how many steps ahead predictions are scored")

    jobs: int | None = option(None, "training runs at a time; none: one for each core")
    threads: int = option(1, "CPU threads of each")
    launcher: str | None = option(
        None, "an installed Hydra launcher, such as joblib or submitit_slurm:partition=cpu; none: --jobs"
    )
    out: str = option("runs/keypoint-benchmark", "the folder; a benchmark that stopped there goes on")

    def __post_init__(self) -> None:
        if not self.data:
            raise UserError("the option 'data' must name at least one")
        if not self.methods and not self.also and not any(self.controls):
            raise UserError("the options 'methods', 'also' and 'controls' are all empty: nothing to compare")
        lowest = {
            "seeds": 1, "steps": 1, "rollouts": 1, "videos": 1, "episodes": 1,
            "test_videos": 1,
            "dynamics_steps": 1, "dynamics_videos": 2, "dynamics_test_videos": 1, "jobs": 1, "threads": 1,
        }  # fmt: skip
        for name, limit in lowest.items():
            value = getattr(self, name)
            if value is not None and value < limit:
                raise UserError(f"the option '{name}' must be at least {limit}, got {value}")
        if min(self.controls, default=0) < 0:
            raise UserError(f"the option 'controls' must hold numbers of keypoints, got {self.controls}")
        if self.size is not None:
            parse_size(self.size)
        for task in self.tasks:
            if task not in TABLE:
                raise unknown_name("task", task, TASKS)
        if not self.horizons or min(self.horizons) < 1 or len(set(self.horizons)) < len(self.horizons):
            raise UserError(
                f"the option 'horizons' must hold different numbers of steps, 1 or more, got {self.horizons}"
            )
        _ = self.environments()
        if not self.out:
            raise UserError("the option 'out' must name a folder")

    def environments(self) -> list[str]:
        """The ids of MAGICAL's environments to score on, variant by variant; `UserError` if there is none."""
        return KeypointEvaluationConfig(tasks=self.tasks, variants=self.variants).environments()
