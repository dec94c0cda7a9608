"""Any sweep, or two: what was swept against the errors over the seeds, the best run, learning curves, the difference.

python src/compare.py runs/A                a table of every setting that differs in the sweep; the best row and run
python src/compare.py runs/A runs/B         both, and A minus B where their swept settings agree, paired by seed
python src/compare.py runs/A out=DIR        where the files go; else the first sweep's folder

Writes comparison.md, .csv and .json and learning_curves.svg and .png (of two sweeps comparison-with-B.md and so on).
Reads finished runs alone and trains nothing; what it leaves out it names.
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.comparison_request import read_comparison_request
from alexnet_lab.core.files import check_folder_writable, make_folder
from alexnet_lab.reports.comparison import compare_sweeps
from alexnet_lab.reports.comparison_table import print_comparison, write_comparison
from alexnet_lab.reports.heading import about, cost
from alexnet_lab.reports.learning_curves import read_curves, write_learning_curves
from alexnet_lab.runs.sweep_results import read_sweep


def compare() -> None:
    request = read_comparison_request(sys.argv[1:])
    found = compare_sweeps([read_sweep(folder) for folder in request.sweeps])
    curves = read_curves(found)
    found.notes.extend(curves.notes)
    check_folder_writable(request.out)
    make_folder(request.out)
    runs = about(found.results())
    write_comparison(request.out, request.name, found, runs)
    write_learning_curves(request.out, request.curves, curves)
    print_comparison(found, [*runs, cost(found.results())])
    files = [f"{request.name}.md", ".csv", ".json", f"{request.curves}.svg and .png"]
    print(f"also in {request.out}: {', '.join(files)}")


if __name__ == "__main__":
    command_line.help_or_run(compare, __doc__)
