"""MAGICAL's human demonstrations (`*.pkl.gz`) as a `DemonstrationSet`.

A file is a gzip pickle of `{trajectory: (acts, obs, rews, infos), score, env_name}`. `obs` has one entry more
than there are actions, each `{allo, ego}` with a uint8 picture of 384×384×3. The pictures are averaged over
areas to the size that policies see, bit-identical to OpenCV's INTER_AREA, which is what MAGICAL's own
low-resolution environments use. The pickles are read as data: see `mint_rl.data.safe_pickle`.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.demonstrations import Demonstration, DemonstrationSet
from mint_rl.data.safe_pickle import PickledArray, PickledTrajectory, read_pickle_as_data
from mint_rl.errors import UserError, unknown_name

VIEWS = ("allo", "ego")
SUFFIX = ".pkl.gz"
# The longest demonstration that MAGICAL's limits allow (240 steps, two views at 384×384) unpacks to 204 MiB.
MAX_UNPACKED_BYTES = 512 * 2**20
# <task>-<variant>[-<preprocessing>]-v0
_ENV_NAME = re.compile(
    r"(?P<task>[A-Za-z]+)-(?P<variant>Demo|Test[A-Za-z]+)(-[A-Za-z0-9]+)?-v(?P<version>\d+)"
)


def import_demonstrations(
    source: str | Path | Iterable[str | Path],
    view: str = "allo",
    resolution: int = 96,
    progress: Callable[[int, int], None] | None = None,
) -> DemonstrationSet:
    """The demonstrations in a folder (searched with its subfolders), in one file, or in several files.

    `view` is "allo" (the whole arena) or "ego" (the robot's); frames become `resolution`×`resolution`, and
    the recorded size must be a multiple of that. `progress` is called with (files done, files in all).
    `UserError` if there is no such file, one of them is broken or holds anything but a demonstration (nothing
    in it is executed), or they show different environments.
    """
    if view not in VIEWS:
        raise unknown_name("view", view, VIEWS)
    paths = find_pickles(source)
    demonstrations: list[Demonstration] = []
    first: dict[str, Path] = {}  # environment → the first file that shows it
    for done, path in enumerate(paths, start=1):
        env_id, demonstration = read_pickle(path, view, resolution)
        first.setdefault(env_id, path)
        if len(first) > 1:
            (one, one_path), (other, other_path) = first.items()
            raise UserError(
                f"the demonstrations show different environments: '{one_path}' shows {one}, '{other_path}' "
                f"shows {other}; import one environment at a time"
            )
        demonstrations.append(demonstration)
        if progress is not None:
            progress(done, len(paths))
    (env_id,) = first
    kwargs = {"view": view, "resolution": resolution}
    return DemonstrationSet(env_id, demonstrations, kwargs, "human, MAGICAL pickles")


def find_pickles(source: str | Path | Iterable[str | Path]) -> list[Path]:
    """The `*.pkl.gz` files that `source` means, sorted within a folder; `UserError` if there are none."""
    given = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    paths: list[Path] = []
    for path in given:
        if path.is_dir():
            paths += sorted(path.rglob(f"*{SUFFIX}"))
        elif path.exists():
            paths.append(path)
        else:
            raise UserError(
                f"'{path}' does not exist: give a folder or file of MAGICAL demonstrations (*{SUFFIX})"
            )
    if not paths:
        where = ", ".join(f"'{path}'" for path in given) or "what was given"
        raise UserError(
            f"no MAGICAL demonstration (*{SUFFIX}) found in {where}: give the folder that holds them"
        )
    return paths


def read_pickle(path: Path, view: str = "allo", resolution: int = 96) -> tuple[str, Demonstration]:
    """One file's environment id and demonstration. `UserError` names the file and what is wrong with it."""
    with _blaming(path):
        with gzip.open(path, "rb") as stream:
            content = read_pickle_as_data(stream, MAX_UNPACKED_BYTES)  # type: ignore[arg-type]
        if not isinstance(content, dict) or not {"trajectory", "score", "env_name"} <= content.keys():
            raise ValueError("it lacks one of trajectory, score, env_name")
        trajectory, score = content["trajectory"], content["score"]
        if not isinstance(trajectory, PickledTrajectory) or len(trajectory.values) != 4:
            raise ValueError("its trajectory is not (acts, obs, rews, infos)")
        if type(score) not in (int, float):
            raise ValueError("its score is not a number")
        actions, observations = trajectory.values[:2]
        acts = np.array(_array(actions, "actions"))  # a copy: what came from bytes is read-only
        if not isinstance(observations, list) or len(observations) != len(acts) + 1:
            raise ValueError("it does not have one frame more than it has actions")
        if len(acts) == 0:
            raise ValueError("it has no steps")
        images = np.stack([_frame(entry, view, resolution) for entry in observations[:-1]])
        return _env_id(content["env_name"]), Demonstration(images, acts, acts, float(score))


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except EOFError as error:
        raise UserError(f"'{path}' is cut short: copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"'{path}' is not a gzip file or is damaged: copy or download it again") from error
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except (ValueError, struct.error, IndexError, OverflowError, MemoryError) as error:
        # pickletools reports cut or impossible arguments by these; none of them ran anything
        reason = str(error).splitlines()[0] if str(error) else "it is not a pickle"
        raise UserError(f"'{path}' is not a MAGICAL demonstration and was not imported: {reason}") from error


def _env_id(name: Any) -> str:
    match = _ENV_NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise ValueError("its env_name is not the name of a MAGICAL environment")
    return f"magical/{match['task']}-{match['variant']}-v{match['version']}"


def _array(value: Any, what: str) -> NDArray[Any]:
    if not isinstance(value, PickledArray) or value.value is None or value.value.ndim == 0:
        raise ValueError(f"its {what} are not an array")
    return value.value


def _frame(entry: Any, view: str, resolution: int) -> NDArray[np.uint8]:
    """One observation's picture, averaged over areas to (resolution, resolution, 3)."""
    if not isinstance(entry, dict) or view not in entry:
        raise ValueError(f"it has no '{view}' view")
    picture = _array(entry[view], "frames")
    side = picture.shape[0]
    if picture.shape != (side, side, 3) or picture.dtype != np.uint8:
        raise ValueError(f"its frames are {picture.shape} {picture.dtype}, not square uint8 RGB pictures")
    if side == 0 or side % resolution:
        raise ValueError(f"its frames are {side}×{side}, which is no multiple of {resolution}×{resolution}")
    return area_average(picture, resolution)


def area_average(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square uint8 picture (S, S, 3) as (side, side, 3): each pixel the mean of its S/side × S/side block,
    rounded half to even, as OpenCV's INTER_AREA does for whole factors."""
    import cv2

    resized: NDArray[np.uint8] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return resized
