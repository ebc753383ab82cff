"""Frames: against MAGICAL's recordings, and between resolutions, processes, Pythons and ways of drawing."""

from __future__ import annotations

import os

import numpy as np
import pytest
from magical_rollouts import digest, random_actions, rollout

from mint_rl.data.magical_pickles import find_pickles, read_pickle
from mint_rl.envs.magical.canvas import SIZE, Canvas, flatten
from mint_rl.envs.magical.drawing import Compound, Geom, Outline, Polygon, Transform, make_circle, make_rect
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.names import ACTION_NAMES, TASKS

RECORDINGS = os.environ.get("MINT_RL_MAGICAL_DEMOS")
needs_recordings = pytest.mark.skipif(
    RECORDINGS is None,
    reason="MINT_RL_MAGICAL_DEMOS does not name the folder of MAGICAL's human demonstrations",
)


def first_frame(task: str, view: str) -> np.ndarray:
    recordings = find_pickles(RECORDINGS or "")
    path = next(path for path in recordings if f"-{task}-" in path.name)
    return read_pickle(path, view, SIZE)[1].images[0]


@needs_recordings
@pytest.mark.parametrize("task", TASKS)
def test_first_frames_are_those_of_the_recordings(task: str) -> None:
    ours, _ = MagicalEnv(task, view="both", resolution=SIZE).reset(seed=0)
    allo, ego = (np.abs(ours[view].astype(int) - first_frame(task, view)) for view in ("allo", "ego"))
    # Nine channels of FindDupe lie on a rounding border; MatchRegions' dashes depended on the picture before.
    assert (allo.sum(), allo.max()) <= (9, 1)
    assert ego.mean() <= 0.02
    assert ego.max() <= (255 if task == "MatchRegions" else 1)


@pytest.mark.parametrize("task", TASKS)
def test_small_frames_are_area_averages_of_large_ones(task: str) -> None:
    cv2 = pytest.importorskip("cv2")
    actions = random_actions(35)
    small = rollout(MagicalEnv(task, "TestAll", view="both"), actions, seed=2)
    large = rollout(MagicalEnv(task, "TestAll", view="both", resolution=384), actions, seed=2)
    for a, b in zip(small, large, strict=True):
        for view in ("allo", "ego"):
            expected = cv2.resize(b[view], (96, 96), interpolation=cv2.INTER_AREA)
            np.testing.assert_array_equal(a[view], expected)


@pytest.mark.parametrize("task", TASKS)
def test_redrawing_what_moved_equals_drawing_everything(task: str) -> None:
    env = MagicalEnv(task, view="both")
    env.reset(seed=0)
    for action in random_actions(40, seed=1):
        kept = env.step(action)[0]
        for view in ("allo", "ego"):
            fresh = Canvas(96, env.world.background_rgb)
            fresh.show(env.world.scene())
            np.testing.assert_array_equal(kept[view], fresh.draw(env.world.camera(view)))


# The robot turns, drives, closes its fingers and touches nothing: these frames must be the same everywhere.
QUIET = ("LeftOpen", "LeftClose", "Close", "UpClose", "RightOpen", "DownOpen")
GOLDEN = {
    "MoveToCorner": "86e0ed316228016e",
    "MoveToRegion": "4ec95174e89c7042",
    "MatchRegions": "666d049ccbb74914",
    "MakeLine": "c44ab94c77aa21c4",
    "FindDupe": "f180b7f670088acc",
    "FixColour": "cc565d738cf75ae3",
    "ClusterColour": "f3bc7da7db266a7a",
    "ClusterShape": "d7fbaddce30341eb",
}


@pytest.mark.parametrize("task", TASKS)
def test_frames_are_the_same_on_every_python(task: str) -> None:
    demo = MagicalEnv(task, view="both", render_mode="rgb_array")
    frames = [
        image
        for observation in rollout(demo, [ACTION_NAMES.index(name) for name in QUIET], seed=0)
        for image in observation.values()
    ]
    frames += [demo.render(), demo.instance_mask()]
    drawn_from_the_seed = MagicalEnv(task, "TestAll", view="both")
    for seed in range(5):
        frames += drawn_from_the_seed.reset(seed=seed)[0].values()
    assert digest(frames) == GOLDEN[task]


