"""Learning curves from the JSON-lines log of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mint_rl.errors import UserError
from mint_rl.files import atomic_path

# Bookkeeping that no one wants as a curve.
_NOT_CURVES = {"step", "epoch", "seconds", "cpu_seconds", "learning_rate", "time"}


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines log; a last line cut off by an interruption is left out."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no log at '{path}': give the folder of a run")
    records: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def plot_curves(log: str | Path, target: str | Path, title: str = "") -> Path:
    """Draw every quantity of a log over its steps, one panel each, validation beside training.

    A key `valid_x` shares the panel of `x`. Returns `target`, a PNG file.
    """
    from matplotlib.figure import Figure

    records = read_log(log)
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for record in records:
        for key, value in record.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number and key not in _NOT_CURVES and "step" in record:
                steps, values = curves.setdefault(key, ([], []))
                steps.append(float(record["step"]))
                values.append(float(value))
    panels = list(dict.fromkeys(key.removeprefix("valid_") for key in curves))
    columns = min(4, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(3.2 * columns, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        for key, label, style in ((panel, "training", "-"), (f"valid_{panel}", "validation", "o-")):
            if key in curves:
                axis.plot(*curves[key], style, label=label, linewidth=1.2, markersize=2.5)
        if f"valid_{panel}" in curves:
            axis.legend(fontsize=7, frameon=False)
        axis.set_title(panel.replace("_", " "), fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=10)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    return Path(target)
