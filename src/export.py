"""A trained network as a file for this program or another.

python src/export.py run=DIR format=safetensors|onnx|state_dict out=FILE [checkpoint=best|last]
python src/export.py weights=FILE format=... out=FILE      from a file that src/import_weights.py wrote

trust=true      let a network run that is not built in, as the run's folder or the file names it (SECURITY.md)
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.arguments import choice, flag, path, read_arguments
from alexnet_lab.config.parts import refuse_strangers
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.config_snapshot import CONFIG_FILE, configuration_of
from alexnet_lab.weights.file_kind import kind_of
from alexnet_lab.weights.whole_file import check_writable

KEYS = {"run": "", "weights": "", "format": None, "out": None, "checkpoint": "", "trust": "false"}


def export() -> None:
    asked = read_arguments(sys.argv[1:], KEYS)
    if bool(asked["run"]) == bool(asked["weights"]):
        raise UserError("run=DIR or weights=FILE: one of the two must be given")
    if asked["weights"] and asked["checkpoint"]:
        raise UserError("checkpoint=: a file of weights holds one network; drop it")
    choice("format", asked["format"], ("safetensors", "onnx", "state_dict"))
    choice("checkpoint", asked["checkpoint"] or "best", ("best", "last"))
    out, trust = path(asked["out"]), flag("trust", asked["trust"])
    check_writable(out)
    # Refuse what is neither a run folder nor a file of weights.
    if asked["run"]:
        run = path(asked["run"])
        refuse_strangers(configuration_of(run), ("model",), run / CONFIG_FILE, trust)
    else:
        kind_of(path(asked["weights"]))

    from alexnet_lab.weights.exporting import FORMATS  # here, because torch takes seconds to load
    from alexnet_lab.weights.importing import import_weights
    from alexnet_lab.weights.run_folder import load_run

    if asked["run"]:
        trained = load_run(run, asked["checkpoint"] or "best", trust)
    else:
        trained = import_weights(path(asked["weights"]), trust)
    FORMATS[asked["format"]](trained, out)
    print(f"{out}: {trained.model.name}, {trained.num_classes} classes")


if __name__ == "__main__":
    command_line.help_or_run(export, __doc__)
