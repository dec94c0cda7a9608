"""The page of src/report.py while a sweep is under way: on this machine alone, brought up to date as runs go on.

python src/watch.py                     http://127.0.0.1:8012/ over runs/mini/, which the claims share
python src/watch.py sweep=NAME          over another sweep's folder
python src/watch.py port=9000           port=0 takes any that is free

Changes nothing. Ctrl-C ends it.
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.page_request import read_watch_request


def watch() -> None:
    request = read_watch_request(sys.argv[1:])

    from alexnet_lab.reports.page_server import serve  # here, because it takes a while to load

    for address in serve(request.sweep, request.port):
        print(f"{address} shows {request.sweep}; Ctrl-C ends it", flush=True)


if __name__ == "__main__":
    command_line.help_or_run(watch, __doc__)
