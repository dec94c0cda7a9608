"""One training run, or with -m a sweep of them.

python src/train.py                                   one run on the embedded data
python src/train.py -m model.lrn=true,false           a sweep
python src/train.py data=imagenet data.root=DIR model=alexnet trainer=ddp
python src/train.py --cfg job                         every option with its value
"""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alexnet_lab.cli import command_line, preflight
from alexnet_lab.cli.composition import composition
from alexnet_lab.config import schema
from alexnet_lab.core import signals
from alexnet_lab.runs import paths

schema.register()
paths.register_resolver()


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(settings: DictConfig) -> None:
    with command_line.one_line_errors():
        job = HydraConfig.get()
        run = preflight.checked_run(settings, job)

        from alexnet_lab.training.run import train  # here, because torch takes seconds to load

        train(run, Path(job.runtime.output_dir), [*composition(job), *job.overrides.task])


if __name__ == "__main__":
    signals.leave_when_asked()
    command_line.run(main)
