"""Another program's AlexNet as a file of weights for this one.

python src/import_weights.py file=alexnet-owt-7be5be79.pth out=alexnet_torchvision.safetensors
python src/import_weights.py file=bvlc_alexnet.caffemodel out=alexnet_caffe.safetensors
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.arguments import path, read_arguments
from alexnet_lab.weights.file_kind import kind_of
from alexnet_lab.weights.whole_file import check_writable


def convert() -> None:
    arguments = read_arguments(sys.argv[1:], {"file": None, "out": None})
    file, out = path(arguments["file"]), path(arguments["out"])
    check_writable(out)
    kind_of(file)  # refuses what is no file of weights

    from alexnet_lab.weights import safetensors_file  # here, because torch takes seconds to load
    from alexnet_lab.weights.importing import import_weights

    trained = import_weights(file)
    safetensors_file.save(trained, out)
    print(f"{out}: {trained.model.name}, {trained.num_classes} classes")


if __name__ == "__main__":
    command_line.help_or_run(convert, __doc__)
