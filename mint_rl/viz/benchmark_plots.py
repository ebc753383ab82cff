"""The plots of a benchmark: mean scores on every variant, and aggregates, each with its interval."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mint_rl.training.benchmark_scores import Aggregates, Findings, Row
from mint_rl.training.statistics import Array, Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any colour vision can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#F0E442")
_MARKERS = "osD^vP*X<"  # one more than colours: pairs of both repeat only after 72
_LEGEND = 140  # letters of a legend in one line of a figure nine inches wide


class Mark(NamedTuple):
    """How a policy is drawn: arguments of matplotlib's `errorbar`."""

    fmt: str
    color: str


def mark_of(number: int) -> Mark:
    """The mark of the policy of this number: the first 72 have one each."""
    return Mark(_MARKERS[number % len(_MARKERS)], COLOURS[number % len(COLOURS)])


def plots(findings: Findings) -> dict[str, bytes]:
    """PNG files by name: `scores-<data>.png` and `aggregate-<data>.png` for each kind of data."""
    drawn = {}
    labels = list(dict.fromkeys(row.label for row in findings.rows))
    for data in findings.kinds():
        played = [(task, [row for row in rows if row.scores]) for task, rows in findings.groups(data)]
        played = [(task, rows) for task, rows in played if rows]
        if played:
            drawn[f"scores-{data}.png"] = _png(_plot_scores(played, labels))
        if findings.aggregates[data].estimates:
            drawn[f"aggregate-{data}.png"] = _png(_plot_aggregates(findings.aggregates[data], labels))
    return drawn


def _plot_scores(groups: Sequence[tuple[str, Sequence[Row]]], labels: Sequence[str]) -> Figure:
    """One panel a task: variants along x, policies side by side."""
    from matplotlib.figure import Figure

    shown = list(dict.fromkeys(row.label for _, rows in groups for row in rows))
    lines = math.ceil(len(shown) / legend_columns(shown))
    # The legend's lines come on top: a long one would leave no height to the panels.
    figure = Figure(figsize=(9.0, 2.7 * len(groups) + 0.2 + 0.19 * lines), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for axis, (task, rows) in zip(panels, groups, strict=True):
        variants = list(dict.fromkeys(variant for row in rows for variant in row.scores))
        for number, row in enumerate(rows):
            estimates = [row.estimate(variant) for variant in variants]
            places = np.arange(len(variants), dtype=np.float64) + (number - (len(rows) - 1) / 2) * 0.7 / len(
                rows
            )
            _intervals(axis, places, estimates, labels.index(row.label), row.label)
        axis.set_title(task, fontsize=10)
        axis.set_xticks(range(len(variants)), variants, fontsize=8)
        axis.set_ylim(-0.03, 1.03)
        axis.set_ylabel("score", fontsize=8)
        axis.tick_params(axis="y", labelsize=8)
        axis.grid(axis="y", alpha=0.25)
    handles: dict[str, Any] = {}
    for axis in panels:
        handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=legend_columns(handles),
        fontsize=8, frameon=False,
    )  # fmt: skip
    return figure


def legend_columns(labels: Iterable[str]) -> int:
    """How many columns of the longest label a legend below a plot has room for, from 1 to 4."""
    longest = max(map(len, labels), default=1)
    return min(4, max(1, _LEGEND // (longest + 8)))  # 8: the mark and the gap


def _plot_aggregates(aggregates: Aggregates, labels: Sequence[str]) -> Figure:
    """Two panels, mean and interquartile mean: a line a policy."""
    from matplotlib.figure import Figure

    found = aggregates.estimates
    figure = Figure(figsize=(9.0, 0.42 * len(found) + 1.1), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axis, which, title in zip(panels, (0, 1), ("mean", "interquartile mean"), strict=True):
        for place, (label, both) in enumerate(found.items()):
            estimate, style = both[which], labels.index(label)
            _one_interval(axis, place, estimate, style)
        axis.set_title(f"{title} over {aggregates.environments} tasks and variants", fontsize=9)
        axis.set_xlim(-0.03, 1.03)
        axis.set_yticks(range(len(found)), list(found), fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(axis="x", alpha=0.25)
        axis.margins(y=0.5 / max(1, len(found)))
    panels[0].invert_yaxis()
    return figure


def _intervals(
    axis: Axes, places: Array, estimates: Sequence[Estimate | None], number: int, label: str
) -> None:
    known = [(x, e) for x, e in zip(places, estimates, strict=True) if e is not None]
    means = [estimate.mean for _, estimate in known]
    axis.errorbar(
        [x for x, _ in known], means, yerr=np.array([_reach(estimate) for _, estimate in known]).T,
        **mark_of(number)._asdict(), markersize=4.5, capsize=2, linewidth=1.2, label=label,
    )  # fmt: skip


def _one_interval(axis: Axes, place: float, estimate: Estimate, number: int) -> None:
    axis.errorbar(
        [estimate.mean], [place], xerr=np.array([_reach(estimate)]).T,
        **mark_of(number)._asdict(), markersize=5, capsize=3, linewidth=1.4,
    )  # fmt: skip


def _reach(estimate: Estimate) -> tuple[float, float]:
    """From the mean to both ends of the interval; 0 where there is none."""
    if math.isnan(estimate.low):
        return 0.0, 0.0
    # An end may lie on the other side of an interquartile mean by rounding.
    return max(0.0, estimate.mean - estimate.low), max(0.0, estimate.high - estimate.mean)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()
