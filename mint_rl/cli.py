"""The command line: `mint-rl <verb>`. Friendly flags become Hydra overrides; failures are one sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mint_rl import __version__
from mint_rl.errors import UserError, unknown_name

# flag, key of the configuration, what it means; the flag's value becomes the override key=value
Flag = tuple[str, str, str]


@dataclass(frozen=True)
class Verb:
    """One verb: what its help says, its flags, and the function that runs it."""

    summary: str
    examples: str
    run: Callable[[argparse.Namespace], None]
    flags: Sequence[Flag] = ()  # become overrides of `config`
    config: str | None = None  # the configuration that overrides and --help speak of
    arguments: Callable[[argparse.ArgumentParser], None] = field(default=lambda parser: None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        name, rest = _verb(words)
        if name is None:
            return 0
        verb = VERBS[name]
        parser = _parser(name, verb, with_config={"-h", "--help"} & set(rest) != set())
        verb.run(parser.parse_intermixed_args(rest))
    except UserError as error:
        print(f"mint-rl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mint-rl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as in `mint-rl ... | head`
        sys.stderr.close()
        return 0
    return 0


def _verb(words: list[str]) -> tuple[str | None, list[str]]:
    """Split the verb, of one word or two, from the rest; without one, print the overview."""
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())
        return None, []
    if words[0] == "--version":
        print(f"mint-rl {__version__}")
        return None, []
    pairs = {verb.split()[0] for verb in VERBS if " " in verb}
    if words[0] in pairs:
        known = [verb.split()[1] for verb in VERBS if verb.startswith(f"{words[0]} ")]
        if len(words) < 2 or words[1] in {"-h", "--help"}:
            print(_overview(words[0]))
            return None, []
        if words[1] not in known:
            raise unknown_name(f"verb of 'mint-rl {words[0]}'", words[1], known)
        return f"{words[0]} {words[1]}", words[2:]
    if words[0] not in VERBS:
        raise unknown_name("verb", words[0], [*VERBS])
    return words[0], words[1:]


def _overview(group: str = "") -> str:
    shown = {name: verb for name, verb in VERBS.items() if name.startswith(group)}
    width = max(map(len, shown)) + 2
    verbs = "\n".join(f"  {name:<{width}}{verb.summary}" for name, verb in shown.items())
    return (
        "mint-rl: a video becomes keypoints, keypoints become a graph, a graph becomes an action.\n\n"
        f"usage: mint-rl <verb> [flags] [key=value ...]\n\n{verbs}\n\n"
        "start here:\n"
        "  mint-rl bc --env MoveToCorner           clone a behaviour with the shipped encoder\n"
        "  mint-rl pretrain --out runs/encoder     learn keypoints from video\n\n"
        "mint-rl <verb> --help shows examples and every setting."
    )


def _parser(name: str, verb: Verb, with_config: bool) -> argparse.ArgumentParser:
    epilog = f"examples:\n{verb.examples}"
    if verb.config and with_config:
        from mint_rl.training.configuration import describe_config

        settings = "\n".join(f"  {line}" for line in describe_config(verb.config).splitlines())
        epilog += f"\n\nsettings and their defaults (change any with key=value or a.b=value):\n{settings}"
    parser = argparse.ArgumentParser(
        prog=f"mint-rl {name}",
        description=verb.summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.arguments(parser)
    for flag, key, meaning in verb.flags:
        parser.add_argument(flag, dest=key, metavar=key.split(".")[-1].upper(), help=meaning)
    if verb.config:
        parser.add_argument(
            "overrides", nargs="*", metavar="key=value", help="any setting, as Hydra writes it"
        )
    return parser


def _overrides(verb: str, options: argparse.Namespace) -> list[str]:
    """Flags as overrides, then the overrides as given: the last word wins."""
    given = vars(options)
    flags = [f"{key}={_quoted(key, given[key])}" for _, key, _ in VERBS[verb].flags if given[key] is not None]
    return flags + list(given["overrides"])


def _quoted(key: str, value: str) -> str:
    """Quoted for Hydra, whose grammar reserves characters of paths; numbers are converted back."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return value if key == "policy" else f"'{escaped}'"


def _pretrain(options: argparse.Namespace) -> None:
    from mint_rl.training.configuration import load_config

    config = load_config("pretrain", _overrides("pretrain", options))
    from mint_rl.training.pretrain import pretrain
    from mint_rl.viz.report import pretrain_report

    result = pretrain(config)
    pretrain_report(result)


def _bc(options: argparse.Namespace) -> None:
    from mint_rl.training.configuration import load_config

    config = load_config("bc", _overrides("bc", options))
    from mint_rl.training.bc import behaviour_cloning
    from mint_rl.viz.report import bc_report

    result = behaviour_cloning(config)
    bc_report(result)


def _evaluate(options: argparse.Namespace) -> None:
    from mint_rl.training.evaluate import evaluate_run

    evaluate_run(options)


def _record(options: argparse.Namespace) -> None:
    from mint_rl.data.demonstrations import write_demonstrations
    from mint_rl.envs.magical.recording import record_demonstrations

    demonstrations = record_demonstrations(
        options.env, episodes=options.episodes, seed=options.seed, noise=options.noise
    )
    out = Path(options.out or f"runs/demos/{options.env}.hdf5")
    write_demonstrations(out, demonstrations)
    print(f"{len(demonstrations.demonstrations)} demonstrations written to {out}")


VERBS: dict[str, Verb] = {}
