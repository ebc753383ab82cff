"""The verbs about keypoints: how good they are, and what they look like."""

from __future__ import annotations

import argparse
from typing import Any

from mint_rl.cli.parser import DONE, Verb


def _evaluate(config: Any) -> int:
    from mint_rl.training.keypoint_evaluation import run_keypoint_evaluation

    run_keypoint_evaluation(config)
    return DONE


def _probe(config: Any) -> int:
    from mint_rl.training.probe import run_probe

    run_probe(config)
    return DONE


def _merge(config: Any) -> int:
    from mint_rl.training.merge import merge_runs
    from mint_rl.viz.report import merge_report

    merge_report(merge_runs(config))
    return DONE


def _video(config: Any) -> int:
    from mint_rl.viz.keypoint_video import keypoint_video

    keypoint_video(config)
    return DONE


def _plot(config: Any) -> int:
    from mint_rl.viz.keypoint_report import plot_keypoints

    plot_keypoints(config)
    return DONE


def _joints(options: argparse.Namespace) -> int:
    from mint_rl.training.joint_errors import joint_errors

    joint_errors(options.encoder, options.env, options.episodes)
    return DONE


def _joints_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("encoder", help="a run folder of method=keypointgan")
    parser.add_argument("--env", default="MoveToRegion-TestAll", help="MAGICAL environment")
    parser.add_argument("--episodes", type=int, default=25, help="episodes of 40 frames")


VERBS = {
    "keypoints joints": Verb(
        "measure how far KeypointGAN's keypoints are from the joints of MAGICAL's robot",
        ("mint-rl keypoints joints runs/encoder",),
        _joints,
        arguments=_joints_arguments,
    ),
    "keypoints evaluate": Verb(
        "score encoders' keypoints against masks: objects found, tracked and kept",
        (
            "mint-rl keypoints evaluate magical",
            "mint-rl keypoints evaluate runs/encoder magical:gamma=12,gate=none --variants Demo",
            "mint-rl keypoints evaluate magical --data demos/human.hdf5 --out runs/human.json",
            "mint-rl keypoints evaluate runs/bouncing --data bouncing --max-videos 100",
        ),
        _evaluate,
        config="keypoint_evaluation",
        positional="encoders",
    ),
    "keypoints probe": Verb(
        "measure what keypoints and descriptors say about the state of MAGICAL's scenes",
        (
            "mint-rl keypoints probe magical",
            "mint-rl keypoints probe magical:descriptors=maps4 runs/encoder --no-controls",
            "mint-rl keypoints probe magical --envs ClusterShape-TestJitter --out runs/probe.json",
        ),
        _probe,
        config="keypoint_probe",
        positional="encoders",
    ),
    "keypoints merge": Verb(
        "make one encoder of several training seeds, which misses fewer objects",
        (
            "mint-rl keypoints merge runs/seed0 runs/seed1 runs/seed2 --out runs/merged",
            "mint-rl keypoints merge runs/seed0 runs/seed1 --keep 30 --data clips/ --out runs/merged",
            "mint-rl keypoints merge runs/seed0 runs/seed1 runs/seed2 --tracks 32 --out runs/tracking",
        ),
        _merge,
        config="keypoint_merge",
        positional="encoders",
    ),
    "keypoints video": Verb(
        "film an encoder's keypoints, with trails and identities, on a video or in an environment",
        (
            "mint-rl keypoints video magical MakeLine-TestJitter",
            "mint-rl keypoints video magical-tracking ClusterColour-TestAll",
            "mint-rl keypoints video runs/encoder holiday.mp4 --frames 300 --size 640",
            "mint-rl keypoints video magical demos/human.hdf5 --videos 3 --inactive",
        ),
        _video,
        config="keypoint_video",
        positional="encoder source",
    ),
    "keypoints plot": Verb(
        "plot active keypoints over time, and what the losses see: entropy, what is new, what is covered",
        (
            "mint-rl keypoints plot magical MakeLine-TestAll",
            "mint-rl keypoints plot runs/encoder holiday.mp4 --out runs/holiday",
            "mint-rl keypoints plot runs/bouncing bouncing --out runs/come-and-go",
        ),
        _plot,
        config="keypoint_plot",
        positional="encoder source",
    ),
}
