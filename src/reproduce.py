"""An experiment of the paper: its sweep, then its table.

python src/reproduce.py experiment=ablations seeds=3 [jobs=2] [sweep=NAME] [overrides of src/train.py]
python src/reproduce.py [--config-dir DIR] experiment=DIR/NAME.yaml ...      one of your own (docs/extending.md)
python src/reproduce.py status [experiment=ablations [seeds=3] [data=imagenet]] [sweep=NAME or FOLDER]

Runs what is missing of the sweep, writes its table and forest plot into runs/<sweep>/, prints the table.
status shows where a sweep stands, with an experiment's table so far, while it runs too, and changes nothing.
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.reproduction_request import read_request, read_status_request
from alexnet_lab.core import signals
from alexnet_lab.reports.ablation_table import make_table, print_table, write_table
from alexnet_lab.reports.collect import collect
from alexnet_lab.reports.forest_plot import write_forest_plot
from alexnet_lab.reports.heading import about, cost
from alexnet_lab.sweeps.status import print_status, print_sweeps, sweep_status
from alexnet_lab.sweeps.sweep_process import run_sweep


def reproduce() -> None:
    request = read_request(sys.argv[1:])
    code = run_sweep(request.overrides())
    if code:
        sys.exit(code)
    results = collect(request.folder, request.experiment, request.seed_list)
    table = make_table(request.experiment, results, request.seeds)
    write_table(request.folder, table, about(results))
    write_forest_plot(request.folder, table)
    print_table(table, [*about(results), cost(results)])
    print(f"also in {request.folder / 'table.md'}, table.csv, table.json, forest.svg and forest.png")


def status() -> None:
    asked = read_status_request(sys.argv[2:])
    if asked is None:
        print_sweeps()
    else:
        print_status(asked.folder, sweep_status(asked.folder, asked.jobs))
        if asked.experiment is not None:
            results = collect(asked.folder, asked.experiment, asked.seeds)
            if results[asked.experiment.base]:
                print_table(make_table(asked.experiment, results, len(asked.seeds)), about(results))


if __name__ == "__main__":
    signals.leave_when_asked()
    command_line.help_or_run(status if sys.argv[1:2] == ["status"] else reproduce, __doc__)
