"""The tables of a benchmark, as Markdown, as LaTeX and as values to sort by."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mint_rl.training.benchmark_scores import ONE_START, Findings, Row, mean_seconds
from mint_rl.training.statistics import Estimate, short

DATA = {
    "protocol": "protocol: demonstrations of Demo alone, as MAGICAL prescribes",
    "randomised": "randomised starts: demonstrations from TestJitter's starts",
    "human": "human demonstrations",
}
READING = (
    "Scores are MAGICAL's, from 0 to 1, with 95 % bootstrap intervals over training seeds and episodes, both "
    "drawn again independently, since every training run meets the same episodes. All methods were played on "
    "the same seeds of the environment; differences are paired on them. Demonstrations are the same for all "
    "training seeds, so intervals say nothing about other demonstrations. Demo has a single start: its "
    "episodes differ by the sampling of actions alone, so there only training seeds count as a sample, and "
    "one training seed has no interval. An interval of no width means that all scores were equal: it says "
    "nothing about rarer outcomes. IQM is the interquartile mean."
)


@dataclass(frozen=True)
class Entry:
    """A cell of a table: what is shown, and the number to sort by, if it has one."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table with its heading. Tables of one `data` never hold rows of another."""

    data: str
    title: str
    header: list[str]
    rows: list[list[Entry]]
    note: str = ""


def tables(findings: Findings) -> list[Table]:
    """All tables: for each kind of data its scores and differences task by task, aggregates, and the cost."""
    found = []
    for data in findings.kinds():
        for task, rows in findings.groups(data):
            played = [row for row in rows if row.scores]
            if played:
                found.append(_scores(data, task, played))
            if len(played) > 1:
                found.append(_differences(data, task, played))
        found += _aggregate(findings, data)
        for task, rows in findings.groups(data):
            trained = [row for row in rows if row.seconds]
            if trained:
                found.append(_cost(data, task, trained, findings.pretraining))
    return found


def describe_data(data: str) -> str:
    """What a kind of data means: `protocol: demonstrations of Demo alone, as MAGICAL prescribes`."""
    return DATA.get(data, data.replace("+", " and ") + " demonstrations together")


def failures(findings: Findings) -> list[str]:
    """A sentence for each training run that failed."""
    return [
        f"{row.task}, {row.data}, {row.label}, seed {seed}: {reason}"
        for row in findings.rows
        for seed, reason in row.failures.items()
    ]


def markdown(table: Table) -> str:
    """A table of GitHub's Markdown, under a heading."""
    lines = [f"### {table.title}", ""]
    lines.append("| " + " | ".join(map(_escape_pipe, table.header)) + " |")
    lines.append("|" + "---|" * len(table.header))
    lines += ["| " + " | ".join(_escape_pipe(entry.text) for entry in row) + " |" for row in table.rows]
    if table.note:
        lines += ["", table.note]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """A `table` environment with the rules of booktabs."""
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [
        r"\begin{table}\small",
        rf"\caption{{{_escape_latex(table.title)}. {_escape_latex(table.note)}}}".replace(". }", "}"),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_escape_latex, table.header)) + r" \\",
        r"\midrule",
        *(" & ".join(_escape_latex(entry.text) for entry in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def interval_text(estimate: Estimate | None) -> str:
    """`.975 [.960, .990]`."""
    if estimate is None or math.isnan(estimate.mean):
        return "–"
    mean = short(estimate.mean, 3)
    if math.isnan(estimate.low):
        return mean
    return f"{mean} [{short(estimate.low, 3)}, {short(estimate.high, 3)}]"


def _scores(data: str, task: str, rows: Sequence[Row]) -> Table:
    variants = _variants(rows)
    body = [
        [Entry(row.label), _seeds(row), *(_entry(row.estimate(variant)) for variant in variants)]
        for row in rows
    ]
    counts = sorted({len(scores.episode_seeds) for row in rows for scores in row.scores.values()})
    note = f"{' or '.join(map(str, counts))} episodes a variant"
    return Table(data, f"{task}, {data}: mean scores", ["policy", "seeds", *variants], body, note)


def _differences(data: str, task: str, rows: Sequence[Row]) -> Table:
    first, *others = rows
    variants = [variant for variant in _variants(rows) if variant in first.scores]
    body = [
        [Entry(row.label), *(_entry(first.minus(row, variant)) for variant in variants)] for row in others
    ]
    return Table(
        data, f"{task}, {data}: {first.label} minus the others", ["minus", *variants], body,
        f"Above 0 {first.label} is better. Where 0 lies outside the interval, that is hardly chance.",
    )  # fmt: skip


def _aggregate(findings: Findings, data: str) -> Iterator[Table]:
    aggregates = findings.aggregates[data]
    found, environments = aggregates.estimates, aggregates.environments
    if found:
        body = [[Entry(label), _entry(mean), _entry(iqm)] for label, (mean, iqm) in found.items()]
        yield Table(
            data, f"All tasks, {data}: aggregated scores", ["policy", "mean", "IQM"], body,
            f"Over the {environments} task{'' if environments == 1 else 's'} and variants that every policy "
            "was played on, each training run's mean score counting once for each.",
        )  # fmt: skip


def _cost(data: str, task: str, rows: Sequence[Row], pretraining: Mapping[str, float | None]) -> Table:
    """rows: such as have been trained. pretraining: CPU seconds by encoder."""
    reference = sum(mean_seconds(rows[0]) or (0.0,))
    body = []
    for row in rows:
        encoding, steps = mean_seconds(row) or (0.0, 0.0)
        total = encoding + steps
        before = pretraining.get(row.encoder) if row.encoder else 0.0
        body.append(
            [
                Entry(row.label),
                _seconds_entry(encoding),
                _seconds_entry(steps),
                _seconds_entry(total),
                Entry(f"{total / reference:.2f}", total / reference) if reference else Entry("–"),
                Entry("unknown") if before is None else _seconds_entry(total + before),
            ]
        )
    return Table(
        data, f"{task}, {data}: CPU seconds of a training run",
        ["policy", "encoding", "training", "both", "times the first", "with pretraining"], body,
        "Means over training runs. Encoding is that of the demonstrations, charged in full to every run that "
        "uses it; an encoder is pretrained once for all tasks.",
    )  # fmt: skip


def _seconds_entry(seconds: float) -> Entry:
    return Entry(f"{seconds:,.1f}", seconds)


def _variants(rows: Sequence[Row]) -> list[str]:
    """Every variant that a row was played on, in MAGICAL's order."""
    from mint_rl.envs.magical.names import VARIANTS

    return [variant for variant in VARIANTS[rows[0].task] if any(variant in row.scores for row in rows)]


def _seeds(row: Row) -> Entry:
    """How many training seeds, out of how many if some failed or are not done."""
    done = min((len(scores.training_seeds) for scores in row.scores.values()), default=0)
    return Entry(str(done) if done == len(row.cells) else f"{done} of {len(row.cells)}", done)


def _entry(estimate: Estimate | None) -> Entry:
    known = estimate is not None and not math.isnan(estimate.mean)
    return Entry(interval_text(estimate), estimate.mean if estimate is not None and known else None)


def _escape_pipe(text: str) -> str:
    return text.replace("|", r"\|")


def _escape_latex(text: str) -> str:
    special = {"−": "$-$", "–": "--", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}"}
    special |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
    escaped = "".join(special.get(sign, sign) for sign in text)
    return re.sub(r"(?<![\w$])-(?=[.\d])", "$-$", escaped)  # before a number it is a minus


assert ONE_START == "Demo"  # which READING explains
