"""The verbs that train and evaluate."""

from __future__ import annotations

from typing import Any

from mint_rl.cli.parser import DONE, INTERRUPTED, Verb


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


VERBS = {
    "bc": Verb(
        "clone a behaviour from demonstrations: record, train, evaluate, film",
        (
            "mint-rl bc --env MoveToCorner",
            "mint-rl bc --env MoveToRegion --policy mlp --seed 1 --out runs/region",
            "mint-rl bc --env MoveToCorner --demos demos/human.hdf5 --encoder runs/encoder",
            "mint-rl bc --env MoveToCorner --policy cnn policy.width=0.25 policy.colour=0.2",
            "mint-rl bc --env MakeLine --demo-env MakeLine MakeLine-TestJitter --episodes 200 --dagger 2",
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
            "mint-rl pretrain --data clips/ --size 160x240 --fps 10 --out runs/clips",
            "mint-rl pretrain --data bouncing --max-videos 20 --out runs/bouncing",
            "mint-rl pretrain --data demos/MoveToCorner-Demo.hdf5 --seed 1 --out runs/corner loss.sigma=7",
            "mint-rl pretrain --out runs/encoder --resume",
            "mint-rl pretrain --method transporter --out runs/transporter loss.gap=20",
        ),
        _pretrain,
        config="pretrain",
    ),
}
