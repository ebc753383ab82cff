"""MAGICAL's pickles are read as data: good ones to the last bit, hostile ones without running anything."""

from __future__ import annotations

import builtins
import collections
import contextlib
import gzip
import io
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mint_rl.data.magical_pickles import area_average, find_pickles, import_demonstrations, read_pickle
from mint_rl.data.safe_pickle import read_pickle_as_data
from mint_rl.errors import UserError

STEPS, SIDE, RESOLUTION = 3, 8, 4


class MILBenchTrajectory(NamedTuple):
    acts: Any
    obs: Any
    rews: Any
    infos: Any


@pytest.fixture(autouse=True)
def milbench() -> Iterator[None]:
    """Lets the tests write pickles that name the class as the recordings do; only while a test runs."""
    name = "milbench.baselines.saved_trajectories"
    module = types.ModuleType(name)
    module.MILBenchTrajectory = MILBenchTrajectory  # type: ignore[attr-defined]
    MILBenchTrajectory.__module__ = name
    packages = {part: types.ModuleType(part) for part in ("milbench", "milbench.baselines")}
    sys.modules.update({**packages, name: module})
    yield
    for entry in (*packages, name):
        del sys.modules[entry]


def content(**changes: Any) -> dict[str, Any]:
    """What a recording holds, small; `changes` replace parts of it."""
    rng = np.random.default_rng(0)
    frame = lambda: rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)  # noqa: E731
    parts: dict[str, Any] = {
        "acts": np.array([0, 17, 4]),
        "obs": [collections.OrderedDict(allo=frame(), ego=frame()) for _ in range(STEPS + 1)],
        "rews": np.zeros(STEPS),
        "infos": [{"eval_score": 1.0} for _ in range(STEPS)],
        "score": 1.0,
        "env_name": "MoveToCorner-Demo-v0",
    }
    parts.update(changes)
    trajectory = MILBenchTrajectory(parts["acts"], parts["obs"], parts["rews"], parts["infos"])
    return {"trajectory": trajectory, "score": parts["score"], "env_name": parts["env_name"]}


def save(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(gzip.compress(pickle.dumps(value, protocol)))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_recording_is_read_to_the_last_bit(tmp_path: Path, protocol: int) -> None:
    recorded = content()
    path = save(tmp_path / "demo.pkl.gz", recorded, protocol)
    for view in ("allo", "ego"):
        env_id, demonstration = read_pickle(path, view, resolution=SIDE)
        assert env_id == "magical/MoveToCorner-Demo-v0"
        assert demonstration.actions.tolist() == demonstration.executed.tolist() == [0, 17, 4]
        assert demonstration.score == 1.0
        frames = [entry[view] for entry in recorded["trajectory"].obs[:STEPS]]
        np.testing.assert_array_equal(demonstration.images, frames)


def test_scores_as_numpy_scalars_and_other_byte_orders(tmp_path: Path) -> None:
    changed = content(
        score=np.float64(0.5), acts=np.array([1, 2, 3], ">i4"), env_name="MakeLine-TestAll-LoRes4A-v0"
    )
    env_id, demonstration = read_pickle(save(tmp_path / "demo.pkl.gz", changed), resolution=RESOLUTION)
    assert env_id == "magical/MakeLine-TestAll-v0"
    assert (demonstration.score, demonstration.actions.tolist()) == (0.5, [1, 2, 3])


def test_fortran_order_is_kept() -> None:
    values = np.asfortranarray(np.arange(6).reshape(2, 3))
    read = read_pickle_as_data(io.BytesIO(pickle.dumps(values, 4)), 10_000)
    np.testing.assert_array_equal(read.value, values)


def test_area_averages_are_the_means_of_blocks_rounded_half_to_even() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (384, 384, 3), dtype=np.uint8)
    blocks = picture.reshape(96, 4, 96, 4, 3).astype(np.int64).sum((1, 3))
    np.testing.assert_array_equal(area_average(picture, 96), np.rint(blocks / 16))  # rint: half to even
    np.testing.assert_array_equal(area_average(picture[:96, :96], 96), picture[:96, :96])


