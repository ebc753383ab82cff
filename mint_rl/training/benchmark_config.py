"""The settings of a benchmark: which grid of training runs, and what each is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass

from mint_rl.envs.magical.names import TABLE, TASKS, VARIANTS
from mint_rl.errors import UserError, unknown_name
from mint_rl.options import option
from mint_rl.training.evaluate import TEST_SEED

SETTINGS = ("protocol", "randomised", "human")
_VARIANT_NAMES = tuple(dict.fromkeys(variant for variants in VARIANTS.values() for variant in variants))


@dataclass
class BenchmarkConfig:
    """Everything that decides a benchmark: tasks × data × policies × encoders × training seeds."""

    preset: str = option(
        "quick", "where defaults come from: quick (minutes) or paper (the full tables: many hours)"
    )
    tasks: list[str] = option(["MoveToRegion"], "tasks")
    data: list[str] = option(
        ["protocol"],
        "protocol (demonstrations of Demo alone), randomised (from TestJitter's starts), human (your "
        "--human files), or several of them together, such as human+protocol",
    )
    policies: list[str] = option(
        ["interaction:steps=500", "mlp:steps=500", "cnn:steps=150,batch=32,policy.width=0.25"],
        "policies, each with settings of 'mint-rl bc' after a colon; the first is compared with the others",
    )
    encoders: list[str] = option(["magical"], "encoders of the policies that read keypoints")
    seeds: int = option(2, "training seeds, from 0; a policy may have its own number: cnn:seeds=1")
    human: list[str] = option([], "files of human demonstrations for data=human, one for each task")
    protocol_demos: int = option(25, "demonstrations of the setting protocol")
    randomised_demos: int = option(25, "demonstrations of the setting randomised")

    variants: list[str] = option([], "variants to evaluate on; none: all that a task has")
    episodes: int = option(10, "episodes on each variant")
    test_seed: int = option(TEST_SEED, "seed of the first episode, for every policy; the next ones count up")

    jobs: int | None = option(None, "training runs at a time; none: one for each core")
    threads: int = option(1, "CPU threads of each")
    launcher: str | None = option(
        None, "an installed Hydra launcher, such as joblib or submitit_slurm:partition=cpu; none: --jobs"
    )
    videos: bool = option(True, "film an episode of each training run, for the report")
    out: str = option("runs/benchmark", "the folder; a benchmark that stopped there goes on")

    def __post_init__(self) -> None:
        for name in ("tasks", "data", "policies", "encoders"):
            if not getattr(self, name):
                raise UserError(f"the option '{name}' must name at least one")
        for name in ("seeds", "protocol_demos", "randomised_demos", "episodes", "jobs", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"the option '{name}' must be at least 1, got {value}")
        if not 0 <= self.test_seed < 2**31:
            raise UserError(f"the option 'test_seed' must be from 0 to 2147483647, got {self.test_seed}")
        for task in self.tasks:
            if task not in TABLE:
                raise unknown_name("task", task, TASKS)
        for data in self.data:
            for setting in data.split("+"):
                if setting not in SETTINGS:
                    raise unknown_name("setting of the data", setting, SETTINGS)
        for variant in self.variants:
            if variant not in _VARIANT_NAMES:
                raise unknown_name("variant", variant, _VARIANT_NAMES)
        for task in self.tasks:
            self.variants_of(task)
        if not self.out:
            raise UserError("the option 'out' must name a folder")

    def variants_of(self, task: str) -> list[str]:
        """The variants of a task to evaluate on, in MAGICAL's order; `UserError` if there is none."""
        chosen = [variant for variant in VARIANTS[task] if not self.variants or variant in self.variants]
        if not chosen:
            raise UserError(
                f"the task {task} has no variant {' or '.join(self.variants)}; it has: "
                f"{', '.join(VARIANTS[task])}"
            )
        return chosen