def test_two_processes_give_the_same_frames(run_python) -> None:
    """Long rollouts with contacts, in processes that hash names differently."""
    program = (
        "from magical_rollouts import *\n"
        "for task in ('MakeLine', 'ClusterColour', 'MoveToCorner'):\n"
        "    print(digest(rollout(MagicalEnv(task, 'TestAll'), random_actions(80), seed=6)))"
    )
    first, second = (run_python(program, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first == second


def test_transforms_apply_from_the_first_added_to_the_last() -> None:
    """A rectangle of 2 by 1, turned a quarter, moved right by 2, and then with its compound up by 1."""
    rect = make_rect(2, 1).add_attr(Transform(rotation=np.pi / 2)).add_attr(Transform(translation=(2, 0)))
    scene = flatten([(Compound([rect]).add_attr(Transform(translation=(0, 1))), 5)])
    canvas = Canvas(SIZE, (0, 0, 0))
    canvas.show(scene)
    scale = SIZE / 8
    canvas.draw((scale, 0, 0, 0, scale, 0))
    rows, columns = np.nonzero(canvas.instance_ids() == 5)
    assert (columns.min(), columns.max() + 1) == (1.5 * scale, 2.5 * scale)
    assert (SIZE - rows.max() - 1, SIZE - rows.min()) == (0, 2 * scale)


def test_a_background_shrinks_when_a_geom_begins_to_move() -> None:
    """What lies below a geom that moves away is seen again; what rests above it stays above."""
    mover = Transform(translation=(100, 100))
    geoms = [make_rect(300, 300), make_circle(60).add_attr(mover), make_rect(40, 40)]
    for geom, colour in zip(geoms, [(1, 0, 0), (0, 1, 0), (0, 0, 1)], strict=True):
        geom.set_color(*colour)
    scene = flatten([(geom, i) for i, geom in enumerate(geoms, start=1)])
    canvas = Canvas(96, (1, 1, 1))
    canvas.show(scene)
    for x in (100, 100, 110, 140, 140, 20):
        mover.set_translation(x, 100)
        image = canvas.draw((1, 0, 0, 0, 1, 0))
        fresh = Canvas(96, (1, 1, 1))
        fresh.show(scene)
        np.testing.assert_array_equal(image, fresh.draw((1, 0, 0, 0, 1, 0)))


def is_convex(vertices: np.ndarray) -> bool:
    sides = np.roll(vertices, -1, axis=0) - vertices
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    return bool((turns >= -1e-9).all() or (turns <= 1e-9).all())


@pytest.mark.parametrize("task", TASKS)
def test_all_polygons_are_convex(task: str) -> None:
    """The rasteriser fills convex polygons only; stars come in convex parts."""
    env = MagicalEnv(task, "TestAll")
    shapes = set()
    for seed in range(6):
        env.reset(seed=seed)
        shapes |= {block.shape for block in env.state().blocks}
        primitives = env.world.scene().primitives
        for p in range(len(primitives.matrix)):
            assert is_convex(primitives.vertices[primitives.starts[p] : primitives.starts[p + 1]])
    assert shapes == (set() if task == "MoveToRegion" else {"square", "pentagon", "star", "circle"})


def test_empty_scenes_and_unknown_geoms() -> None:
    canvas = Canvas(96, (1.0, 0.5, 0.0))
    canvas.show(flatten([]))
    assert (canvas.draw((1, 0, 0, 0, 1, 0)) == [255, 128, 0]).all()
    assert [type(geom) for geom in (make_rect(), make_rect(filled=False))] == [Polygon, Outline]
    with pytest.raises(TypeError, match="cannot draw"):
        flatten([(Geom(), 1)])
