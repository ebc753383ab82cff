"""The results of probing an encoder, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mint_rl.training.probe_inputs import DESCRIPTORS
from mint_rl.training.statistics import Estimate

Means = dict[str, list[float]]  # by group of quantities: the mean error of each episode
# Group of quantities → heading of its column and decimals.
COLUMNS = {
    "heading": ("heading °", 1),
    "opening": ("opening rad", 4),
    "robot": ("robot", 3),
    "blocks": ("blocks", 3),
    "block angles": ("block turn °", 1),
}
LEGEND = """\
Mean errors on episodes that a probe has not seen; places in arena units (the arena is 2 wide). ± is half the
width of the 95 % bootstrap interval over episodes."""


@dataclass
class EncoderProbe:
    """What probes of one encoder found, environment by environment."""

    encoder: str  # as it was named
    settings: str  # of inference, in words
    features: int  # of a descriptor
    milliseconds: float = 0.0  # CPU time of a frame, descriptors included
    guesses: dict[str, Means] = field(default_factory=dict)  # of the mean of other episodes, by environment
    means: dict[tuple[str, str, str], Means] = field(default_factory=dict)  # by environment, probe, inputs
    # By environment and pixels of shift: keypoints that move along, change of their descriptors.
    shifts: dict[str, dict[int, tuple[float, float]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Every estimate with its interval, as plain values."""
        environments: dict[str, Any] = {}
        for env, guess in self.guesses.items():
            probes: dict[str, Any] = {}
            for (where, probe, inputs), means in self.means.items():
                if where == env:
                    probes.setdefault(probe, {})[inputs] = _plain(means)
            shifts = {
                str(s): {"kept": kept, "change": change} for s, (kept, change) in self.shifts[env].items()
            }
            environments[env] = {"guess": _plain(guess), "probes": probes, "shifts": shifts}
        return {
            "settings": self.settings,
            "descriptor_features": self.features,
            "milliseconds_a_frame": self.milliseconds,
            "environments": environments,
        }


def table(result: EncoderProbe, baseline: EncoderProbe | None = None) -> str:
    """For each environment a line an input and probe, a column a quantity.

    Where there is a baseline, its errors with descriptors are subtracted in lines of their own.
    """
    lines = [
        f"{result.encoder}  ({result.settings}; descriptors of {result.features} features, "
        f"{result.milliseconds:.2f} ms a frame with them)"
    ]
    for env, guess in result.guesses.items():
        name = env.removeprefix("magical/").removesuffix("-v0")
        lines += ["", _line(name, [heading for heading, _ in COLUMNS.values()])]
        lines.append(_line("  mean of other episodes", _cells(guess)))
        for (where, probe, inputs), means in result.means.items():
            if where != env:
                continue
            lines.append(_line(f"  {probe}: {inputs}", _cells(means)))
            if baseline is not None and inputs == DESCRIPTORS:
                theirs = baseline.means[env, probe, inputs]
                differences = {
                    group: [a - b for a, b in zip(mine, theirs[group], strict=True)]
                    for group, mine in means.items()
                }
                lines.append(_line(f"    minus {baseline.encoder}", _cells(differences)))
        shifts = ", ".join(
            f"{shift} px: {kept:.0%} and {change:.0%}" for shift, (kept, change) in result.shifts[env].items()
        )
        lines.append(f"  shifted frames, keypoints that move along and change of descriptors: {shifts}")
    return "\n".join([*lines, "", LEGEND])


def _cells(means: Means) -> list[str]:
    return [
        Estimate.of([means[group]]).text(decimals) if group in means else "–"
        for group, (_, decimals) in COLUMNS.items()
    ]


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<42}" + "".join(f"{cell:>13}" for cell in cells)


def _plain(means: Means) -> dict[str, Any]:
    return {group: Estimate.of([values]).to_json() for group, values in means.items()}
