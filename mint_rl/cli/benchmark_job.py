"""One cell of a benchmark as a program of its own: for processes, and for Hydra's launchers.

    python -m mint_rl.cli.benchmark_job <folder of the cell>
    python -m mint_rl.cli.benchmark_job --multirun +cell=<folder>,<folder> hydra/launcher=joblib

`mint-rl benchmark` and `mint-rl benchmark keypoints` write the folders and start this.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mint_rl.cli.parser import BAD_INPUT, DONE, INTERRUPTED
from mint_rl.errors import UserError


def run(folder: str) -> int:
    """Run the cell of a folder; returns the exit status: 0, or 1 if it failed, which its result says."""
    from mint_rl.training.keypoint_benchmark_grid import CELL_FILE

    try:
        if (Path(folder) / CELL_FILE).exists():
            from mint_rl.training.keypoint_benchmark_cell import run_keypoint_cell

            result = run_keypoint_cell(Path(folder))
        else:
            from mint_rl.training.benchmark_cell import run_cell
            from mint_rl.viz.benchmark_film import film

            result = run_cell(Path(folder), film)
        return DONE if result.failure is None else 1
    except UserError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _job(config: Any) -> int:
    """What Hydra calls for each cell. Nothing is raised: that would end the jobs to come."""
    return run(str(config.cell))


def main() -> int:
    """The command line."""
    if "--multirun" not in sys.argv:
        return run(sys.argv[1])
    import hydra

    hydra.main(version_base="1.3", config_path=None)(_job)()
    return DONE


if __name__ == "__main__":
    sys.exit(main())
