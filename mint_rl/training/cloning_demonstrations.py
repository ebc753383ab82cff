"""The demonstrations of a behaviour-cloning run: read from files, or recorded with the scripted expert."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import gymnasium as gym

from mint_rl.data.demonstrations import (
    Demonstration,
    DemonstrationSet,
    read_demonstrations,
    write_demonstrations,
)
from mint_rl.envs.magical.names import env_id, parse_env_id
from mint_rl.errors import UserError
from mint_rl.training.bc_config import BCConfig
from mint_rl.training.cloning_data import require_enough

DEMONSTRATIONS_FILE = "demonstrations.hdf5"
# Attempts at demonstrations count their seeds up from here, so that runs of different seeds share none.
SEEDS_APART = 1000


def given_demonstrations(config: BCConfig, say: Callable[[str], None] = print) -> list[DemonstrationSet]:
    """The sets of the files that the configuration names, without what failed.

    Raises `UserError` for demonstrations that do not fit or are too few, and if all of a file failed.
    """
    found = [read_fitting(path, config.env) for path in config.demos]
    good = [without_failures(one, config.lowest_score, say) for one in found]
    if good:
        require_enough(sum(map(len, good)))
    return good


def recorded_demonstrations(
    config: BCConfig, folder: Path, say: Callable[[str], None] = print
) -> list[DemonstrationSet]:
    """New demonstrations of the scripted expert, a set for each variant to record on.

    They are written to `demonstrations.hdf5` in the run folder, with the variant in the name if there are
    several, and read from there when the run is resumed. Raises `UserError` for a task without expert.
    """
    task, _ = parse_env_id(config.env)
    variants = [parse_env_id(name)[1] for name in config.demo_env or [config.env]]
    found = []
    for number, variant in enumerate(variants):
        # The first variants take one more where the episodes cannot be shared evenly.
        share = len(range(number, config.episodes, len(variants)))
        path = folder / recorded_name(variant, len(variants))
        if config.resume:
            found.append(read_fitting(str(path), config.env))
        else:
            found.append(_record(env_id(task, variant), share, config.seed, path, say))
    return found


def recorded_name(variant: str, variants: int) -> str:
    """The file in the run folder of what was recorded on a variant, one of several or the only one."""
    stem, suffix = DEMONSTRATIONS_FILE.split(".")
    return DEMONSTRATIONS_FILE if variants == 1 else f"{stem}-{variant}.{suffix}"


def read_fitting(path: str, env: str) -> DemonstrationSet:
    """The demonstrations of a file, if they show the task of `env` as the policy will see it."""
    name = env_id(*parse_env_id(env))
    demonstrations = read_demonstrations(path)
    space = gym.make(name).observation_space
    assert space.shape is not None
    demonstrations.require(name, space.shape)
    view = demonstrations.env_kwargs.get("view", "allo")
    if view != "allo":
        raise UserError(f"the demonstrations in '{path}' show the view '{view}', but policies see 'allo'")
    return demonstrations


def without_failures(
    demonstrations: DemonstrationSet, lowest: float, say: Callable[[str], None] = print
) -> DemonstrationSet:
    """Those that scored `lowest` at least; the others are said, and if none is left it is a `UserError`."""
    good = [one for one in demonstrations if one.score >= lowest - 1e-6]
    failed = len(demonstrations) - len(good)
    if not good:
        best = max(one.score for one in demonstrations)
        raise UserError(
            f"all {failed} demonstrations of '{demonstrations.env_id}' failed, the best with a score of "
            f"{best:.2f}: give others, or take these with lowest_score={best:.2f} or less"
        )
    if failed:
        say(f"left out {failed} of {len(demonstrations)} demonstrations that scored below {lowest:g}")
    return DemonstrationSet(demonstrations.env_id, good, demonstrations.env_kwargs, demonstrations.source)


def episodes_of(sets: Sequence[DemonstrationSet]) -> list[Demonstration]:
    """The demonstrations of all sets, one after another."""
    return [demonstration for one in sets for demonstration in one]


def variants_of(sets: Sequence[DemonstrationSet]) -> list[str]:
    """The variants that the demonstrations come from, each once."""
    return sorted({parse_env_id(one.env_id)[1] for one in sets})


def digest_of(episodes: Sequence[Demonstration]) -> str:
    """A digest of what there is to learn: frames and labels."""
    digest = hashlib.sha256()
    for episode in episodes:
        digest.update(episode.images.tobytes())
        digest.update(episode.actions.tobytes())
    return digest.hexdigest()


def _record(env: str, episodes: int, seed: int, path: Path, say: Callable[[str], None]) -> DemonstrationSet:
    """Demonstrations of the scripted expert, recorded into the run folder."""
    from tqdm import tqdm

    from mint_rl.envs.magical.recording import record_demonstrations

    say(f"recording {episodes} demonstrations of {env}")
    with tqdm(total=episodes, desc="recording", unit="episode") as progress:
        demonstrations = record_demonstrations(
            env,
            episodes,
            SEEDS_APART * seed,
            progress=lambda done, _: progress.update(done - progress.n),
        )
    write_demonstrations(path, demonstrations)
    return demonstrations
