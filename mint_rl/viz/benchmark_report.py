"""What a benchmark found: tables, plots, every score, and one page with videos that needs nothing else."""

from __future__ import annotations

import base64
import csv
import importlib.resources
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mint_rl.errors import UserError
from mint_rl.files import atomic_path, writable_folder, write_text
from mint_rl.training.benchmark_grid import Cell
from mint_rl.training.benchmark_scores import Findings, Row, collect
from mint_rl.viz.benchmark_film import FILM_FILE, film_variant
from mint_rl.viz.benchmark_plots import plots
from mint_rl.viz.benchmark_tables import (
    READING,
    Table,
    describe_data,
    failures,
    latex,
    markdown,
    tables,
)

TITLE = "Behaviour cloning on MAGICAL"
PAGE, TEXT, LATEX = "report.html", "README.md", "tables.tex"
EPISODES, SUMMARY = "episodes.csv", "summary.json"


def benchmark_report(
    folder: Path, out: Path | None = None, videos: bool = True, say: Callable[[str], None] = print
) -> list[Path]:
    """Write the report of a benchmark, finished or not, into its folder or another one.

    `report.html` is one page that needs nothing else: sortable tables, plots, a video of each training run.
    `README.md` and `tables.tex` hold the tables, `summary.json` every estimate, `episodes.csv` every
    episode's score; each plot is a PNG file. Returns their paths. Raises `UserError` for a folder without a
    benchmark or without any score.
    """
    findings = collect(folder)
    if not any(row.scores for row in findings.rows):
        raise UserError(f"no training run of the benchmark in '{folder}' has been evaluated yet")
    out = writable_folder(out or folder)
    every, pictures = tables(findings), plots(findings)
    for name, data in pictures.items():
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(data)
    write_text(out / TEXT, _text(findings, every, list(pictures)))
    write_text(out / LATEX, "\n".join(latex(table) for table in every))
    write_text(out / SUMMARY, json.dumps(summary(findings), indent=1, ensure_ascii=False) + "\n")
    write_text(out / EPISODES, _episodes(findings))
    write_text(out / PAGE, _page(findings, every, pictures, videos))
    written = [out / name for name in (PAGE, TEXT, LATEX, SUMMARY, EPISODES, *pictures)]
    say(f"report: {', '.join(map(str, written))}")
    return written


def summary(findings: Findings) -> dict[str, Any]:
    """Every estimate as plain values."""
    results = [
        {"data": data, "task": task, "policies": [_policy(row, rows[0]) for row in rows]}
        for data in findings.kinds()
        for task, rows in findings.groups(data)
    ]
    aggregates = {
        data: {
            "environments": found.environments,
            "policies": {
                label: {"mean": mean.to_json(), "iqm": iqm.to_json()}
                for label, (mean, iqm) in found.estimates.items()
            },
        }
        for data, found in findings.aggregates.items()
    }
    return {
        "commands": findings.commands,
        "machines": findings.machines,
        "dates": list(findings.dates),
        "settings": findings.settings,
        "pretraining_cpu_seconds": findings.pretraining,
        "results": results,
        "aggregates": aggregates,
    }


def _policy(row: Row, first: Row) -> dict[str, Any]:
    return {
        "policy": row.method,
        "encoder": row.encoder or None,
        "configuration": row.digest,
        "cpu_seconds": row.seconds,
        "failures": {str(seed): reason for seed, reason in row.failures.items()},
        "variants": _variants(row, first),
    }


def _variants(row: Row, first: Row) -> dict[str, Any]:
    """Estimates by variant; `first_minus_this` compares with the first policy of the table."""
    result: dict[str, Any] = {}
    for variant, scores in row.scores.items():
        estimate = row.estimate(variant)
        assert estimate is not None
        result[variant] = {
            **estimate.to_json(),
            "iqm_of_runs": row.iqm(variant),
            "training_seeds": list(scores.training_seeds),
            "run_means": scores.values.mean(axis=1).tolist(),
            "episodes": len(scores.episode_seeds),
        }
        difference = first.minus(row, variant) if row is not first else None
        if difference is not None:
            result[variant]["first_minus_this"] = difference.to_json()
    return result