def test_a_folder_is_searched_and_sorted(tmp_path: Path) -> None:
    for index, name in enumerate(["b.pkl.gz", "sub/a.pkl.gz", "a.pkl.gz"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, content(acts=np.full(STEPS, index)))
    (tmp_path / "notes.txt").write_text("not a demonstration")
    seen: list[tuple[int, int]] = []
    read = import_demonstrations(tmp_path, resolution=RESOLUTION, progress=lambda *done: seen.append(done))
    assert [demonstration.actions[0] for demonstration in read] == [2, 0, 1]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert read.env_kwargs == {"view": "allo", "resolution": RESOLUTION}
    assert read.source == "human, MAGICAL pickles"


# --- what a hostile file might try ---


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (os.system, ("touch {}",), "(posix|nt).system"),
        (builtins.exec, ("open({!r}, 'w')",), "builtins.exec|__builtin__.exec|instruction"),
        (os.mkdir, ("{}",), "(posix|nt).mkdir"),
    ],
)
@pytest.mark.parametrize("where", ["alone", "score", "infos", "acts"])
def test_calls_in_a_pickle_are_named_and_never_made(
    tmp_path: Path, protocol: int, function: Callable[..., Any], arguments: tuple[str], named: str, where: str
) -> None:
    trace = tmp_path / "executed"
    call = Calls(function, arguments[0].format(str(trace)))
    pickle.loads(pickle.dumps(call, protocol))  # the attack is real: Python's own unpickler falls for it
    assert trace.exists()
    trace.rmdir() if trace.is_dir() else trace.unlink()

    value = call if where == "alone" else content(**{where: [call] if where == "infos" else call})
    path = save(tmp_path / "demo.pkl.gz", value, protocol)
    # The recordings are of protocol 3 or 4; in the others something earlier may be refused.
    expected = named if protocol in (3, 4) or where == "alone" else "."
    with pytest.raises(UserError, match=expected) as raised:
        read_pickle(path, resolution=RESOLUTION)
    assert "demo.pkl.gz" in str(raised.value)
    assert not trace.exists()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
