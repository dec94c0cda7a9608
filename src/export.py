"""A trained network as a file for this program or another.

python src/export.py run=DIR format=safetensors|onnx|state_dict out=FILE [checkpoint=best|last]
python src/export.py weights=FILE format=... out=FILE      from a file that src/import_weights.py wrote
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.arguments import choice, path, read_arguments
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.config_snapshot import configuration_of
from alexnet_lab.weights.file_kind import kind_of
from alexnet_lab.weights.whole_file import check_writable

KEYS = {"run": "", "weights": "", "format": None, "out": None, "checkpoint": ""}


def export() -> None:
    arguments = read_arguments(sys.argv[1:], KEYS)
    if bool(arguments["run"]) == bool(arguments["weights"]):
        raise UserError("run=DIR or weights=FILE: one of the two must be given")
    if arguments["weights"] and arguments["checkpoint"]:
        raise UserError("checkpoint=: a file of weights holds one network; drop it")
    choice("format", arguments["format"], ("safetensors", "onnx", "state_dict"))
    choice("checkpoint", arguments["checkpoint"] or "best", ("best", "last"))
    out = path(arguments["out"])
    check_writable(out)
    # Refuse what is neither a run folder nor a file of weights.
    if arguments["run"]:
        configuration_of(path(arguments["run"]))
    else:
        kind_of(path(arguments["weights"]))

    from alexnet_lab.weights.exporting import FORMATS  # here, because torch takes seconds to load
    from alexnet_lab.weights.importing import import_weights
    from alexnet_lab.weights.run_folder import load_run

    if arguments["run"]:
        trained = load_run(path(arguments["run"]), arguments["checkpoint"] or "best")
    else:
        trained = import_weights(path(arguments["weights"]))
    FORMATS[arguments["format"]](trained, out)
    print(f"{out}: {trained.model.name}, {trained.num_classes} classes")


if __name__ == "__main__":
    command_line.help_or_run(export, __doc__)