def _episodes(findings: Findings) -> str:
    """Every episode's score, a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("task", "data", "policy", "encoder", "configuration", "training_seed", "variant")
    writer.writerow([*names, "episode_seed", "score"])
    for row in findings.rows:
        for variant, scores in row.scores.items():
            for seed, values in zip(scores.training_seeds, scores.values, strict=True):
                about = (row.task, row.data, row.method, row.encoder, row.digest, seed, variant)
                for episode, score in zip(scores.episode_seeds, values, strict=True):
                    writer.writerow([*about, episode, f"{score:.6g}"])
    return text.getvalue()


def _text(findings: Findings, every: list[Table], pictures: list[str]) -> str:
    """The tables as Markdown, with commands, machines, dates and plots."""
    lines = [f"# {TITLE}", "", _summary_line(findings), ""]
    lines += [f"    {entry['command']}    # {entry['date']}" for entry in findings.commands]
    lines += ["", *(f"- {machine}" for machine in machine_lines(findings.machines)), "", READING, ""]
    failed = failures(findings)
    if failed:
        lines += ["## Training runs that failed", "", *(f"- {sentence}" for sentence in failed), ""]
    for data in dict.fromkeys(table.data for table in every):
        lines += [f"## {_heading(data)}", ""]
        lines += [f"![{name}]({name})\n" for name in pictures if name.endswith(f"-{data}.png")]
        lines += [markdown(table) for table in every if table.data == data]
    return "\n".join(lines)


def _page(findings: Findings, every: list[Table], pictures: dict[str, bytes], videos: bool) -> str:
    """The page, from the template beside this file."""
    import jinja2

    template = (importlib.resources.files("mint_rl.viz") / "benchmark_report.html").read_text("utf-8")
    sections = []
    for data in dict.fromkeys(table.data for table in every):
        sections.append(
            {
                "title": _heading(data),
                "plots": [
                    {"name": name, "data": base64.b64encode(content).decode()}
                    for name, content in pictures.items()
                    if name.endswith(f"-{data}.png")
                ],
                "tables": [table for table in every if table.data == data],
                "films": _films(findings, data) if videos else [],
            }
        )
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    return page.render(
        title=TITLE,
        summary=_summary_line(findings),
        commands=findings.commands,
        machines=machine_lines(findings.machines),
        reading=READING,
        failures=failures(findings),
        sections=sections,
    )


def _films(findings: Findings, data: str) -> list[dict[str, Any]]:
    """For each task the films there are, with what they show."""
    tasks = []
    for task, rows in findings.groups(data):
        films = []
        for row in rows:
            for seed, folder in row.cells.items():
                path = folder / FILM_FILE
                if path.is_file():
                    encoded = base64.b64encode(path.read_bytes()).decode()
                    films.append({"data": encoded, "caption": _caption(row, seed, Cell.read(folder))})
        if films:
            title = f"{task}, {data}: the first test episode of each training run"
            tasks.append({"title": title, "films": films})
    return tasks


def _caption(row: Row, seed: int, cell: Cell) -> str:
    variant = film_variant(cell)
    scores = row.scores.get(variant)
    score = math.nan
    if scores is not None and seed in scores.training_seeds and cell.test_seed in scores.episode_seeds:
        place = scores.training_seeds.index(seed), scores.episode_seeds.index(cell.test_seed)
        score = float(scores.values[place])
    shown = "" if math.isnan(score) else f", score {score:.2f}"
    return f"{row.label}, seed {seed}, {variant}{shown}"


def _heading(data: str) -> str:
    text = describe_data(data)
    return text[0].upper() + text[1:]


def _summary_line(findings: Findings) -> str:
    runs = sum(len(row.cells) for row in findings.rows)
    done = sum(len(row.seconds) for row in findings.rows)
    first, last = (date[:10] for date in findings.dates)
    when = first if first == last else f"{first} to {last}"
    return f"{done} of {runs} training runs are trained; computed {when}."


def machine_lines(machines: Sequence[Mapping[str, str]]) -> list[str]:
    """What numbers were measured on, a line a machine, from what `describe_machine` found."""
    return [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, "
        f"PyTorch {machine['torch']}, mint-rl {machine['mint-rl']}"
        for machine in machines
    ]
