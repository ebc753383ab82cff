"""`mint-rl demos record`: scripted demonstrations, with a progress bar, into a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mint_rl.data.demonstrations import write_demonstrations
from mint_rl.envs.magical.names import parse_env_id
from mint_rl.envs.magical.recording import LONGEST_BURST, NOISE, record_demonstrations
from mint_rl.errors import UserError
from mint_rl.files import writable_folder
from mint_rl.options import option


@dataclass
class RecordConfig:
    """What to record, and where to."""

    env: str = option("MoveToCorner", "task, with or without variant, such as MoveToCorner-TestJitter")
    episodes: int = option(25, "demonstrations to keep")
    seed: int = option(0, "episode i is reset with seed + i")
    noise: float = option(NOISE, "probability that a burst of one random action begins at a step; 0: none")
    longest_burst: int = option(LONGEST_BURST, "steps that a burst lasts at most")
    view: str = option("allo", "the camera: allo (from above) or ego (from the robot)")
    resolution: int = option(96, "side of the frames in pixels: 96, or 384 as drawn")
    out: str | None = option(None, "the file to write; none: demos/<env>.hdf5")
    overwrite: bool = option(False, "replace a file that is already there")


def record(config: RecordConfig, say: Callable[[str], None] = print) -> Path:
    """Record demonstrations by the scripted expert and write them to `config.out`; returns the path.

    Raises `UserError` for an unknown environment, a task without expert, a file that exists, or a folder that
    cannot be written (before recording, so that no work is lost).
    """
    from tqdm import tqdm

    task, variant = parse_env_id(config.env)
    path = Path(config.out if config.out is not None else f"demos/{task}-{variant}.hdf5")
    if path.exists() and not config.overwrite:
        raise UserError(f"'{path}' exists already: choose another --out, or pass --overwrite")
    writable_folder(path.parent)
    with tqdm(total=config.episodes, desc="recording", unit="demo", delay=0.3) as bar:
        demonstrations = record_demonstrations(
            config.env,
            config.episodes,
            config.seed,
            config.noise,
            config.longest_burst,
            view=config.view,
            resolution=config.resolution,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    write_demonstrations(path, demonstrations)
    say(f"{len(demonstrations)} demonstrations, {demonstrations.num_steps:,} steps: '{path}'")
    return path
