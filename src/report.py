"""The page: every claim with its verdict, intervals, learning curves and runs, in one file that needs no network.

python src/report.py                    of the claims that were run on this machine: reports/index.html
python src/report.py sweep=NAME         of another sweep's folder in runs/: reports/NAME/index.html

Reads run folders and what src/reproduce.py wrote, trains nothing, and writes the same bytes for the same runs.
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.page_request import read_report_request
from alexnet_lab.core.files import check_folder_writable
from alexnet_lab.runs.paths import reports_folder


def report() -> None:
    sweep = read_report_request(sys.argv[1:])
    check_folder_writable(reports_folder(sweep.name))

    from alexnet_lab.reports.page import write_page  # here, because it takes a while to load

    page = write_page(sweep)
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB; open it in a browser")


if __name__ == "__main__":
    command_line.help_or_run(report, __doc__)
