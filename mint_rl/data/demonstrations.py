"""Demonstrations: what one is, and the file they are kept in.

The file is HDF5 in robomimic's layout, so robomimic's own `SequenceDataset` reads it::

    data                     attributes: total, env_args (JSON), source, format_version
      demo_0                 attributes: num_samples, score, seed (absent when unknown)
        obs/image            (T, H, W, 3) uint8, compressed
        actions              (T, 1) int64, the label: what the demonstrator wanted to do
        executed_actions     (T, 1) int64, what was done (differs from the label inside a noise burst)
        rewards, dones       (T,) float32 and uint8: MAGICAL's reward is always 0; done on the last step
        states               (T, S) float32, the simulator's state where it is known, else absent

`env_args` holds `env_name`, `type` (2: robomimic's number for a gym environment) and `env_kwargs`.
Frame t is the one that action t answered; the frame after the last action is not kept.
h5py is imported when a file is touched, never before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_rl.errors import UserError
from mint_rl.files import atomic_path

FORMAT_VERSION = 1
NUM_ACTIONS = 18  # MAGICAL's Discrete(18)
_GYM_ENV_TYPE = 2  # robomimic.envs.env_base.EnvType.GYM_TYPE
# Measured on 26 MB of MAGICAL frames at 96×96: gzip 4 in chunks of 8 frames gives 0.85 MB, read in 20 ms;
# lzf gives 1.9 MB at the same reading speed; gzip 9 saves a further 12 % and writes seven times slower.
_FRAMES_PER_CHUNK = 8
_GZIP_LEVEL = 4
# deflate cannot shrink data by more than a factor of 1,032: what claims more was never written.
_MAX_COMPRESSION = 1100


@dataclass(eq=False)
class Demonstration:
    """One episode of T steps. `ValueError` when shapes, types or ranges do not fit together."""

    images: NDArray[np.uint8]  # (T, H, W, 3), RGB: the frame that each action answered
    actions: NDArray[np.int64]  # (T,) in 0..17: the label, the demonstrator's own choice
    executed: NDArray[np.int64]  # (T,) in 0..17: what was done
    score: float  # MAGICAL's eval_score at the end, in [0, 1]
    seed: int | None = None  # what the episode was reset with
    states: NDArray[np.float32] | None = None  # (T, S), MagicalState.to_array() before each action

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[-1] != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"images must be (T, H, W, 3) uint8, got {_describe(self.images)}")
        length = len(self.images)
        if length == 0:
            raise ValueError("an episode needs at least one step, got none")
        for name, values in (("actions", self.actions), ("executed actions", self.executed)):
            if values.shape != (length,) or not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"{name} must be ({length},) integers, got {_describe(values)}")
            if values.min() < 0 or values.max() >= NUM_ACTIONS:
                low, high = int(values.min()), int(values.max())
                raise ValueError(f"{name} must be in 0..{NUM_ACTIONS - 1}, got {low}..{high}")
        if self.states is not None and (self.states.ndim != 2 or len(self.states) != length):
            raise ValueError(f"states must be ({length}, S), got {_describe(self.states)}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"the score must be in [0, 1], got {self.score}")
        self.actions = self.actions.astype(np.int64, copy=False)
        self.executed = self.executed.astype(np.int64, copy=False)
        if self.states is not None:
            self.states = self.states.astype(np.float32, copy=False)

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(eq=False)
class DemonstrationSet:
    """Demonstrations of one environment at one resolution; `ValueError` if none or of several sizes."""

    env_id: str  # such as "magical/MoveToCorner-Demo-v0"
    demonstrations: list[Demonstration]
    env_kwargs: dict[str, Any] = field(default_factory=dict)  # what gym.make was given beside the id; JSON
    source: str = ""  # where they come from, for people: "scripted expert, noise bursts …"

    def __post_init__(self) -> None:
        if not self.demonstrations:
            raise ValueError("a set of demonstrations needs at least one")
        shapes = sorted({demonstration.images.shape[1:] for demonstration in self.demonstrations})
        if len(shapes) > 1:
            raise ValueError(f"demonstrations of one set must have one image size, got {shapes}")

    def __len__(self) -> int:
        return len(self.demonstrations)

    def __iter__(self) -> Iterator[Demonstration]:
        return iter(self.demonstrations)

    def __getitem__(self, index: int) -> Demonstration:
        return self.demonstrations[index]

    @property
    def num_steps(self) -> int:
        """Steps of all demonstrations together."""
        return sum(len(demonstration) for demonstration in self.demonstrations)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, 3), the same for every frame of the set."""
        height, width, channels = self.demonstrations[0].images.shape[1:]
        return height, width, channels

    def require(self, env_id: str, image_shape: tuple[int, ...]) -> None:
        """`UserError` unless these show the task of `env_id`, in any variant, in frames of `image_shape`."""
        if _task(self.env_id) != _task(env_id):
            raise UserError(
                f"the demonstrations show {_task(self.env_id)} ('{self.env_id}'), not {_task(env_id)}: "
                f"record some with 'mint-rl demos record --env {_task(env_id)}'"
            )
        if self.image_shape != tuple(image_shape):
            raise UserError(
                f"the demonstrations' frames are {_size(self.image_shape)}, the environment's "
                f"{_size(image_shape)}: record or import them again at the environment's resolution"
            )


