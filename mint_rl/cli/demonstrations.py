"""The verbs about demonstrations and environments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mint_rl.cli.parser import DONE, Verb
from mint_rl.errors import UserError


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


VERBS = {
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
        arguments=_import_arguments,
    ),
    "demos show": Verb(
        "summarise a file of demonstrations and write a video of it",
        ("mint-rl demos show demos/MoveToCorner-Demo.hdf5",),
        _show,
        arguments=_show_arguments,
    ),
    "envs": Verb("list the environments, task by task", ("mint-rl envs",), _envs),
}
