"""The command line: `mint-rl <verb>`. Flags and key=value words become one configuration; failures are one
sentence on standard error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mint_rl import __version__
from mint_rl.errors import UserError, unknown_name

if TYPE_CHECKING:
    from mint_rl.training.configuration import Setting

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130


@dataclass(frozen=True)
class Verb:
    """One verb: its summary and examples for the help, and the function that runs it.

    config:     the configuration whose settings are its flags; None for a verb with arguments alone
    positional: the setting or argument that is given without a flag, such as the run of `evaluate`
    """

    summary: str
    examples: tuple[str, ...]
    run: Callable[[Any], int]
    config: str | None = None
    positional: str | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        name, rest = _split_verb(words)
        return DONE if name is None else _run(name, rest)
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
    if second_words:
        if len(words) < 2 or words[1] in {"-h", "--help"}:
            print(_overview(words[0]))
            return None, []
        if words[1] not in second_words:
            raise unknown_name(f"verb after 'mint-rl {words[0]}'", words[1], second_words)
        return f"{words[0]} {words[1]}", words[2:]
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


def _run(name: str, words: list[str]) -> int:
    from mint_rl.training.configuration import load_config, settings

    verb = VERBS[name]
    if verb.config is None:
        return verb.run(_parser(name, verb, []).parse_args(words))
    # --learning_rate, as the setting is written, is as good as --learning-rate.
    words = [
        w.split("=")[0].replace("_", "-") + w[len(w.split("=")[0]) :] if w[:2] == "--" else w for w in words
    ]
    policy = _chosen_policy(words) if verb.config == "bc" else "interaction"
    every = settings(verb.config, policy)
    options = _parser(name, verb, every).parse_intermixed_args(words)
    return verb.run(load_config(verb.config, _overrides(verb, every, options)))


def _chosen_policy(words: list[str]) -> str:
    """The policy that the words name, whose settings are then flags and help: --policy mlp or policy=mlp."""
    from mint_rl.training.configuration import POLICIES

    chosen = "interaction"
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--policy":
            chosen = following
        elif word.startswith(("--policy=", "policy=")):
            chosen = word.split("=", 1)[1]
    if chosen not in POLICIES:
        raise unknown_name("policy", chosen, POLICIES)
    return chosen


class _Parser(argparse.ArgumentParser):
    """Argparse whose complaints are one sentence, like all others."""

    def error(self, message: str) -> Any:
        known = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        if message.startswith("unrecognized arguments: --"):
            raise unknown_name("flag", message.split(": ")[1].split()[0].split("=")[0], known)
        raise UserError(f"{message}; see '{self.prog} --help'")


def _parser(name: str, verb: Verb, every: list[Setting]) -> argparse.ArgumentParser:
    nested = [setting for setting in every if "." in setting.key]
    examples = "\n".join(f"  {example}" for example in verb.examples)
    epilog = f"examples:\n{examples}"
    if nested:
        width = max(len(f"{s.key}={s.default}") for s in nested) + 2
        lines = "\n".join(f"  {f'{s.key}={s.default}':<{width}}{s.meaning}" for s in nested)
        epilog = f"more settings, given as key=value:\n{lines}\n\n{epilog}"
    parser = _Parser(
        prog=f"mint-rl {name}",
        usage=f"mint-rl {name} {f'<{verb.positional}> ' if verb.positional else ''}"
        + ("[--flag value ...] [key=value ...]" if every else "[--flag value ...]"),
        description=verb.summary[0].upper() + verb.summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for setting in every:
        if "." not in setting.key:
            _add_flag(parser, setting)
    if verb.config == "bc":
        parser.add_argument(
            "--policy", help="interaction (the graph network), mlp or cnn (default interaction)"
        )
    if every:
        parser.add_argument(
            "words", nargs="*", metavar="key=value", help="any setting, the way Hydra writes it"
        )
    elif verb.config is None:
        _ARGUMENTS[name](parser)
    return parser


def _add_flag(parser: argparse.ArgumentParser, setting: Setting) -> None:
    flag = f"--{setting.key.replace('_', '-')}"
    default = setting.default if setting.default not in (None, []) else "none"
    if isinstance(default, list):
        default = " ".join(map(str, default))
    help_text = f"{setting.meaning} (default {default})".replace("%", "%%")
    if setting.kind is bool:
        value = str(not setting.default).lower()
        flag = flag if value == "true" else f"--no-{flag[2:]}"
        parser.add_argument(
            flag, dest=setting.key, default=None, action="store_const", const=value, help=help_text
        )
        return
    many = {"nargs": "+"} if setting.kind is list else {}
    parser.add_argument(flag, dest=setting.key, metavar=setting.key.upper(), help=help_text, **many)  # type: ignore[arg-type]


def _overrides(verb: Verb, every: list[Setting], options: argparse.Namespace) -> list[str]:
    """Flags, then key=value words: where both are given, the word wins."""
    given = vars(options)
    words = list(given["words"])
    overrides = []
    if given.get("policy") is not None:
        overrides.append(f"policy={given['policy']}")
    if verb.positional and words and "=" not in words[0]:
        overrides.append(f"{verb.positional}={_quoted(words.pop(0))}")
    for setting in every:
        value = given.get(setting.key)
        if value is None:
            continue
        text = f"[{','.join(map(_quoted, value))}]" if isinstance(value, list) else _quoted(value)
        overrides.append(f"{setting.key}={text}")
    # The policy is chosen before its settings are changed.
    return sorted(overrides + words, key=lambda override: not override.startswith("policy="))


def _quoted(value: str) -> str:
    """Quoted for Hydra, whose grammar reserves characters of paths; numbers are converted back by type."""
    if value in ("true", "false", "null"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _pretrain(config: Any) -> int:
    from mint_rl.training.pretrain import pretrain
    from mint_rl.viz.report import pretrain_report

    result = pretrain(config)
    pretrain_report(result)
    return INTERRUPTED if result.interrupted else DONE


def _bc(config: Any) -> int:
    from mint_rl.training.bc import behaviour_cloning
    from mint_rl.viz.report import bc_report

    result = behaviour_cloning(config)
    bc_report(result.folder, result.policy)
    return INTERRUPTED if result.interrupted else DONE


def _evaluate(config: Any) -> int:
    from mint_rl.training.evaluate import evaluate_run

    evaluate_run(config)
    return DONE


def _record(config: Any) -> int:
    from mint_rl.training.record import record

    record(config)
    return DONE


def _import(options: argparse.Namespace) -> int:
    from mint_rl.data.demonstrations import write_demonstrations
    from mint_rl.data.magical_pickles import import_demonstrations

    target = Path(options.out)
    if target.exists() and not options.overwrite:
        raise UserError(f"'{target}' exists already: choose another --out, or pass --overwrite")
    demonstrations = import_demonstrations(options.source, view=options.view)
    write_demonstrations(target, demonstrations)
    print(f"{len(demonstrations)} demonstrations of {demonstrations.env_id}: '{target}'")
    return DONE


def _show(options: argparse.Namespace) -> int:
    from mint_rl.viz.demonstrations import show_demonstrations

    show_demonstrations(options.file, options.video)
    return DONE


def _envs(options: argparse.Namespace) -> int:
    from mint_rl.envs.magical.names import VARIANTS

    for task, variants in VARIANTS.items():
        print(f"magical/{task}-<variant>-v0\n  {' '.join(variants)}")
    return DONE


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a folder with *.pkl.gz files, or one such file")
    parser.add_argument("--out", required=True, help="the file to write, *.hdf5")
    parser.add_argument("--view", default="allo", help="the camera to keep: allo or ego (default allo)")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is already there")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a file of demonstrations, *.hdf5")
    parser.add_argument("--video", help="where to write the video (default: beside the file, as .mp4)")


_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "demos import": _import_arguments,
    "demos show": _show_arguments,
    "envs": lambda parser: None,
}

VERBS: dict[str, Verb] = {
    "bc": Verb(
        "clone a behaviour from demonstrations: record, train, evaluate, film",
        (
            "mint-rl bc --env MoveToCorner",
            "mint-rl bc --env MoveToRegion --policy mlp --seed 1 --out runs/region",
            "mint-rl bc --env MoveToCorner --demos demos/human.hdf5 --encoder runs/encoder",
            "mint-rl bc --env MoveToCorner --policy cnn steps=400 policy.width=0.25",
        ),
        _bc,
        config="bc",
    ),
    "evaluate": Verb(
        "play the episodes of a trained policy again, on any variant of its task",
        (
            "mint-rl evaluate runs/demo",
            "mint-rl evaluate runs/demo --variants TestJitter TestColour --episodes 100 --temperature 0",
        ),
        _evaluate,
        config="evaluate",
        positional="run",
    ),
    "pretrain": Verb(
        "learn keypoints from video, without labels",
        (
            "mint-rl pretrain --out runs/encoder",
            "mint-rl pretrain --data demos/MoveToCorner-Demo.hdf5 --seed 1 --out runs/corner loss.sigma=7",
            "mint-rl pretrain --out runs/encoder --resume",
        ),
        _pretrain,
        config="pretrain",
    ),
    "demos record": Verb(
        "record scripted demonstrations, with bursts of noise to recover from",
        (
            "mint-rl demos record --env MoveToCorner --episodes 25",
            "mint-rl demos record --env MoveToRegion-TestJitter --noise 0 --out demos/region.hdf5",
        ),
        _record,
        config="record",
    ),
    "demos import": Verb(
        "turn MAGICAL's human demonstrations (*.pkl.gz) into a file, without running what they hold",
        ("mint-rl demos import demos-simplified/move-to-corner --out demos/human.hdf5",),
        _import,
    ),
    "demos show": Verb(
        "summarise a file of demonstrations and write a video of it",
        ("mint-rl demos show demos/MoveToCorner-Demo.hdf5",),
        _show,
    ),
    "envs": Verb("list the environments, task by task", ("mint-rl envs",), _envs),
}