def write_demonstrations(path: str | Path, demonstrations: DemonstrationSet) -> None:
    """Write `demonstrations` to `path`, atomically: an interruption leaves what was there before."""
    import h5py

    env_args = {
        "env_name": demonstrations.env_id,
        "type": _GYM_ENV_TYPE,
        "env_kwargs": demonstrations.env_kwargs,
    }
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = demonstrations.num_steps
        data.attrs["env_args"] = json.dumps(env_args)
        data.attrs["source"] = demonstrations.source
        data.attrs["format_version"] = FORMAT_VERSION
        for index, demonstration in enumerate(demonstrations):
            _write_one(data.create_group(f"demo_{index}"), demonstration)


def read_demonstrations(path: str | Path) -> DemonstrationSet:
    """Read a file that `write_demonstrations` wrote, all of it into memory.

    `UserError` names the file and what is wrong with it: missing, empty, not HDF5, cut short, another
    layout, wrong shapes or types.
    """
    with _opened(Path(path)) as file:
        data = file.get("data")
        if not _is_group(data):
            raise ValueError("it has no group 'data'")
        version = int(data.attrs.get("format_version", FORMAT_VERSION))
        if version > FORMAT_VERSION:
            raise ValueError(f"its format {version} is newer than the {FORMAT_VERSION} that is known here")
        env_id, env_kwargs = _env_args(data.attrs.get("env_args"))
        names = sorted((name for name in data if name.startswith("demo_")), key=_demo_index)
        if not names:
            raise ValueError("it holds no demonstration (no group 'data/demo_0')")
        demonstrations = [_read_one(data, name) for name in names]
        return DemonstrationSet(env_id, demonstrations, env_kwargs, _text(data.attrs.get("source", "")))


def _write_one(group: Any, demonstration: Demonstration) -> None:
    length = len(demonstration)
    group.attrs["num_samples"] = length
    group.attrs["score"] = demonstration.score
    if demonstration.seed is not None:
        group.attrs["seed"] = demonstration.seed
    group.create_dataset(
        "obs/image",
        data=demonstration.images,
        chunks=(min(_FRAMES_PER_CHUNK, length), *demonstration.images.shape[1:]),
        compression="gzip",
        compression_opts=_GZIP_LEVEL,
        fletcher32=True,  # a damaged file is noticed, not learned from
    )
    group.create_dataset("actions", data=demonstration.actions[:, None])
    group.create_dataset("executed_actions", data=demonstration.executed[:, None])
    group.create_dataset("rewards", data=np.zeros(length, np.float32))
    group.create_dataset("dones", data=(np.arange(length) == length - 1).astype(np.uint8))
    if demonstration.states is not None:
        group.create_dataset("states", data=demonstration.states)


