"""What follows a verb: flags and key=value words become one configuration, which the verb runs with."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mint_rl.errors import UserError, unknown_name

if TYPE_CHECKING:
    from mint_rl.training.configuration import Setting

# What a setting looks like, and a path or an encoder with its own settings does not: steps=5, loss.sigma=7.
_SETTING = re.compile(r"[+~]*[\w.]+=")

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130


@dataclass(frozen=True)
class Verb:
    """One verb: its summary and examples for the help, and the function that runs it.

    config:     the configuration whose settings are its flags; None for a verb with arguments alone
    arguments:  adds the arguments of a verb without a configuration to its parser
    positional: the settings given without flags, such as the run of `evaluate`, as words; the last one
                takes several values if it is a list
    """

    summary: str
    examples: tuple[str, ...]
    run: Callable[[Any], int]
    config: str | None = None
    arguments: Callable[[argparse.ArgumentParser], None] | None = None
    positional: str = ""


def run_verb(name: str, verb: Verb, words: list[str]) -> int:
    """Run `mint-rl <name> <words>`; returns the exit status."""
    from mint_rl.training.configuration import load_config, settings

    if verb.config is None:
        return verb.run(_parser(name, verb, []).parse_args(words))
    # --learning_rate, as the setting is written, is as good as --learning-rate.
    words = [
        w.split("=")[0].replace("_", "-") + w[len(w.split("=")[0]) :] if w[:2] == "--" else w for w in words
    ]
    every = settings(verb.config, _chosen(verb.config, words))
    options = _parser(name, verb, every).parse_intermixed_args(words)
    return verb.run(load_config(verb.config, _overrides(verb, every, options)))


def _chosen(config: str, words: list[str]) -> str | None:
    """The policy or method that the words name, whose settings are then flags and help, if they name one.

    They name it as --policy mlp or policy=mlp.
    """
    from mint_rl.training.configuration import choice_of_settings

    group, known = choice_of_settings(config)
    chosen = None
    for index, word in enumerate(words if group else []):
        if word == f"--{group}":
            chosen = "".join(words[index + 1 : index + 2])
        elif word.startswith((f"--{group}=", f"{group}=")):
            chosen = word.split("=", 1)[1]
    if chosen is not None and chosen not in known:
        raise unknown_name(group, chosen, known)
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
        usage=f"mint-rl {name} {_usage(verb, every)}"
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
            "--policy",
            help="interaction (the graph network), set-transformer, mlp or cnn (default interaction)",
        )
    if every:
        parser.add_argument(
            "words", nargs="*", metavar="key=value", help="any setting, the way Hydra writes it"
        )
    elif verb.arguments is not None:
        verb.arguments(parser)
    return parser


def _usage(verb: Verb, every: list[Setting]) -> str:
    """The settings without flags: `<run> `, `<encoders ...> ` or nothing."""
    return "".join(f"<{key}{' ...' if _is_list(key, every) else ''}> " for key in verb.positional.split())


def _is_list(key: str, every: list[Setting]) -> bool:
    return any(setting.key == key and setting.kind is list for setting in every)


def _add_flag(parser: argparse.ArgumentParser, setting: Setting) -> None:
    flag = f"--{setting.key.replace('_', '-')}"
    default = setting.default if setting.default not in (None, [], "") else "none"
    if isinstance(default, list):
        default = " ".join(map(str, default))
    help_text = f"{setting.meaning} (default {default})".replace("%", "%%")
    if setting.kind is bool:
        # Help names the one that changes the default; a preset may have another, so both are known.
        for name, value in ((flag, True), (f"--no-{flag[2:]}", False)):
            parser.add_argument(
                name, dest=setting.key, default=None, action="store_const", const=str(value).lower(),
                help=argparse.SUPPRESS if value == setting.default else help_text,
            )  # fmt: skip
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
    bare = [word for word in words if not _SETTING.match(word)]
    words = [word for word in words if _SETTING.match(word)]
    for key in verb.positional.split():
        many = _is_list(key, every)
        values, bare = (bare, []) if many else (bare[:1], bare[1:])
        if values:
            quoted = ",".join(map(_quoted, values))
            overrides.append(f"{key}={f'[{quoted}]' if many else quoted}")
    words += bare  # which nothing asked for: they are reported as no settings
    for setting in every:
        value = given.get(setting.key)
        if value is None:
            continue
        if isinstance(value, list):  # a flag with many values takes the key=value words behind it too
            words += [word for word in value if _SETTING.match(word)]
            value = [word for word in value if not _SETTING.match(word)]
            if not value:
                flag = setting.key.replace("_", "-")
                raise UserError(f"--{flag} needs a value; '{words[-1]}' is a setting")
        text = f"[{','.join(map(_quoted, value))}]" if isinstance(value, list) else _quoted(value)
        overrides.append(f"{setting.key}={text}")
    # The policy is chosen before its settings are changed.
    return sorted(overrides + words, key=lambda override: not override.startswith("policy="))


def _quoted(value: str) -> str:
    """Quoted for Hydra, whose grammar reserves characters of paths; numbers are converted back by type."""
    if value in ("true", "false", "null"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
