"""Behaviour cloning with all it can be asked for: several files, resuming, DAgger, a trained encoder."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from mint_rl.data.demonstrations import DemonstrationSet, read_demonstrations, write_demonstrations
from mint_rl.envs.magical.recording import record_demonstrations
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.checkpoint import load_policy
from mint_rl.policies.cnn import CNNConfig
from mint_rl.policies.mlp import MLPConfig
from mint_rl.training.bc import BCConfig, behaviour_cloning
from mint_rl.training.bc_config import precision_of
from mint_rl.training.evaluate import EvaluateConfig, choose_acting, evaluate, evaluate_run


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    KeypointEncoder(EncoderConfig(num_keypoints=6, gamma=0.5)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("demos") / "region.hdf5"
    write_demonstrations(path, record_demonstrations("MoveToRegion", 3, seed=0))
    return str(path)


def tiny(encoder: str, folder: Path, **changes: Any) -> BCConfig:
    options: dict[str, Any] = {
        "env": "MoveToRegion",
        "policy": MLPConfig(hidden=16),
        "encoder": encoder,
        "out": str(folder),
        "episodes": 3,
        "steps": 6,
        "batch": 8,
        "log_every": 2,
        "shifted_copies": 0,
        "evaluation_episodes": 0,
    }
    return BCConfig(**{**options, **changes})


def quiet(line: str) -> None:
    pass


def press_at(wanted: int) -> Any:
    def press(step: int, values: dict[str, float]) -> None:
        if step == wanted:
            signal.raise_signal(signal.SIGINT)

    return press


def files_of(folder: Path) -> dict[str, bytes]:
    """What a run wrote, but for its times and names."""
    names = ("policy/model.safetensors", "policy/config.json", "log.jsonl")
    return {name: (folder / name).read_bytes() for name in names}


def test_files_of_several_variants_together(encoder: str, demos: str, tmp_path: Path) -> None:
    jitter = tmp_path / "jitter.hdf5"
    write_demonstrations(jitter, record_demonstrations("MoveToRegion-TestJitter", 2, seed=5))
    result = behaviour_cloning(tiny(encoder, tmp_path / "run", demos=[demos, str(jitter)]), say=quiet)
    about = result.metrics["demonstrations"]
    assert (about["count"], about["variants"]) == (5, ["Demo", "TestJitter"])
    assert about["source"].count("scripted expert") == 2


def test_starts_from_some_variants_and_evaluation_on_others(encoder: str, tmp_path: Path) -> None:
    config = tiny(
        encoder, tmp_path, demo_env=["MoveToRegion-TestJitter", "MoveToRegion-TestColour"],
        variants=["TestLayout"], evaluation_episodes=1,
    )  # fmt: skip
    result = behaviour_cloning(config, say=quiet)
    assert list(result.evaluations) == ["TestLayout"]
    recorded = {path.name: read_demonstrations(path) for path in tmp_path.glob("*.hdf5")}
    assert {name: (found.env_id, len(found)) for name, found in recorded.items()} == {
        "demonstrations-TestJitter.hdf5": ("magical/MoveToRegion-TestJitter-v0", 2),
        "demonstrations-TestColour.hdf5": ("magical/MoveToRegion-TestColour-v0", 1),
    }
    assert load_policy(tmp_path).context.env_id == "magical/MoveToRegion-Demo-v0"  # type: ignore[union-attr]


def test_demonstrations_that_failed_are_left_out_and_said(encoder: str, demos: str, tmp_path: Path) -> None:
    three = read_demonstrations(demos)
    scores = (1.0, 0.4, 1.0)
    some = [replace(one, score=score) for one, score in zip(three, scores, strict=True)]
    write_demonstrations(tmp_path / "some.hdf5", DemonstrationSet(three.env_id, some, three.env_kwargs))
    said: list[str] = []
    config = tiny(encoder, tmp_path / "run", demos=[str(tmp_path / "some.hdf5")])
    assert behaviour_cloning(config, say=said.append).metrics["demonstrations"]["count"] == 2
    assert said[0] == "left out 1 of 3 demonstrations that scored below 1"
    kept = replace(config, lowest_score=0.4, out=str(tmp_path / "kept"))
    assert behaviour_cloning(kept, say=quiet).metrics["demonstrations"]["count"] == 3

    failed = [replace(one, score=0.25) for one in three]
    write_demonstrations(tmp_path / "failed.hdf5", DemonstrationSet(three.env_id, failed, three.env_kwargs))
    config = tiny(encoder, tmp_path / "none", demos=[str(tmp_path / "failed.hdf5")])
    with pytest.raises(UserError, match=r"all 3 demonstrations .* failed, the best with a score of 0\.25"):
        behaviour_cloning(config, say=quiet)
    assert not (tmp_path / "none").exists()


def test_actions_outside_the_space(encoder: str, demos: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.hdf5"
    path.write_bytes(Path(demos).read_bytes())
    with h5py.File(path, "r+") as file:
        file["data/demo_1/actions"][3] = 18
    with pytest.raises(UserError, match=r"in 'data/demo_1' actions must be in 0\.\.17, got 0\.\.18"):
        behaviour_cloning(tiny(encoder, tmp_path / "run", demos=[str(path)]), say=quiet)


def test_an_earlier_run_is_not_lost_to_bad_input(encoder: str, demos: str, tmp_path: Path) -> None:
    behaviour_cloning(tiny(encoder, tmp_path / "run", demos=[demos]), say=quiet)
    before = files_of(tmp_path / "run")
    one = read_demonstrations(demos)
    write_demonstrations(tmp_path / "one.hdf5", DemonstrationSet(one.env_id, [one[0]], one.env_kwargs))
    for changes in (
        {"demos": [str(tmp_path / "one.hdf5")]},
        {"demos": [demos], "device": "cuda:99"},
        {"demos": [demos], "encoder": "nowhere"},
    ):
        config = replace(tiny(encoder, tmp_path / "run", overwrite=True), **changes)
        with pytest.raises(UserError):
            behaviour_cloning(config, say=quiet)
    assert files_of(tmp_path / "run") == before


def test_resuming_a_run_gives_what_it_would_have_given(encoder: str, tmp_path: Path) -> None:
    options = {"average": 0.9, "variants": ["Demo"], "evaluation_episodes": 1}
    whole = behaviour_cloning(tiny(encoder, tmp_path / "whole", **options), say=quiet)
    assert not (tmp_path / "whole" / "unfinished").exists()
    stopped = behaviour_cloning(tiny(encoder, tmp_path / "parts", **options), [press_at(2)], quiet)
    assert (stopped.interrupted, stopped.steps, stopped.evaluations) == (True, 2, {})
    with pytest.raises(UserError, match="or resume=true to go on with it"):
        behaviour_cloning(tiny(encoder, tmp_path / "parts", **options), say=quiet)
    resumed = behaviour_cloning(tiny(encoder, tmp_path / "parts", resume=True, **options), say=quiet)
    assert not resumed.interrupted
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    assert resumed.evaluations == whole.evaluations
    assert not (tmp_path / "parts" / "unfinished").exists()
    with pytest.raises(UserError, match="there is no unfinished run in"):
        behaviour_cloning(tiny(encoder, tmp_path / "parts", resume=True, **options), say=quiet)


def test_an_encoder_with_settings(encoder: str, demos: str, tmp_path: Path) -> None:
    config = tiny(f"{encoder}:gamma=0.6,gate=none", tmp_path, demos=[demos], steps=1)
    behaviour_cloning(config, say=quiet)
    context = load_policy(tmp_path).context
    assert context is not None
    assert context.encoder is not None
    assert context.encoder.config.gamma == 0.6
    with pytest.raises(UserError, match="unknown inference setting 'gama'"):
        behaviour_cloning(tiny(f"{encoder}:gama=1", tmp_path / "x", demos=[demos]), say=quiet)


def test_an_encoder_with_tracks(encoder: str, demos: str, tmp_path: Path) -> None:
    config = tiny(f"{encoder}:tracks=4", tmp_path, demos=[demos], steps=1, evaluation_episodes=1)
    behaviour_cloning(config, say=quiet)
    policy = load_policy(tmp_path)
    assert policy.observation_space.shape is not None
    assert policy.observation_space.shape[1] == 4
    changed = tiny(f"{encoder}:tracks=4", tmp_path / "x", demos=[demos], finetune_encoder=True)
    with pytest.raises(
        UserError, match=r"has tracks, .* fine-tune it without them, with the setting tracks=none"
    ):
        behaviour_cloning(changed, say=quiet)


def test_a_frame_of_reference_says_so_where_it_cannot_learn_the_pose(
    encoder: str, demos: str, tmp_path: Path
) -> None:
    known = read_demonstrations(demos)
    blind = DemonstrationSet(known.env_id, [replace(episode, states=None) for episode in known])
    write_demonstrations(tmp_path / "blind.hdf5", blind)
    framed = {"policy": MLPConfig(hidden=16, frame=True), "steps": 2}
    for words, path, options in (
        ("", demos, {}),
        ("no demonstration holds the simulator's states", str(tmp_path / "blind.hdf5"), {}),
        ("the frames are moved about", demos, {"finetune_encoder": True}),
        ("", str(tmp_path / "blind.hdf5"), {"pose_weight": 0.0}),
    ):
        said: list[str] = []
        config = tiny(encoder, tmp_path / "run", demos=[path], overwrite=True, **framed, **options)
        behaviour_cloning(config, say=said.append)
        found = [line for line in said if line.startswith("the robot's pose is not learned")]
        assert bool(found) == bool(words)
        assert words in "".join(found)


def test_where_idle_steps_weigh_nothing_idling_is_not_learned(
    encoder: str, demos: str, tmp_path: Path
) -> None:
    """A robot that has arrived stays: most steps of these demonstrations are idle."""
    options = {"demos": [demos], "steps": 60, "learning_rate": 1e-2}
    accuracy = {
        weight: behaviour_cloning(
            tiny(encoder, tmp_path / str(weight), idle_weight=weight, **options), say=quiet
        ).metrics["training"]["accuracy"]
        for weight in (1.0, 0.0)
    }
    assert accuracy[1.0] > accuracy[0.0] + 0.2
    with pytest.raises(UserError, match="'idle_weight' must be at least 0"):
        tiny(encoder, tmp_path / "x", idle_weight=-0.1)


def test_dagger_trains_again_on_what_the_policy_met(encoder: str, demos: str, tmp_path: Path) -> None:
    options = {"demos": [demos], "dagger": 2, "dagger_episodes": 2, "cache": str(tmp_path / "cache")}
    said: list[str] = []
    whole = behaviour_cloning(tiny(encoder, tmp_path / "whole", **options), say=said.append)
    assert whole.steps == 18
    assert [line for line in said if line.startswith("round")][1].startswith("round 2 of 2: 2 rollouts, mean")
    assert any("3 demonstrations and 4 rollouts, 280 steps" in line for line in said)
    rollouts = read_demonstrations(tmp_path / "whole" / "rollouts.hdf5")
    assert len({episode.seed for episode in rollouts}) == len(rollouts) == 4
    steps = [json.loads(line)["step"] for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert steps == [*range(2, 20, 2)]

    # Stopped in the second of three rounds, it comes to the same end.
    assert behaviour_cloning(tiny(encoder, tmp_path / "parts", **options), [press_at(8)], quiet).steps == 8
    behaviour_cloning(tiny(encoder, tmp_path / "parts", resume=True, **options), say=quiet)
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


def test_a_trained_encoder_is_gone_on_with(encoder: str, demos: str, tmp_path: Path) -> None:
    options = {"demos": [demos], "finetune_encoder": True, "steps": 4, "batch": 2}
    behaviour_cloning(tiny(encoder, tmp_path / "whole", **options), say=quiet)
    behaviour_cloning(tiny(encoder, tmp_path / "parts", **options), [press_at(2)], quiet)
    behaviour_cloning(tiny(encoder, tmp_path / "parts", resume=True, **options), say=quiet)
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    weights = [tmp_path / part / "policy/encoder/model.safetensors" for part in ("whole", "parts")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_encoder_is_trained_along_and_saved_with_the_policy(
    encoder: str, demos: str, tmp_path: Path
) -> None:
    options = {"demos": [demos], "finetune_encoder": True, "steps": 2, "batch": 4, "average": 0.5}
    result = behaviour_cloning(tiny(encoder, tmp_path / "run", **options), say=quiet)
    before = KeypointEncoder.from_pretrained(encoder)
    loaded = load_policy(tmp_path / "run").context
    assert loaded is not None
    assert loaded.encoder is not None
    assert loaded.encoder_name.endswith("fine-tuned")
    moved = [
        (a - b).abs().max().item()
        for a, b in zip(before.parameters(), loaded.encoder.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 2.1e-4  # two steps of Adam at a rate of up to 1e-4
    assert not any(parameter.requires_grad for parameter in loaded.encoder.parameters())
    # Running means stay: the encoder is trained as it will be used.
    for name, value in before.named_buffers():
        assert torch.equal(value, loaded.encoder.get_buffer(name))
    again = evaluate(load_policy(tmp_path / "run"), ["Demo"], episodes=1)
    assert again == evaluate(result.policy, ["Demo"], episodes=1)


def test_how_to_act_is_chosen_on_validation_seeds_alone(
    encoder: str, demos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = MLPConfig(hidden=16, chunk=3)
    options = {"demos": [demos], "policy": policy, "temperature": "auto", "chunk": "auto", "steps": 2}
    played: list[tuple[str, int, float, int]] = []
    score = {(0.5, 1): 0.5, (0.0, 1): 0.7, (1.0, 2): 0.7}

    def fake(
        _: object, env: str, seeds: range, temperature: float, chunk: int = 1, **__: object
    ) -> list[float]:
        played.append((env, seeds[0], temperature, chunk))
        return [score.get((temperature, chunk), 0.1)] * len(seeds)

    monkeypatch.setattr("mint_rl.training.evaluate.run_episodes", fake)
    said: list[str] = []
    result = behaviour_cloning(tiny(encoder, tmp_path, evaluation_episodes=4, **options), say=said.append)
    validation = [play for play in played if play[1] == 3_000_000_000]
    assert [play[2:] for play in validation] == [(t, c) for c in (1, 2) for t in (0.5, 0.0, 1.0)]
    assert {play[0] for play in validation} == {"magical/MoveToRegion-Demo-v0"}
    assert [play[1:] for play in played[len(validation) :]] == [(1_000_000, 0.0, 1)] * 2
    assert any(line.startswith("chosen on validation seeds: temperature 0, chunk 1") for line in said)
    assert result.evaluations["TestJitter"].temperature == 0.0
    # The checkpoint remembers it, and an evaluation acts so unless told.
    context = load_policy(tmp_path).context
    assert context is not None
    assert (context.temperature, context.chunk) == (0.0, 1)
    played.clear()
    evaluate_run(EvaluateConfig(run=str(tmp_path), variants=["TestColour"], seed=7, episodes=2), say=quiet)
    evaluate_run(EvaluateConfig(run=str(tmp_path), variants=["Demo"], temperature="1", chunk="2"), say=quiet)
    assert [play[1:] for play in played] == [(7, 0.0, 1), (1_000_000, 1.0, 2)]


def test_a_chunk_is_taken_as_it_was_predicted(encoder: str, demos: str, tmp_path: Path) -> None:
    policy = behaviour_cloning(
        tiny(encoder, tmp_path, demos=[demos], policy=MLPConfig(hidden=16, chunk=2)), say=quiet
    ).policy
    looked: list[np.ndarray] = []  # type: ignore[type-arg]
    plan = policy.plan

    def counting(observations: torch.Tensor) -> Any:
        looked.append(observations.numpy())
        return plan(observations)

    policy.plan = counting  # type: ignore[method-assign]
    evaluate(policy, ["Demo"], episodes=1, chunk=2)
    assert len(looked) == 20
    with pytest.raises(UserError, match=r"chunk is 3, but this policy predicts 2 action\(s\) at a time"):
        evaluate(policy, ["Demo"], episodes=1, chunk=3)


def test_a_policy_for_another_task(encoder: str, demos: str, tmp_path: Path) -> None:
    behaviour_cloning(tiny(encoder, tmp_path, demos=[demos]), say=quiet)
    with pytest.raises(UserError, match="was trained for MoveToRegion, not MakeLine: train one with"):
        evaluate_run(EvaluateConfig(run=str(tmp_path), env="MakeLine-TestJitter"), say=quiet)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"demos": ["a.hdf5"], "demo_env": ["MoveToCorner"]}, "choose one"),
        ({"demo_env": ["MakeLine"]}, "demonstrations of 'MakeLine' do not show MoveToCorner"),
        ({"demo_env": ["MoveToCorner", "MoveToCorner-Demo"], "episodes": 2, "env": "MoveToCorner"}, "twice"),
        (
            {"demo_env": ["MoveToCorner", "MoveToCorner-TestAll", "MoveToCorner-TestShape"], "episodes": 2},
            "few",
        ),
        ({"env": "FindDupe", "dagger": 1}, "no scripted expert for the task 'FindDupe'"),
        ({"patience": 2, "keep": "last"}, "needs to know what is better"),
        ({"keep": "first"}, "unknown choice of weights to keep 'first'; known: last, loss, score"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"average": 1.0}, "'average' must be at least 0 and below 1"),
        ({"lowest_score": 1.5}, "'lowest_score' must be from 0 to 1"),
        ({"temperature": "warm"}, "'temperature' must be a number from 0 on, or auto, got warm"),
        ({"temperature": -1}, "'temperature' must be a number from 0 on"),
        ({"chunk": "0"}, "'chunk' must be a whole number from 1 on"),
        ({"evaluation_seed": 3_000_000_000}, "those beyond are for validation"),
        ({"resume": True}, "needs the folder of the run"),
        ({"resume": True, "overwrite": True, "out": "x"}, "contradict each other"),
        ({"dagger": -1}, "'dagger' must be at least 0"),
    ],
    ids=str,
)
def test_settings_that_cannot_be(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        BCConfig(**changes)


def test_one_temperature_needs_no_rollouts() -> None:
    policy: Any = type("Policy", (), {"config": MLPConfig()})()
    assert choose_acting(policy, ["Demo"], "0.25", "1") == (0.25, 1)


def test_the_cnn_agent_trains_in_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda able=able: able)
        assert precision_of(BCConfig(policy=CNNConfig())) == expected
        assert precision_of(BCConfig(policy=CNNConfig(), precision="float32")) == "float32"
        assert precision_of(BCConfig()) == "float32"
