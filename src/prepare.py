"""Any collection of images as one packed store, which training reads at the speed of memory.

python src/prepare.py data=imagenet data.root=DIR     shorter side to 256 pixels, centre crop, RGB; goes on after a kill
python src/prepare.py data=folder data.root=DIR model=mini              for another model: another size
python src/prepare.py verify data=imagenet data.root=DIR                every byte of that store against its checksum,
                                                                        and whether the collection has changed since
python src/prepare.py verify                                            of every store in datasets/
python src/prepare.py verify-archives data=imagenet data.root=DIR       published archives against published checksums
"""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alexnet_lab.cli import command_line, own_parts, prepare
from alexnet_lab.config import checks, schema

schema.register()
command = sys.argv.pop(1) if sys.argv[1:] and sys.argv[1] in prepare.COMMANDS else "prepare"


@hydra.main(version_base="1.3", config_path="../conf", config_name="prepare")
def main(settings: DictConfig) -> None:
    with command_line.one_line_errors():
        job = HydraConfig.get()
        run = checks.typed_data(settings, job.runtime.choices)
        own_parts.add_folders(run, job)
        prepare.COMMANDS[command](run.data)


if __name__ == "__main__":
    command_line.run(main)
