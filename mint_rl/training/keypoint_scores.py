"""What the metrics of an encoder's keypoints come to: estimates with intervals, as a table and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mint_rl.keypoints.metrics import VideoMetrics
from mint_rl.training.statistics import Estimate

# Metric → heading and decimals.
COLUMNS = {
    "dop": ("DOP", 3),
    "top": ("TOP", 3),
    "uak": ("UAK", 2),
    "rak": ("RAK", 2),
    "identity": ("same+1", 3),
    "identity_5": ("same+5", 3),
    "identity_20": ("same+20", 3),
    "active": ("active", 1),
}
EVERYTHING = "mean"
LEGEND = """\
± is half the width of the 95 % bootstrap interval over videos. DOP, TOP: objects found, tracked; UAK:
keypoints on nothing; RAK: keypoints out of proportion to areas; same+n: keypoints on an object that are on
the same one n frames later; times are of one core."""


Row = dict[str, Estimate]  # by metric


@dataclass
class EncoderScores:
    """The metrics of one encoder on every video, by environment or data set."""

    encoder: str  # as it was named
    settings: str  # of inference, in words
    videos: dict[str, list[VideoMetrics]] = field(default_factory=dict)
    seconds: float = 0.0  # CPU time of encoding
    frames: int = 0

    @property
    def milliseconds(self) -> float:
        """CPU time a frame."""
        return 1e3 * self.seconds / max(self.frames, 1)

    def add(self, name: str, metrics: VideoMetrics, seconds: float, frames: int) -> None:
        """Take in one video of the environment or data set `name`."""
        self.videos.setdefault(name, []).append(metrics)
        self.seconds += seconds
        self.frames += frames

    def rows(self, baseline: EncoderScores | None = None) -> dict[str, Row]:
        """Every environment's estimates, then each group's (see `groups`).

        baseline: estimate the difference to that encoder's metrics on the same videos instead.
        """
        named = {name: [name] for name in self.videos} | groups(list(self.videos))
        return {
            label: {metric: Estimate.of(self._values(metric, names, baseline)) for metric in COLUMNS}
            for label, names in named.items()
        }

    def _values(self, metric: str, names: Sequence[str], baseline: EncoderScores | None) -> list[list[float]]:
        """Of each environment, the metric of every video, or its difference to the baseline's."""
        values = [[getattr(video, metric) for video in self.videos[name]] for name in names]
        if baseline is None:
            return values
        others = [[getattr(video, metric) for video in baseline.videos[name]] for name in names]
        return [
            [a - b for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(values, others, strict=True)
        ]

    def to_json(self, baseline: EncoderScores | None = None) -> dict[str, Any]:
        """All estimates as plain values, and the differences to the baseline, if there is one."""
        table: dict[str, Any] = {
            "settings": self.settings,
            "milliseconds_a_frame": self.milliseconds,
            "rows": _plain(self.rows()),
        }
        if baseline is not None:
            table["minus"] = {"encoder": baseline.encoder, "rows": _plain(self.rows(baseline))}
        return table


def groups(names: Sequence[str]) -> dict[str, list[str]]:
    """What to average over: each variant of MAGICAL that several environments share, and all of them."""
    by_variant: dict[str, list[str]] = {}
    for name in names:
        if name.startswith("magical/"):
            by_variant.setdefault(f"mean of {name.split('-')[1]}", []).append(name)
    several = {label: some for label, some in by_variant.items() if 1 < len(some) < len(names)}
    if len(names) > 1:
        several[EVERYTHING] = list(names)
    return several


def table(scores: EncoderScores, baseline: EncoderScores | None = None) -> str:
    """A line an environment and group, a column a metric, each with half the width of its interval.

    Below it, where there is a baseline, the groups' differences to it.
    """
    rows = scores.rows()
    lines = [
        f"{scores.encoder}  ({scores.settings}; {scores.milliseconds:.2f} ms a frame)",
        _line("", [heading for heading, _ in COLUMNS.values()]),
        *(_line(_label(name), _cells(row)) for name, row in rows.items()),
    ]
    if baseline is not None:
        lines.append(f"  minus {baseline.encoder}, on the same videos:")
        shown = groups(list(scores.videos)) or rows
        lines += [_line(f"  {name}", _cells(scores.rows(baseline)[name])) for name in shown]
    return "\n".join(lines)


def comparison(scores: Sequence[EncoderScores]) -> str:
    """The groups' rows of several encoders, one below the other."""
    rows = [found.rows() for found in scores]
    shown = groups(list(scores[0].videos)) or rows[0]
    lines = [_line("", [heading for heading, _ in COLUMNS.values()])]
    for name in shown:
        lines.append(_label(name))
        lines += [
            _line(f"  {found.encoder[-23:]}", _cells(row[name]))
            for found, row in zip(scores, rows, strict=True)
        ]
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    return [row[metric].text(decimals) for metric, (_, decimals) in COLUMNS.items()]


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<26}" + "".join(f"{cell:>11}" for cell in cells)


def _label(name: str) -> str:
    return name.removeprefix("magical/").removesuffix("-v0")


def _plain(rows: dict[str, Row]) -> dict[str, Any]:
    return {
        name: {metric: estimate.to_json() for metric, estimate in row.items()} for name, row in rows.items()
    }


assert set(COLUMNS) == {field.name for field in dataclasses.fields(VideoMetrics)}