DTYPE = b"cnumpy\ndtype\n"
TRAJECTORY = b"cmagical.saved_trajectories\nMAGICALTrajectory\n"
EMPTY_ARRAY = ARRAY + NDARRAY + b"K\x00\x85C\x01b\x87R"
U1 = (
    DTYPE
    + b"X\x02\x00\x00\x00u1\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)


def small_array(state: bytes) -> bytes:
    return EMPTY_ARRAY + b"(" + state + b"tb."


@pytest.mark.parametrize(
    ("pickled", "says"),
    [
        (b"cos\nsystem\nX\x04\x00\x00\x00true\x85R.", "names 'os.system'"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "names 'os.system'"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.ctypes\x93.", "names 'numpy.ndarray.ctypes'"),  # dotted names
        (b"\x80\x04K\x01K\x02\x93.", "not text"),
        (ARRAY + DTYPE + b"K\x00\x85C\x01b\x87R.", "builds 'array'"),  # another class than ndarray
        (ARRAY + NDARRAY + b"J\xff\xff\xff\x7f\x85C\x01b\x87R.", "builds 'array'"),  # 2^31 elements
        (ARRAY + NDARRAY + b"K\x00\x85X\x01\x00\x00\x00O\x87R.", "builds 'array'"),
        (DTYPE + b"X\x01\x00\x00\x00O\x89\x88\x87R.", "builds 'dtype'"),
        (DTYPE + b"X\x02\x00\x00\x00O8\x89\x88\x87R.", "builds 'dtype'"),
        (DTYPE + b"X\x05\x00\x00\x00u1,O8\x89\x88\x87R.", "builds 'dtype'"),
        (DTYPE + b"]\x85R.", "builds 'dtype'"),
        (U1 + b"NK\x01\x86b.", "changes 'dtype'"),  # a second BUILD
        (small_array(b"K\x01K\x09\x85" + U1 + b"\x89C\x01x"), "bytes do not fit its shape"),
        (small_array(b"K\x01J\xff\xff\xff\xff\x85" + U1 + b"\x89C\x01x"), "bytes do not fit its shape"),
        (small_array(b"K\x01K\x01\x85" + U1 + b"\x89]"), "changes 'array'"),  # a list of objects
        (small_array(b"K\x01K\x01\x85" + DTYPE + b"\x89C\x01x"), "changes 'array'"),
        (TRAJECTORY + b")\x81}X\x01\x00\x00\x00aK\x01sb.", "changes 'trajectory'"),  # setting attributes
        (ARRAY + b"}X\x08\x00\x00\x00__code__K\x01sb.", "changes 'array'"),  # … of the function itself
        (ARRAY + b"N}X\x0c\x00\x00\x00__defaults__)s\x86b.", "changes 'array'"),
        (b"K\x01)R.", "builds 'int'"),
        (b"C\x02os)\x81.", "builds 'bytes'"),
        (EMPTY_ARRAY + b"K\x00K\x01s.", "no dict to fill"),
        (b"}K\x01K\x02s.", "keys are not text"),
        (b"(K\x01ios\nsystem\n.", "instruction INST"),
        (b"(cnumpy\ndtype\no.", "instruction OBJ"),
        (b"\x80\x04" + TRAJECTORY + b")}\x92.", "instruction NEWOBJ_EX"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"Pother\n.", "instruction PERSID"),
        (b"NQ.", "instruction BINPERSID"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "."),  # a bytearray of 2^63 bytes
        (b"\x8d\xff\xff\xff\xff\xff\xff\x00\x00.", "unpacks to more than"),  # text of 2^48 bytes
        (b"N" + b"r\xff\xff\xff\xff" + b".", "lacks one of"),  # memo index 2^32 - 1: no table of that size
        (b"h\x07.", "refers to a value that it does not hold"),
        (b".", "do not fit together"),
        (b"0.", "instruction POP"),
        (b"t.", "do not fit together"),
        (b"K\x01", "exhausted|exhaust"),
        (b"\xff.", "opcode"),
        (b"]\x94h\x00a.", "lacks one of"),  # a list that holds itself
        (b"N" + b"\x85" * 20_000 + b".", "lacks one of"),  # nesting deeper than Python's stack
        (pickle.dumps({"a": 1}, 4), "lacks one of trajectory, score, env_name"),
    ],
)
def test_hostile_and_foreign_instructions_are_refused(tmp_path: Path, pickled: bytes, says: str) -> None:
    path = tmp_path / "demo.pkl.gz"
    path.write_bytes(gzip.compress(pickled))
    with pytest.raises(UserError, match=says) as raised:
        read_pickle(path)
    assert "\n" not in str(raised.value)


def test_an_instruction_flood_ends(tmp_path: Path) -> None:
    path = tmp_path / "demo.pkl.gz"
    path.write_bytes(gzip.compress(b"N" * 1_100_000 + b"."))
    with pytest.raises(UserError, match="more than 1,000,000 instructions"):
        read_pickle(path)


def test_a_decompression_bomb_is_not_unpacked() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return b"B\xff\xff\xff\x3f"[: size if size == 1 else 4][-size:] if size <= 4 else b"\0" * size

    stream = Endless()
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        read_pickle_as_data(stream, 2**20)  # type: ignore[arg-type]
    assert stream.given <= 2**20


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"acts": np.array([0, 18, 1])}, r"must be in 0\.\.17"),
        ({"acts": np.array([0, 1])}, "one frame more"),
        ({"acts": np.zeros(3)}, "integers"),
        ({"acts": [0, 1, 2]}, "actions are not an array"),
        ({"acts": np.array([], int), "obs": content()["trajectory"].obs[:1]}, "no steps"),
        ({"obs": "text"}, "one frame more"),
        ({"obs": [{}] * 4}, "no 'allo' view"),
        ({"obs": [{"allo": np.zeros((8, 6, 3), np.uint8)}] * 4}, "not square"),
        ({"obs": [{"allo": np.zeros((8, 8, 3))}] * 4}, "not square uint8"),
        ({"obs": [{"allo": np.zeros((9, 9, 3), np.uint8)}] * 4}, "9×9, which is no multiple of 4×4"),
        ({"obs": [{"allo": np.zeros((2, 2, 3), np.uint8)}] * 4}, "2×2, which is no multiple of 4×4"),
        ({"obs": [{"allo": np.uint8(3)}] * 4}, "frames are not an array"),
        ({"score": "full"}, "score is not a number"),
        ({"score": 2.0}, r"score must be in \[0, 1\]"),
        ({"score": 10**400}, "not a MAGICAL demonstration"),
        ({"env_name": "CartPole-v1"}, "env_name"),
        ({"env_name": "../MoveToCorner-Demo-v0"}, "env_name"),
        ({"env_name": 3}, "env_name"),
    ],
)
def test_recordings_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = save(tmp_path / "demo.pkl.gz", content(**changes))
    with pytest.raises(UserError, match=says) as raised:
        read_pickle(path, resolution=RESOLUTION)
    assert "demo.pkl.gz" in str(raised.value)