def _read_one(data: Any, name: str) -> Demonstration:
    group = data[name]
    if not _is_group(group):
        raise ValueError(f"'data/{name}' is not a group")
    images = _array(group, "obs/image")
    actions = _column(group, "actions")
    executed = _column(group, "executed_actions") if "executed_actions" in group else actions
    states = _array(group, "states") if "states" in group else None
    if "score" not in group.attrs:
        raise ValueError(f"'data/{name}' has no attribute 'score'")
    seed = group.attrs.get("seed")
    try:
        return Demonstration(
            images,
            actions,
            executed,
            score=float(group.attrs["score"]),
            seed=None if seed is None else int(seed),
            states=states,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"in 'data/{name}' {error}") from error


def _array(group: Any, name: str) -> NDArray[Any]:
    """A numeric dataset of this very file, as an array; `ValueError` for anything else."""
    import h5py

    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"'{group.name}' has no dataset '{name}'")
    if dataset.shape is None or dataset.dtype.kind not in "uif":
        raise ValueError(f"'{dataset.name}' holds {dataset.dtype}, not numbers")
    # Neither other files' bytes (external storage, virtual datasets, links) nor sizes that were never stored.
    if dataset.external or dataset.is_virtual or dataset.file.filename != group.file.filename:
        raise ValueError(f"'{dataset.name}' points into another file")
    if dataset.nbytes > _MAX_COMPRESSION * dataset.id.get_storage_size():
        raise ValueError(f"'{dataset.name}' claims {dataset.nbytes:,} bytes but stores fewer")
    values: NDArray[Any] = dataset[()]
    return values


def _column(group: Any, name: str) -> NDArray[Any]:
    """A (T, 1) or (T,) dataset as (T,)."""
    values = _array(group, name)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """`path` as an open HDF5 file; whatever is wrong with it becomes a `UserError` that names it."""
    import h5py

    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(
            f"demonstration file '{path}' {what}: give a file from 'mint-rl demos record' or 'import'"
        )
    try:
        if path.stat().st_size == 0:
            raise ValueError("it is empty")
        if not h5py.is_hdf5(path):
            raise ValueError("it is not an HDF5 file")
        with h5py.File(path, "r") as file:
            yield file
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"demonstration file '{path}' cannot be read: permission denied") from error
    except (OSError, RuntimeError, KeyError) as error:
        # what h5py raises for a file that was cut short or whose bytes changed
        raise UserError(
            f"demonstration file '{path}' is damaged or cut short: record or copy it again"
        ) from error
    except ValueError as error:
        raise UserError(
            f"'{path}' is not a demonstration file of mint-rl: {error}; make one with 'mint-rl demos record'"
        ) from error


def _env_args(value: Any) -> tuple[str, dict[str, Any]]:
    if value is None:
        raise ValueError("its group 'data' has no attribute 'env_args'")
    try:
        env_args = json.loads(_text(value))
        env_id, env_kwargs = env_args["env_name"], env_args.get("env_kwargs", {})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("its attribute 'env_args' is not JSON with an 'env_name'") from error
    if not isinstance(env_id, str) or not isinstance(env_kwargs, dict):
        raise ValueError("its attribute 'env_args' is not JSON with an 'env_name'")
    return env_id, env_kwargs


def _demo_index(name: str) -> int:
    try:
        return int(name.removeprefix("demo_"))
    except ValueError:
        raise ValueError(f"its group 'data/{name}' has no number") from None


def _is_group(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Group)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _task(env_id: str) -> str:
    """The task in "magical/MoveToCorner-Demo-v0" or in "MoveToCorner"."""
    return env_id.rpartition("/")[2].partition("-")[0]


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(side) for side in shape)


def _describe(values: NDArray[Any]) -> str:
    return f"{values.shape} {values.dtype}"
