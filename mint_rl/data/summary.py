"""What a set of demonstrations holds, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mint_rl.data.demonstrations import NUM_ACTIONS, DemonstrationSet


def summarise(demonstrations: DemonstrationSet) -> dict[str, Any]:
    """Counts, lengths, scores and the histogram of labels, as JSON-ready values.

    `noisy_share` is the share of steps at which something else was done than the label says.
    """
    lengths = np.array([len(demonstration) for demonstration in demonstrations])
    scores = np.array([demonstration.score for demonstration in demonstrations])
    actions = np.concatenate([demonstration.actions for demonstration in demonstrations])
    executed = np.concatenate([demonstration.executed for demonstration in demonstrations])
    return {
        "env_id": demonstrations.env_id,
        "source": demonstrations.source,
        "demonstrations": len(demonstrations),
        "steps": int(lengths.sum()),
        "length": {"min": int(lengths.min()), "mean": float(lengths.mean()), "max": int(lengths.max())},
        "score": {"min": float(scores.min()), "mean": float(scores.mean()), "max": float(scores.max())},
        "image_shape": list(demonstrations.image_shape),
        "states": all(demonstration.states is not None for demonstration in demonstrations),
        "noisy_share": float((actions != executed).mean()),
        "actions": np.bincount(actions, minlength=NUM_ACTIONS).tolist(),
    }


def summary_text(demonstrations: DemonstrationSet, action_names: Sequence[str]) -> str:
    """The summary as lines to print; labels that never occur are left out, the most frequent come first.

    `action_names` names actions 0, 1, …: for MAGICAL, `mint_rl.envs.magical.names.ACTION_NAMES`.
    """
    facts = summarise(demonstrations)
    length, score = facts["length"], facts["score"]
    lengths = f"{length['min']}" if length["min"] == length["max"] else f"{length['min']}–{length['max']}"
    rows = {
        "environment": facts["env_id"],
        "source": facts["source"] or "unknown",
        "demonstrations": f"{facts['demonstrations']}, {facts['steps']} steps, {lengths} each",
        "score": f"mean {score['mean']:.3f}, lowest {score['min']:.3f}",
        "frames": "×".join(map(str, facts["image_shape"])) + " uint8",
        "states": "with the simulator's state" if facts["states"] else "frames only",
        "noise": f"{facts['noisy_share']:.1%} of the steps did something else than their label",
    }
    lines = [f"{name:<16}{value}" for name, value in rows.items()]
    lines.append("labels")
    for action in sorted(range(NUM_ACTIONS), key=lambda action: -facts["actions"][action]):
        count = facts["actions"][action]
        if count:
            share = count / facts["steps"]
            lines.append(
                f"  {action_names[action]:<14}{count:>7}  {share:6.1%}  {'█' * round(40 * share)}".rstrip()
            )
    return "\n".join(lines)
