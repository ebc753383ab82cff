"""`mint-rl keypoints video` and `plot`: files of the right size, and one sentence for bad input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mint_rl.cli import main
from mint_rl.keypoints.encoder import EncoderConfig, KeypointEncoder
from mint_rl.viz.video import write_video


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """An untrained encoder whose keypoints are all active."""
    return str(
        KeypointEncoder(EncoderConfig(num_keypoints=4, gamma=0.1)).save_pretrained(tmp_path / "encoder")
    )


@pytest.fixture
def clip(tmp_path: Path) -> str:
    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 48, 3), dtype=np.uint8)
    return str(write_video(tmp_path / "my clip.mp4", list(frames), fps=5))


def frames_of(path: Path) -> tuple[list[np.ndarray], float]:
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], rate


def test_a_video_of_a_video(
    encoder: str, clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "keypoints.mp4"
    assert main(["keypoints", "video", encoder, clip, "--size", "96", "--out", str(out)]) == 0
    frames, rate = frames_of(out)
    assert (len(frames), frames[0].shape, rate) == (12, (64, 96, 3), 5.0)
    first = cv2.imread(str(out.with_suffix(".png")))[..., ::-1]
    assert np.abs(first.astype(int) - frames[0]).mean() < 40  # of random noise, which does not compress
    printed = capsys.readouterr().out
    assert "12 frames, 4.0 of 4 keypoints active" in printed
    assert str(out) in printed


def test_length_and_several_videos_of_other_shapes(encoder: str, clip: str, tmp_path: Path) -> None:
    folder = Path(clip).parent / "clips"
    folder.mkdir()
    Path(clip).rename(folder / "a.mp4")
    write_video(folder / "b.mp4", [np.zeros((48, 48, 3), np.uint8)] * 12)
    out = tmp_path / "both.mp4"
    words = f"--videos 2 --frames 3 --size 64 --fps 2 --trail 0 --no-labels --inactive --out {out}"
    assert main(["keypoints", "video", encoder, str(folder), *words.split()]) == 0
    frames, rate = frames_of(out)
    assert (len(frames), rate) == (6, 2.0)
    assert {frame.shape for frame in frames} == {(42, 64, 3)}


def test_the_default_file_is_named_after_the_source(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["keypoints", "video", encoder, "magical/MoveToRegion-Demo-v0", "--frames", "2"]) == 0
    assert (tmp_path / "runs" / "keypoints-MoveToRegion-Demo.mp4").stat().st_size > 0


def test_plots_of_an_environment_and_of_a_video(encoder: str, clip: str, tmp_path: Path) -> None:
    for source, name in (("MoveToRegion-TestAll", "region"), (clip, "clip")):
        assert main(["keypoints", "plot", encoder, source, "--out", str(tmp_path / name)]) == 0
        for plot in ("active.png", "information.png"):
            picture = cv2.imread(str(tmp_path / name / plot))
            assert min(picture.shape[:2]) > 300
            assert picture.std() > 5  # something is drawn


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["video"], "which encoder, on what?"),
        (["video", "magical"], "which encoder, on what?"),
        (["video", "magicl", "MakeLine"], "unknown encoder 'magicl'"),
        (["video", "magical", "MakeLin"], "did you mean 'MakeLine'?"),
        (["video", "magical", "missing.mp4"], "'missing.mp4' does not exist"),
        (["video", "magical", "MakeLine", "more"], "'more' is not a setting"),
        (["video", "magical", "MakeLine", "--size", "33"], "'size' must be an even number from 32 to 4096"),
        (["video", "magical", "MakeLine", "--frames", "0"], "'frames' must be at least 1"),
        (["video", "magical", "MakeLine", "--fps", "0"], "'fps' must be above 0"),
        (["video", "magical", "MakeLine", "--behaviour", "lazy"], "unknown behaviour 'lazy'"),
        (["video", "magical", "MakeLine", "--out", "film.avi"], "written as .mp4, not as 'film.avi'"),
        (["video", "magical", "MoveToRegion", "--out", "/proc/x.mp4"], "cannot write to the folder"),
        (["plot"], "which encoder, on what?"),
        (["plot", "magical", "MakeLine", "--frames", "1"], "'frames' must be at least 2"),
        (["plot", "magical", "MoveToRegion", "--out", "/proc/x"], "cannot write to the folder"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["keypoints", *words]) == 2
    error = capsys.readouterr().err
    sentences = [line for line in error.splitlines() if line.startswith("mint-rl: ")]
    assert len(sentences) == 1
    assert message in sentences[0]
    assert "Traceback" not in error
    assert list(tmp_path.rglob("*.mp4")) == []


def test_a_broken_video_leaves_nothing(encoder: str, clip: str, tmp_path: Path) -> None:
    whole = Path(clip).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    assert main(["keypoints", "video", encoder, str(cut), "--out", str(tmp_path / "out" / "x.mp4")]) == 2
    assert list((tmp_path / "out").glob("*")) == [] if (tmp_path / "out").exists() else True


def test_a_video_of_one_frame_cannot_be_plotted(
    encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = write_video(tmp_path / "still.mp4", [np.zeros((48, 48, 3), np.uint8)])
    assert main(["keypoints", "plot", encoder, str(still), "--out", str(tmp_path / "plots")]) == 2
    assert "has 1 frame(s); plots over time need 2" in capsys.readouterr().err
    assert main(["keypoints", "video", encoder, str(still), "--out", str(tmp_path / "x.mp4")]) == 0
