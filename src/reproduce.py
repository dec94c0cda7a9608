"""An experiment of the paper: its sweep, then its table.

python src/reproduce.py experiment=ablations seeds=3 [jobs=2] [sweep=NAME] [overrides of src/train.py]

Runs what is missing of the sweep, writes table.md, table.csv and table.json into runs/<sweep>/, prints the table.
"""

import subprocess
import sys
from pathlib import Path

from alexnet_lab import command_line
from alexnet_lab.experiments.experiment import load_experiment
from alexnet_lab.experiments.request import read_request
from alexnet_lab.experiments.run_folders import RUNS
from alexnet_lab.reports.ablation_table import make_rows, print_table, write_table
from alexnet_lab.reports.collect import collect
from alexnet_lab.reports.heading import describe


def reproduce() -> None:
    request = read_request(sys.argv[1:])
    experiment = load_experiment(request.experiment)
    train = [sys.executable, str(Path(__file__).with_name("train.py")), "-m"]
    sweep = subprocess.Popen([*train, *request.overrides(experiment)])
    try:
        code = sweep.wait()
    except KeyboardInterrupt:
        sys.exit(sweep.wait())  # it has been interrupted too, and ends its jobs
    if code:
        sys.exit(code)
    folder = RUNS / request.sweep
    results = collect(folder, experiment, request.seed_list)
    rows = make_rows(experiment, results)
    heading = describe(results)
    write_table(folder, experiment, rows, heading)
    print_table(experiment, rows, heading)
    print(f"also in {folder / 'table.md'}, table.csv and table.json")


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
    else:
        command_line.run(reproduce)
