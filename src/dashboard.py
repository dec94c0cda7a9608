"""The dashboard of a sweep on W&B: a workspace, a report with the paper's figures beside ours, and the table.

python src/dashboard.py sweep=ablations [experiment=ablations] [project=alexnet-lab] [entity=YOU OR YOUR TEAM]
python src/dashboard.py sweep=ablations terminal=true       in this terminal, without an account

Saving again updates the same workspace and report.
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.arguments import choice, read_arguments
from alexnet_lab.core.paths import RUNS
from alexnet_lab.reports.dashboard import save_dashboard
from alexnet_lab.tracking.terminal import watch

KEYS = {"sweep": None, "experiment": "", "project": "alexnet-lab", "entity": "", "terminal": "false"}


def main() -> None:
    arguments = read_arguments(sys.argv[1:], KEYS)
    choice("terminal", arguments["terminal"], ("true", "false"))
    folder = RUNS / arguments["sweep"]
    if arguments["terminal"] == "true":
        sys.exit(watch(folder))
    for name, address in save_dashboard(folder, arguments["experiment"], arguments["project"], arguments["entity"]):
        print(f"{name}: {address}", flush=True)


if __name__ == "__main__":
    command_line.help_or_run(main, __doc__)
