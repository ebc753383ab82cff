"""MAGICAL's tasks, variants and actions: their names, how long episodes last, what each variant randomises.

A static table: reading it imports neither MAGICAL nor numba. The tests compare it with MAGICAL's own
registrations (`register_envs` in magical/benchmarks/__init__.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mint_rl.errors import UserError, unknown_name


@dataclass(frozen=True)
class Task:
    """One of the eight tasks.

    module, class_name: where MAGICAL keeps it, below `magical.benchmarks`
    max_episode_steps:  every episode lasts exactly this long
    variants:           for each variant, the constructor flags that are True; all others are False
    """

    module: str
    class_name: str
    max_episode_steps: int
    variants: dict[str, tuple[str, ...]]

    def flags(self, variant: str) -> dict[str, bool]:
        """All constructor flags of the task with their values in `variant`."""
        every = dict.fromkeys(flag for flags in self.variants.values() for flag in flags)
        return {flag: flag in self.variants[variant] for flag in every}


def _variants(
    colour: tuple[str, ...], shape: tuple[str, ...], count: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The variants of the tasks with a `rand_layout_minor` and a `rand_layout_full` flag."""
    everything = (*colour, *shape, *count, "rand_layout_full")
    return {
        "Demo": (),
        "TestJitter": ("rand_layout_minor",),
        "TestColour": colour,
        "TestShape": shape,
        "TestLayout": ("rand_layout_full",),
        "TestCountPlus": everything,
        "TestDynamics": ("rand_dynamics",),
        "TestAll": (*everything, "rand_dynamics"),
    }


_CLUSTER = _variants(("rand_shape_colour",), ("rand_shape_type",), ("rand_shape_count",))
_BLOCKS = _variants(("rand_colours",), ("rand_shapes",), ("rand_count",))

TABLE: dict[str, Task] = {
    "MoveToCorner": Task(
        "move_to_corner",
        "MoveToCornerEnv",
        80,
        {
            "Demo": (),
            "TestJitter": ("rand_poses",),
            "TestColour": ("rand_shape_colour",),
            "TestShape": ("rand_shape_type",),
            "TestDynamics": ("rand_dynamics",),
            "TestAll": ("rand_shape_colour", "rand_shape_type", "rand_poses", "rand_dynamics"),
        },
    ),
    "MoveToRegion": Task(
        "move_to_region",
        "MoveToRegionEnv",
        40,
        {
            "Demo": (),
            "TestJitter": ("rand_poses_minor",),
            "TestColour": ("rand_goal_colour",),
            "TestLayout": ("rand_poses_full",),
            "TestDynamics": ("rand_dynamics",),
            "TestAll": ("rand_goal_colour", "rand_poses_full", "rand_dynamics"),
        },
    ),
    "MatchRegions": Task(
        "match_regions",
        "MatchRegionsEnv",
        120,
        _variants(("rand_target_colour",), ("rand_shape_type",), ("rand_shape_count",)),
    ),
    "MakeLine": Task("make_line", "MakeLineEnv", 180, _BLOCKS),
    "FindDupe": Task("find_dupe", "FindDupeEnv", 100, _BLOCKS),
    "FixColour": Task("fix_colour", "FixColourEnv", 60, _BLOCKS),
    "ClusterColour": Task("cluster", "ClusterColourEnv", 240, _CLUSTER),
    "ClusterShape": Task("cluster", "ClusterShapeEnv", 240, _CLUSTER),
}

TASKS: tuple[str, ...] = tuple(TABLE)
VARIANTS: dict[str, tuple[str, ...]] = {name: tuple(task.variants) for name, task in TABLE.items()}

# Action 9·grip + 3·turn + drive: drive none/up/down, turn none/left/right, gripper open/close.
ACTION_NAMES: tuple[str, ...] = tuple(
    f"{drive}{turn}{grip}"
    for grip in ("Open", "Close")
    for turn in ("", "Left", "Right")
    for drive in ("", "Up", "Down")
)

IDLE = ACTION_NAMES.index("Open")  # the action that does nothing: the gripper opens, or stays open

_NAME = re.compile(r"(?:magical/)?(?P<task>[^-/]+)(?:-(?P<variant>[^-/]+))?(?:-v0)?")


def env_id(task: str, variant: str = "Demo") -> str:
    """The gymnasium id of a task and variant, `magical/MoveToCorner-Demo-v0`.

    Raises `UserError`, listing the known names, if there is no such task or variant.
    """
    check_names(task, variant)
    return f"magical/{task}-{variant}-v0"


def parse_env_id(name: str) -> tuple[str, str]:
    """The task and the variant that a user means by `MoveToCorner`, `MoveToCorner-TestJitter`
    or `magical/MoveToCorner-Demo-v0`; the variant is Demo unless given. Raises `UserError`."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(
            f"'{name}' does not name a MAGICAL environment: write a task (MoveToCorner), a task and "
            "variant (MoveToCorner-TestJitter) or an id (magical/MoveToCorner-Demo-v0)"
        )
    task, variant = match["task"], match["variant"] or "Demo"
    check_names(task, variant)
    return task, variant


def check_names(task: str, variant: str) -> None:
    """Raise `UserError` unless MAGICAL has this task, and the task this variant."""
    if task not in TABLE:
        raise unknown_name("task", task, TASKS)
    if variant not in TABLE[task].variants:
        raise unknown_name(f"variant of {task}", variant, VARIANTS[task])
