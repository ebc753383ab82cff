"""The demonstration file: what is written is read back, robomimic can read it, bad files get a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mint_rl.data.demonstrations import (
    NUM_ACTIONS,
    Demonstration,
    DemonstrationSet,
    read_demonstrations,
    write_demonstrations,
)
from mint_rl.errors import UserError

h5py = pytest.importorskip("h5py")


def one(length: int = 5, seed: int | None = 7, size: int = 8, states: bool = True) -> Demonstration:
    rng = np.random.default_rng(length)
    return Demonstration(
        images=rng.integers(0, 256, (length, size, size, 3), dtype=np.uint8),
        actions=rng.integers(0, NUM_ACTIONS, length),
        executed=rng.integers(0, NUM_ACTIONS, length),
        score=0.75,
        seed=seed,
        states=rng.normal(size=(length, 4)).astype(np.float32) if states else None,
    )


def several(**kwargs: object) -> DemonstrationSet:
    demonstrations = [one(length, seed=None if length == 3 else length) for length in (3, 20, *range(4, 14))]
    return DemonstrationSet(
        "magical/MoveToCorner-Demo-v0", demonstrations, {"resolution": 8, "view": "allo"}, "made up"
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = several()
    write_demonstrations(tmp_path / "new folder" / "demos.hdf5", written)
    read = read_demonstrations(tmp_path / "new folder" / "demos.hdf5")
    assert (read.env_id, read.env_kwargs, read.source) == (written.env_id, written.env_kwargs, written.source)
    # twelve demonstrations: demo_10 sorts before demo_2 as text, and must not here
    assert [len(demonstration) for demonstration in read] == [len(demonstration) for demonstration in written]
    for before, after in zip(written, read, strict=True):
        for name in ("images", "actions", "executed", "states"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
            assert getattr(before, name).dtype == getattr(after, name).dtype
        assert (before.score, before.seed) == (after.score, after.seed)
    assert read.num_steps == sum(len(demonstration) for demonstration in written)
    assert read.image_shape == (8, 8, 3)
    assert len(read[1]) == 20


def test_demonstrations_without_states_stay_without(tmp_path: Path) -> None:
    write_demonstrations(tmp_path / "d.hdf5", DemonstrationSet("magical/X-Demo-v0", [one(states=False)]))
    assert read_demonstrations(tmp_path / "d.hdf5")[0].states is None


def test_robomimic_finds_what_it_reads(tmp_path: Path) -> None:
    """The accesses of robomimic 0.3: get_env_metadata_from_dataset, get_shape_metadata_from_dataset and
    SequenceDataset, which opens the file for single-writer-multiple-reader access."""
    write_demonstrations(tmp_path / "d.hdf5", several())
    with h5py.File(tmp_path / "d.hdf5", "r", swmr=True, libver="latest") as file:
        meta = json.loads(file["data"].attrs["env_args"])
        assert meta["env_name"] == "magical/MoveToCorner-Demo-v0"
        assert meta["type"] == 2
        assert meta["env_kwargs"] == {"resolution": 8, "view": "allo"}
        demos = list(file["data"].keys())
        assert sorted(int(name[5:]) for name in demos) == list(range(12))
        assert file["data"].attrs["total"] == sum(file[f"data/{name}"].attrs["num_samples"] for name in demos)
        for name in demos:
            length = file[f"data/{name}"].attrs["num_samples"]
            assert file[f"data/{name}/actions"].shape == (length, 1)
            assert list(file[f"data/{name}/obs"]) == ["image"]
            assert file[f"data/{name}/obs/image"].shape[1:] == (8, 8, 3)
            for key in ("actions", "rewards", "dones", "states"):
                assert file[f"data/{name}/{key}"][()].astype("float32").shape[0] == length
            assert file[f"data/{name}/dones"][()].tolist() == [0] * (length - 1) + [1]
            assert file[f"data/{name}/obs/image"].compression == "gzip"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "d.hdf5"
    write_demonstrations(path, several())
    before = path.read_bytes()
    broken = several()
    broken.env_kwargs = {"not JSON": object()}
    with pytest.raises(TypeError):
        write_demonstrations(path, broken)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.hdf5"]


def rewrite(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    """A way to spoil a good file: change it in place."""

    def spoil(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return spoil


def replaced(name: str, values: object) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return rewrite(change)


def without(name: str) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return rewrite(change)


def attribute(where: str, name: str, value: object) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        if value is None:
            del file[where].attrs[name]
        else:
            file[where].attrs[name] = value

    return rewrite(change)


def link_outside(path: Path) -> None:
    write_demonstrations(path.with_name("other.hdf5"), several())
    with h5py.File(path, "r+") as file:
        del file["data/demo_1/obs/image"]
        file["data/demo_1/obs/image"] = h5py.ExternalLink("other.hdf5", "data/demo_1/obs/image")


def bytes_of_another_file(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(bytes(20 * 8 * 8 * 3))
    with h5py.File(path, "r+") as file:
        del file["data/demo_1/obs/image"]
        file["data/demo_1/obs"].create_dataset(
            "image", (20, 8, 8, 3), "u1", external=[(str(secret), 0, 20 * 8 * 8 * 3)]
        )


def enormous(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["data/demo_1/obs/image"]
        file["data/demo_1/obs"].create_dataset(
            "image", (10**9, 96, 96, 3), "u1", chunks=(1, 96, 96, 3), compression="gzip"
        )


def flip_image_bytes(path: Path) -> None:
    with h5py.File(path, "r") as file:
        chunk = file["data/demo_1/obs/image"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    content[middle] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (Path.unlink, "does not exist"),
        (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_text("not HDF5"), "it is not an HDF5 file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2000]), "damaged or cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:600]), "damaged or cut short"),
        (flip_image_bytes, "damaged or cut short"),
        (without("data"), "it has no group 'data'"),
        (replaced("data", np.zeros(3)), "it has no group 'data'"),
        (attribute("data", "env_args", None), "no attribute 'env_args'"),
        (attribute("data", "env_args", "{"), "'env_args' is not JSON"),
        (attribute("data", "env_args", "[1]"), "'env_args' is not JSON"),
        (attribute("data", "env_args", '{"env_name": 3}'), "'env_args' is not JSON"),
        (attribute("data", "env_args", "[" * 100_000), "'env_args' is not JSON"),
        (attribute("data", "format_version", 99), "format 99 is newer"),
        (rewrite(lambda file: [file["data"].pop(name) for name in list(file["data"])]), "no demonstration"),
        (rewrite(lambda file: file.move("data/demo_1", "data/demo_one")), "has no number"),
        (without("data/demo_1/obs/image"), "no dataset 'obs/image'"),
        (without("data/demo_1/actions"), "no dataset 'actions'"),
        (attribute("data/demo_1", "score", None), "no attribute 'score'"),
        (attribute("data/demo_1", "score", 1.5), r"score must be in \[0, 1\], got 1.5"),
        (attribute("data/demo_1", "score", float("nan")), r"score must be in \[0, 1\]"),
        (replaced("data/demo_1/actions", np.full((20, 1), 18)), r"must be in 0\.\.17, got 18\.\.18"),
        (replaced("data/demo_1/actions", np.full((20, 1), -1)), r"must be in 0\.\.17, got -1\.\.-1"),
        (
            replaced("data/demo_1/actions", np.zeros((20, 7))),
            r"must be \(20,\) integers, got \(20, 7\) float64",
        ),
        (replaced("data/demo_1/actions", np.zeros((19, 1), int)), r"must be \(20,\) integers"),
        (replaced("data/demo_1/actions", b"text"), "not numbers"),
        (
            replaced("data/demo_1/executed_actions", np.full((20, 1), 99)),
            r"executed actions must be in 0\.\.17",
        ),
        (replaced("data/demo_1/states", np.zeros((3, 4))), r"states must be \(20, S\)"),
        (replaced("data/demo_1/obs/image", np.zeros((20, 8, 8, 3))), r"\(T, H, W, 3\) uint8"),
        (replaced("data/demo_1/obs/image", np.zeros((20, 8, 8), "u1")), r"\(T, H, W, 3\) uint8"),
        (replaced("data/demo_1/obs/image", np.zeros((20, 9, 9, 3), "u1")), "one image size"),
        (replaced("data/demo_1/obs/image", h5py.Empty("u1")), "not numbers"),
        (link_outside, "points into another file"),
        (bytes_of_another_file, "points into another file"),
        (enormous, "claims .* bytes but stores fewer"),
    ],
)
def test_bad_files_get_one_sentence_that_names_them(
    tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "spoiled.hdf5"
    write_demonstrations(path, several())
    spoil(path)
    with pytest.raises(UserError, match=says) as raised:
        read_demonstrations(path)
    assert "spoiled.hdf5" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_label_of_what_was_done_means_the_action_was(tmp_path: Path) -> None:
    path = tmp_path / "d.hdf5"
    write_demonstrations(path, several())
    without("data/demo_1/executed_actions")(path)
    read = read_demonstrations(path)
    np.testing.assert_array_equal(read[1].executed, read[1].actions)


def test_another_task_or_resolution_is_refused() -> None:
    demonstrations = several()
    demonstrations.require("magical/MoveToCorner-TestJitter-v0", (8, 8, 3))
    with pytest.raises(UserError, match=r"show MoveToCorner .* not MakeLine: .*--env MakeLine"):
        demonstrations.require("magical/MakeLine-Demo-v0", (8, 8, 3))
    with pytest.raises(UserError, match=r"frames are 8×8×3, the environment's 96×96×3"):
        demonstrations.require("magical/MoveToCorner-Demo-v0", (96, 96, 3))


def test_a_set_cannot_be_empty_or_mixed() -> None:
    with pytest.raises(ValueError, match="at least one"):
        DemonstrationSet("magical/MoveToCorner-Demo-v0", [])
    with pytest.raises(ValueError, match="one image size"):
        DemonstrationSet("magical/MoveToCorner-Demo-v0", [one(size=8), one(size=9)])


def test_the_module_imports_neither_torch_nor_h5py() -> None:
    code = "import mint_rl.data.demonstrations, sys; print({'torch', 'h5py'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"
