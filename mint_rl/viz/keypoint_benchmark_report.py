"""What a benchmark of keypoints found: tables, pictures and every number, in a folder to keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mint_rl.errors import UserError
from mint_rl.files import writable_folder, write_text
from mint_rl.training.dynamics_scores import MOVING, OBJECTS
from mint_rl.training.keypoint_benchmark_grid import CONTROL
from mint_rl.training.keypoint_benchmark_scores import (
    METRICS,
    KeypointFindings,
    KeypointRow,
    collect_keypoints,
)
from mint_rl.training.keypoint_evaluation import Detector
from mint_rl.training.method_word import slug
from mint_rl.training.statistics import Estimate
from mint_rl.training.threads import cpu_threads
from mint_rl.viz.benchmark_report import machine_lines
from mint_rl.viz.benchmark_tables import Table, latex, markdown
from mint_rl.viz.keypoint_benchmark_plots import examples, plot_come_and_go, plot_overlays
from mint_rl.viz.keypoint_benchmark_tables import (
    PREDICTION,
    PREDICTORS,
    READING,
    keypoint_failures,
    keypoint_tables,
    keypoint_warnings,
    test_groups,
)

TITLE = "Ways of learning keypoints"
TEXT, LATEX, SUMMARY = "README.md", "tables.tex", "summary.json"


def keypoint_benchmark_report(
    folder: Path, out: Path | None = None, say: Callable[[str], None] = print
) -> list[Path]:
    """Write the report of a benchmark of keypoints, finished or not, into its folder or another one.

    `README.md` and `tables.tex` hold the tables, `summary.json` every estimate; for each kind of data
    `overlay-….png` shows all methods on the same frames, and `come-and-go-….png`, where objects come and go,
    their active keypoints over time. Returns their paths. Raises `UserError` for a folder without such a
    benchmark or without any score.
    """
    findings = collect_keypoints(folder)
    if not any(scores for row in findings.rows for scores in row.tests.values()):
        raise UserError(f"nothing in the benchmark in '{folder}' has been scored yet")
    out = writable_folder(out or folder)
    with cpu_threads(1):
        pictures = {data: _pictures(findings, data, out, say) for data in findings.kinds()}
    every = keypoint_tables(findings)
    write_text(out / TEXT, _text(findings, every, pictures))
    write_text(out / LATEX, "\n".join(latex(table) for table in every))
    write_text(out / SUMMARY, json.dumps(_summary(findings), indent=1, ensure_ascii=False) + "\n")
    drawn = [path for paths in pictures.values() for path in paths]
    written = [out / TEXT, out / LATEX, out / SUMMARY, *drawn]
    say(f"report: {', '.join(map(str, written))}")
    return written


def _pictures(findings: KeypointFindings, data: str, out: Path, say: Callable[[str], None]) -> list[Path]:
    """The pictures of one kind of data; what cannot be drawn, since it is gone, is said in a sentence."""
    rows = findings.of(data)
    detectors: dict[str, Detector] = {}
    for row in rows:
        if any(row.tests.values()):
            seed = min(seed for scores in row.tests.values() for seed in scores)
            try:
                detectors[row.label] = row.cells[seed].detector()
            except UserError as error:
                say(f"no picture of {row.label}: {error}")
    if not detectors:
        return []
    try:
        shown = examples(findings.tests[data])
    except UserError as error:
        say(f"no pictures of {data}: {error}")
        return []
    title = f"{data}: test videos, seed 0 of each method"
    written = [plot_overlays(out / f"overlay-{slug(data)}.png", shown.frames, detectors, title)]
    if len(np.unique(shown.visible)) > 1:
        controls = {row.label for row in rows if row.kind == CONTROL}
        learned = {label: one for label, one in detectors.items() if label not in controls}
        target = out / f"come-and-go-{slug(data)}.png"
        written.append(plot_come_and_go(target, shown.video, shown.visible, learned, f"{data}: a test video"))
    return written


def _text(findings: KeypointFindings, every: list[Table], pictures: dict[str, list[Path]]) -> str:
    """The tables as Markdown, with commands, machines, dates and pictures."""
    cells = sum(len(row.cells) for row in findings.rows)
    scored = sum(len({s for found in row.tests.values() for s in found}) for row in findings.rows)
    first, last = (date[:10] for date in findings.dates)
    when = first if first == last else f"{first} to {last}"
    lines = [f"# {TITLE}", "", f"{scored} of {cells} encoders and controls are scored; computed {when}.", ""]
    lines += [f"    {entry['command']}    # {entry['date']}" for entry in findings.commands]
    lines += ["", *(f"- {machine}" for machine in machine_lines(findings.machines)), "", READING, ""]
    if any(row.dynamics for row in findings.rows):
        lines += [PREDICTION, ""]
    for title, sentences in (
        ("What failed", keypoint_failures(findings)),
        ("What training warned of", keypoint_warnings(findings)),
    ):
        if sentences:
            lines += [f"## {title}", "", *(f"- {sentence}" for sentence in sentences), ""]
    for data in findings.kinds():
        lines += [f"## {data}", ""]
        lines += [markdown(table) for table in every if table.data == data]
        lines += [f"![{path.stem}]({path.name})\n" for path in pictures[data]]
    return "\n".join(lines)


def _summary(findings: KeypointFindings) -> dict[str, Any]:
    """Every estimate as plain values."""
    return {
        "commands": findings.commands,
        "machines": findings.machines,
        "dates": list(findings.dates),
        "settings": findings.settings,
        "results": {data: [_of_row(row, findings) for row in findings.of(data)] for data in findings.kinds()},
    }


def _of_row(row: KeypointRow, findings: KeypointFindings) -> dict[str, Any]:
    scored = [other for other in findings.of(row.data) if any(other.tests.values())]
    return {
        "method": row.method,
        "kind": row.kind,
        "configuration": row.digest,
        "seeds": list(row.cells),
        "failures": {str(seed): reason for seed, reason in row.failures.items()},
        "warnings": {str(seed): warnings for seed, warnings in row.warnings.items()},
        "cpu_seconds_a_step": row.cost("a step"),
        "cpu_seconds_of_training": row.cost("all"),
        "milliseconds_a_frame": row.milliseconds,
        "scores": {
            name: {metric: _plain(row.estimate(metric, tests)) for metric in METRICS}
            for name, tests in (test_groups(row.data, scored).items() if scored else ())
        },
        "predicted": {
            measure: {
                who: {
                    str(ahead): _plain(row.predicted(measure, who, ahead))
                    for ahead in findings.settings["horizons"]
                }
                for who in PREDICTORS
            }
            for measure in (OBJECTS, MOVING)
        }
        if row.dynamics
        else None,
    }


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_json()
