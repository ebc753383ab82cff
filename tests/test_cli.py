"""The command line: it teaches, takes flags and key=value alike, and fails in one sentence."""

from __future__ import annotations

import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mint_rl.cli import VERBS, main
from mint_rl.errors import UserError
from mint_rl.training.configuration import load_config


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of one command."""
    try:
        status = main(words)
    except SystemExit as stop:  # argparse's --help
        status = int(stop.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def assert_one_sentence(status: int, error: str, *parts: str) -> None:
    lines = [line for line in error.splitlines() if not line.startswith(("recording", "\r"))]
    assert status == 2, error
    assert len(lines) == 1, error
    assert lines[0].startswith("mint-rl: ")
    for part in parts:
        assert part in lines[0]


def test_without_a_verb_every_verb_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys)
    assert status == 0
    for verb in VERBS:
        assert f"  {verb} " in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_shows_its_examples_and_every_default(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    from mint_rl.training.configuration import settings

    status, out, _ = run(capsys, *verb.split(), "--help")
    assert status == 0
    for example in VERBS[verb].examples:
        assert example in out
    config = VERBS[verb].config
    for setting in settings(config) if config else []:
        assert setting.meaning, f"{verb}: the setting {setting.key} has no help"
        switch = "no-" if setting.default is True else ""
        flag = f"--{switch}{setting.key.replace('_', '-')}"
        shown = f"{setting.key}=" if "." in setting.key else flag
        assert shown in out


@pytest.mark.parametrize("verb", [verb for verb in VERBS if VERBS[verb].config])
def test_every_example_is_a_valid_configuration(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    config = VERBS[verb]
    monkeypatch.setitem(VERBS, verb, type(config)(**{**vars(config), "run": lambda c: seen.append(c) or 0}))
    for example in config.examples:
        assert main(example.split()[1:]) == 0
    assert len(seen) == len(config.examples)


def test_flags_and_settings_mean_the_same_and_the_setting_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    config = VERBS["demos record"]
    replaced = type(config)(**{**vars(config), "run": lambda c: seen.append(c) or 0})
    monkeypatch.setitem(VERBS, "demos record", replaced)
    for words in (
        "--env MakeLine --longest-burst 3",
        "env=MakeLine longest_burst=3",
        "--env=MakeLine --longest_burst=3",
        "longest_burst=3 --env MoveToCorner env=MakeLine",
    ):
        assert main(["demos", "record", *words.split()]) == 0
    assert seen[0].env == "MakeLine"
    assert seen[0].longest_burst == 3
    assert all(one == seen[0] for one in seen)


def test_settings_behind_a_flag_with_many_values_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    verb = VERBS["pretrain"]
    monkeypatch.setitem(VERBS, "pretrain", type(verb)(**{**vars(verb), "run": lambda c: seen.append(c) or 0}))
    assert main(["pretrain", "--data", "clips", "more/a=b.mp4", "steps=20", "loss.sigma=7"]) == 0
    assert (seen[0].data, seen[0].steps, seen[0].loss.sigma) == (["clips", "more/a=b.mp4"], 20, 7)
    assert main(["pretrain", "--data", "steps=20"]) == 2


def test_one_word_is_a_list_of_one() -> None:
    for written, meant in (
        ("data=bouncing", ["bouncing"]),
        ("data=bouncing:frames=9,objects=3", ["bouncing:frames=9,objects=3"]),
        ("data='my clips'", ["my clips"]),
        ("data=[a,b]", ["a", "b"]),
        ("data=[]", []),
    ):
        assert load_config("pretrain", [written]).data == meant
    assert load_config("dynamics", ["horizons=5"]).horizons == [5]
    with pytest.raises(UserError, match="cannot set horizons to"):
        load_config("dynamics", ["horizons=far"])


def test_none_is_the_value_that_help_calls_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    verb = VERBS["pretrain"]
    monkeypatch.setitem(VERBS, "pretrain", type(verb)(**{**vars(verb), "run": lambda c: seen.append(c) or 0}))
    flags = ["--data", "none", "--window", "none", "--gate", "none", "--preprocessing", "none"]
    assert main(["pretrain", *flags, "--out", "none", "max_frames=none"]) == 0
    given = seen[0]
    assert (given.data, given.window, given.out, given.max_frames) == ([], None, None, None)
    assert (given.gate, given.preprocessing) == ("none", "none")
    assert load_config("benchmark", ["variants=[none]"]).variants == []
    assert main(["pretrain", "--shift", "none"]) == 2


def test_pretraining_on_bouncing_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = str(tmp_path / "encoder")
    words = ("data=bouncing:frames=8", "--max-videos", "3", "steps=2", "pairs=2", "--size", "40x60")
    assert main(["pretrain", *words, "--out", out]) == 0
    assert "14 pairs of frames" in capsys.readouterr().out
    assert main(["keypoints", "plot", out, "bouncing:frames=8", "--out", str(tmp_path / "plots")]) == 0
    assert (tmp_path / "plots" / "active.png").stat().st_size > 0


def test_paths_with_reserved_characters_arrive_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    config = VERBS["demos record"]
    replaced = type(config)(**{**vars(config), "run": lambda c: seen.append(c) or 0})
    monkeypatch.setitem(VERBS, "demos record", replaced)
    odd = "a folder/it's [1], {2}=$x.hdf5"
    assert main(["demos", "record", "--out", odd]) == 0
    assert seen[0].out == odd


BAD = [
    (["preten"], "unknown verb 'preten' (did you mean 'pretrain'?)"),
    (["demos", "recrd"], "did you mean 'record'?"),
    (["bc", "--env", "MoveToCornr"], "unknown task 'MoveToCornr' (did you mean 'MoveToCorner'?)"),
    (["bc", "--env", "MoveToCorner-TestJittr"], "unknown variant of MoveToCorner 'TestJittr'"),
    (
        ["bc", "--policy", "transformer"],
        "unknown policy 'transformer' (did you mean 'set-transformer'?)",
    ),
    (
        ["bc", "policy=transformer"],
        "unknown policy 'transformer' (did you mean 'set-transformer'?)",
    ),
    (["bc", "stps=3"], "unknown setting 'stps' (did you mean 'steps'?)"),
    (["bc", "policy.hiden=3"], "unknown setting 'policy.hiden' (did you mean 'policy.hidden'?)"),
    (["bc", "--stps", "3"], "unknown flag '--stps' (did you mean '--steps'?)"),
    (["bc", "steps=many"], "cannot set steps to many: it must be of type integer"),
    (["bc", "policy.frame=maybe"], "cannot set policy.frame to maybe: it must be of type bool"),
    (["pretrain", "--gamma", "nan"], "the option 'gamma' must be a number from 0 up, got nan"),
    (["pretrain", "inference_gamma=-3"], "the option 'inference_gamma' must be a number from 0 up"),
    (["bc", "MoveToCorner"], "'MoveToCorner' is not a setting: write it as key=value"),
    (["bc", "--seed"], "expected one argument"),
    (["bc", "--encoder", "nowhere"], "nowhere"),
    (["bc", "--demos", "nowhere.hdf5"], "demonstration file 'nowhere.hdf5' does not exist"),
    (["pretrain", "loss.sigma=-1"], "sigma"),
    (["pretrain", "--data", "nowhere"], "'nowhere' does not exist: give videos, folders of videos or images"),
    (["pretrain", "--data", "."], "there is no video in '.': videos end in .mp4,"),
    (
        ["pretrain", "--size", "large"],
        "the option 'size' is height x width in pixels, say 96x96, got 'large'",
    ),
    (["pretrain", "--format", "clever"], "unknown format 'clever' (did you mean 'clevrer'?)"),
    (["pretrain", "--data", "nowhere.hdf5"], "demonstration file 'nowhere.hdf5' does not exist"),
    (["evaluate", "nowhere"], "nowhere"),
    (["demos", "record", "--env", "MatchRegions"], "MatchRegions"),
    (["demos", "record", "--episodes", "0"], "episodes is 0"),
    (["demos", "import", "nowhere", "--out", "x.hdf5"], "nowhere"),
    (["demos", "show", "nowhere.hdf5"], "demonstration file 'nowhere.hdf5' does not exist"),
    (["demos", "show"], "required: file"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_sentence(
    words: list[str],
    part: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, error = run(capsys, *words)
    assert_one_sentence(status, error, part)
    # Whatever was wrong, nothing with content was left behind.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_written_is_said_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("precious")
    for verb in (["bc", "--env", "MoveToCorner"], ["pretrain"]):
        status, _, error = run(capsys, *verb, "--out", str(tmp_path / "taken"))
        assert_one_sentence(status, error, "cannot write to the folder")
    assert (tmp_path / "taken").read_text() == "precious"


class _Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.target,))  # type: ignore[return-value]


def test_a_pickle_that_would_run_code_does_not(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    with gzip.open(tmp_path / "demo-MoveToCorner-Demo-v0-000.pkl.gz", "wb") as file:
        pickle.dump(_Evil(proof), file)
    status, _, error = run(capsys, "demos", "import", str(tmp_path), "--out", str(tmp_path / "out.hdf5"))
    assert_one_sentence(status, error, "demo-MoveToCorner-Demo-v0-000.pkl.gz")
    assert not proof.exists()
    assert not (tmp_path / "out.hdf5").exists()


def test_from_recording_to_evaluation_through_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    demos, out = tmp_path / "demos.hdf5", tmp_path / "run"
    assert run(capsys, "demos", "record", "--episodes", "3", "--out", str(demos))[0] == 0
    status, text, _ = run(capsys, "demos", "show", str(demos))
    assert status == 0
    assert "magical/MoveToCorner-Demo-v0" in text
    assert (tmp_path / "demos.mp4").stat().st_size > 1000
    assert run(capsys, "demos", "record", "--episodes", "3", "--out", str(demos))[0] == 2, "overwrote a file"

    small = ["steps=20", "log_every=10", "batch=16", "evaluation_episodes=2"]
    status, text, _ = run(capsys, "bc", "--demos", str(demos), "--out", str(out), *small)
    assert status == 0, text
    for name in ("config.json", "metrics.json", "log.jsonl", "curves.png", "overlay.png", "rollout.mp4"):
        assert (out / name).stat().st_size > 0, name
    assert str(out / "rollout.mp4") in text
    scores = json.loads((out / "metrics.json").read_text())["evaluation"]["TestJitter"]["scores"]

    assert run(capsys, "bc", "--demos", str(demos), "--out", str(out), *small)[0] == 2, "overwrote a run"
    status, text, _ = run(capsys, "evaluate", str(out), "--episodes", "2", "--variants", "TestJitter")
    assert status == 0
    assert "magical/MoveToCorner-TestJitter-v0" in text
    repeated = json.loads((out / "evaluation.json").read_text())["evaluation"]["TestJitter"]["scores"]
    assert repeated == scores


def test_pretraining_through_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    demos, out = tmp_path / "demos.hdf5", tmp_path / "encoder"
    run(capsys, "demos", "record", "--episodes", "2", "--out", str(demos))
    status, text, _ = run(
        capsys, "pretrain", "--data", str(demos), "--out", str(out), "steps=4", "pairs=2", "log_every=2"
    )
    assert status == 0, text
    for name in (
        "config.json",
        "model.safetensors",
        "metrics.json",
        "log.jsonl",
        "overlay.png",
        "curves.png",
        "active.png",
        "information.png",
        "keypoints.mp4",
    ):
        assert (out / name).stat().st_size > 0, name


def test_environments_and_demonstrations_do_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from mint_rl.cli import main\n"
        f"status = main(['demos', 'record', '--episodes', '1', '--out', {str(tmp_path / 'd.hdf5')!r}])\n"
        f"status += main(['demos', 'show', {str(tmp_path / 'd.hdf5')!r}])\n"
        "heavy = [name for name in ('torch', 'torch_geometric', 'gym') if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}' if heavy else status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_list_takes_every_word_that_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    verb = VERBS["keypoints evaluate"]
    monkeypatch.setitem(
        VERBS, "keypoints evaluate", type(verb)(**{**vars(verb), "run": lambda c: seen.append(c) or 0})
    )
    assert main(["keypoints", "evaluate", "runs/a=1:gamma=3,gate=none", "episodes=2", "magical"]) == 0
    assert seen[0].encoders == ["runs/a=1:gamma=3,gate=none", "magical"]
    assert seen[0].episodes == 2


def test_a_second_word_where_one_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = run(capsys, "evaluate", "runs/a", "runs/b")
    assert_one_sentence(status, error, "'runs/b' is not a setting")