def test_broken_files_are_named(tmp_path: Path) -> None:
    good = save(tmp_path / "a.pkl.gz", content())
    bad = tmp_path / "b.pkl.gz"
    for data, says in [
        (good.read_bytes()[:-30], "cut short"),
        (b"not gzip at all", "not a gzip file"),
        (good.read_bytes()[:40] + bytes(40) + good.read_bytes()[80:], "damaged|not a MAGICAL"),
        (b"", "not a MAGICAL demonstration|cut short|gzip"),
    ]:
        bad.write_bytes(data)
        with pytest.raises(UserError, match=says) as raised:
            import_demonstrations(tmp_path, resolution=RESOLUTION)
        assert "b.pkl.gz" in str(raised.value)


def test_nothing_found_and_mixed_tasks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no MAGICAL demonstration .* found in"):
        import_demonstrations(tmp_path)
    with pytest.raises(UserError, match=r"no MAGICAL demonstration"):
        find_pickles([])
    with pytest.raises(UserError, match="does not exist"):
        import_demonstrations(tmp_path / "missing")
    with pytest.raises(UserError, match=r"unknown view 'alo' \(did you mean 'allo'\?\)"):
        import_demonstrations(tmp_path, view="alo")
    save(tmp_path / "a.pkl.gz", content())
    save(tmp_path / "b.pkl.gz", content(env_name="MakeLine-Demo-v0"))
    with pytest.raises(UserError, match=r"different environments: .*MoveToCorner.*MakeLine"):
        import_demonstrations(tmp_path, resolution=RESOLUTION)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 3)
)
def test_changed_bytes_give_a_sentence_or_a_demonstration(
    tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    tiny = content(obs=[{"allo": np.full((4, 4, 3), step, np.uint8)} for step in range(STEPS + 1)])
    data = bytearray(pickle.dumps(tiny, 4))
    for position, value in changes:
        data[position % len(data)] = value
    path = tmp_path / "demo.pkl.gz"
    path.write_bytes(gzip.compress(bytes(data[: len(data) - cut]), compresslevel=1))
    with contextlib.suppress(UserError):  # anything else fails the test
        read_pickle(path, resolution=RESOLUTION)


def human(folder: str) -> Path:
    root = os.environ.get("MINT_RL_MAGICAL_DEMOS")
    if not root:
        pytest.skip("MINT_RL_MAGICAL_DEMOS does not name the folder of MAGICAL's human demonstrations")
    return Path(root) / folder


def test_the_human_demonstrations_are_read_as_python_reads_them() -> None:
    """Against Python's own unpickler, on two recordings that are known to be harmless."""
    cv2 = pytest.importorskip("cv2")
    for path in find_pickles(human("move-to-region"))[:2]:
        _, demonstration = read_pickle(path)
        with gzip.open(path) as stream:
            expected = pickle.load(stream)
        acts, observations = expected["trajectory"][:2]
        np.testing.assert_array_equal(demonstration.actions, acts)
        for image, observation in zip(demonstration.images, observations, strict=False):
            resized = cv2.resize(observation["allo"], (96, 96), interpolation=cv2.INTER_AREA)
            np.testing.assert_array_equal(image, resized)


def test_all_human_demonstrations_of_a_task() -> None:
    read = import_demonstrations(human("move-to-region"))
    assert read.env_id == "magical/MoveToRegion-Demo-v0"
    assert len(read) >= 3
    assert {len(demonstration) for demonstration in read} == {40}
    assert {demonstration.score for demonstration in read} == {1.0}
    assert read.image_shape == (96, 96, 3)
