"""The command line: `mint-rl <verb>`. Failures are one sentence on standard error.

The verbs stand in the modules of this package, each beside the function that runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mint_rl import __version__
from mint_rl.cli import benchmark, demonstrations, dynamics, keypoints, sharing, training
from mint_rl.cli.parser import BAD_INPUT, DONE, INTERRUPTED, Verb, run_verb
from mint_rl.errors import UserError, unknown_name

VERBS: dict[str, Verb] = {
    **training.VERBS,
    **benchmark.VERBS,
    **dynamics.VERBS,
    **keypoints.VERBS,
    **demonstrations.VERBS,
    **sharing.VERBS,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        name, rest = _split_verb(words)
        return DONE if name is None else run_verb(name, VERBS[name], rest)
    except UserError as error:
        print(f"mint-rl: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("mint-rl: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output went away, as in `mint-rl demos show x | head`
        sys.stderr.close()
        return DONE


def _split_verb(words: list[str]) -> tuple[str | None, list[str]]:
    """The verb, of one word or two, and the rest; without a verb, print the overview."""
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())
        return None, []
    if words[0] == "--version":
        print(f"mint-rl {__version__}")
        return None, []
    second_words = [verb.split()[1] for verb in VERBS if verb.startswith(f"{words[0]} ")]
    if len(words) > 1 and words[1] in second_words:
        return f"{words[0]} {words[1]}", words[2:]
    if second_words and words[0] not in VERBS:
        if len(words) < 2 or words[1] in {"-h", "--help"}:
            print(_overview(words[0]))
            return None, []
        raise unknown_name(f"verb after 'mint-rl {words[0]}'", words[1], second_words)
    if words[0] not in VERBS:
        raise unknown_name("verb", words[0], VERBS)
    return words[0], words[1:]


def _overview(group: str = "") -> str:
    shown = {name: verb for name, verb in VERBS.items() if name.startswith(group)}
    width = max(map(len, shown)) + 3
    verbs = "\n".join(f"  {name:<{width}}{verb.summary}" for name, verb in shown.items())
    start = "\n".join(f"  {example}" for verb in shown.values() for example in verb.examples[:1])
    return (
        "mint-rl: a video becomes keypoints, keypoints become a graph, a graph becomes an action.\n\n"
        f"usage: mint-rl <verb> [--flag value ...] [key=value ...]\n\n{verbs}\n\nexamples:\n{start}\n\n"
        "mint-rl <verb> --help shows examples and every setting with its default."
    )
