"""Upload to W&B what runs without an account or a network left on the disk.

python src/sync.py [folder=runs]        a sweep's folder, a run's, or all
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.arguments import path, read_arguments
from alexnet_lab.tracking.sync import sync


def main() -> None:
    folder = path(read_arguments(sys.argv[1:], {"folder": "runs"})["folder"])
    number = 0
    for run, state in sync(folder):
        number += 1
        print(f"{run}: {state}", flush=True)
    print(f"all {number} runs are uploaded" if number else f"{folder}: nothing waits to be uploaded")


if __name__ == "__main__":
    command_line.help_or_run(main, __doc__)
