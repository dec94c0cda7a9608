"""What a person types wrongly ends in one line, before anything is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SOURCE, one_thread

WRONG = {
    "model.lnr=true": "did you mean model.lrn?",
    "modle.lrn=true": "did you mean model.lrn?",
    "model=alexnt": "did you mean alexnet?",
    "trainer=dpp": "did you mean ddp?",
    "model.towers=3": "model.towers=3: must be one of 1, 2",
    "model.lrn=perhaps": "model.lrn",
    "model.lrn=2": "model.lrn=2: must be true or false",
    "model.lrn_layers=[[1]]": "must be a list of single values",
    "logger.project=": "must not be empty",
    "model.units=[1000000,1000000] model.width=8": "parameters take",
    "trainer=ddp trainer.num_nodes=2": "set MASTER_ADDR",
    "trainer=ddp trainer.accelerator=cpu trainer.devices=512 optim.batch_size=512": "cores",
    "data.num_classes=9000 data.train_images_per_class=900000": "MB are needed for the images",
    "hydra.run.dir=/proc/nothing": "/proc",
    "hydra.run.dir=": "must name a folder",
    "trainer.precision=64-true": "must be one of 32-true, 16-mixed, bf16-mixed",
    "~model": "is not available here",
    "~logger": "logger=none does without",
    "ckpt_path=last.ckpt": "hydra.run.dir=FOLDER",
    "optim.lr=0.1": "did you mean optim.learning_rate?",
    "optimizer.lr=0.1": "did you mean optim.learning_rate?",
    "lr=0.1": "did you mean optim.learning_rate?",
    "experiment=ablations": "python src/reproduce.py experiment=NAME",
    "callbacks=nothing": "no such option; choose from default, early_stopping, learning_rate_monitor, none",
    "optim._target_=torch.optim.AdamW": "say optim=own optim._target_=... and its arguments",
    "optim=own": "optim: needs optim._target_=package.module.Class, and its arguments",
    "callback=none": "did you mean callbacks?",
    "test=true": "python src/evaluate.py run=FOLDER",
    "-m seed=0 hydra.launcher.job=2": "did you mean hydra.launcher.jobs?",
    "seed=1 -m sweep=a": "options come first, as in python src/train.py -m",
    "seed=1 --cfg job sweep=a": "options come first",
    "-m --cfg job": "Only one of --run, --multirun, --cfg",
    "--resolve": "--resolve flag",
    "model.name=${oc.env:HOME}": "model.name",
    "model.name=resnet50 optim.name=adamw": "model.name: comes with the preset and is no option; choose model=NAME",
    "++optim.name=adamw": "optim.name: comes with the preset and is no option; choose optim=NAME",
    "+model={architecture:resnet18}": "model.architecture: comes with the preset and is no option",
    "-m model.name=a,b": "model.name: comes with the preset",
    "hydra.callbacks.preflight=null": "is not available here",
    "-m seed=range(0,1000000000)": "a sweep has from 1 to 10000",
    "--resume": "options of a run are given as KEY=VALUE",
    "logger=[]": "names no tracker",
    "-m model=[mini,alexnet] seed=0": "model: takes one option",
    "hydra.job.chdir=true": "from where the program is started",
    "hydra.sweep.dir=out": "is for sweeps",
    "-m seed=0 hydra.run.dir=out": "is for single runs",
    "hydra.launcher.jobs=2": "is for sweeps; add -m",
    "-m seed=0 hydra.launcher._target_=os.system": "hydra.launcher: must be the class of hydra/launcher=local",
    "-m seed=0 hydra.launcher=null": "hydra.launcher: must be the class of hydra/launcher=local",
    "-m seed=0 hydra.sweeper._target_=os.system": "hydra.sweeper: only this project's own",
    "model.activation=sigmoid": "must be one of relu, tanh",
    "trainer.max_epochs=-1": "trainer.max_epochs=-1: must be from 1 to 100000 epochs",
    "trainer.max_epochs=soon": "trainer.max_epochs",
    "optim.learning_rate=nan": "optim.learning_rate=nan",
    "optim.learning_rate=inf": "optim.learning_rate=inf",
    "model.dropout=1.5": "model.dropout=1.5: must be from 0.0 to 0.95",
    "data=imagenet data.root=/nowhere": "data.root=/nowhere: no such folder",
    "data=imagenet": "needs data.root=DIR",
    "data.root=/tmp": "data.root: no such key here; it comes with cifar10, fashion_mnist",
    "model.width=0.05": "cannot share",
    "model.input_size=4": "is smaller than conv1's 5 x 5 kernels",
    "model.input_size=12": "maps for pool",
    "model.input_size=100": "larger than the stored images",
    "data.num_classes=1": "data.num_classes=1: must be from 2 to",
    "data=digits data.num_classes=7": "data.num_classes: no such key here; it comes with fractals",
    "data.source=elephants": "data.source=elephants: must be one of fractals, digits",
    "model.half_kernels=true": "add model.towers=1",
    "model.towers=1 model.communicating=false": "needs model.towers=2",
    "model.without=conv1": "must be one of none, conv2",
    "model.lrn_layers=[1,1]": "names a layer twice",
    "model.lrn_layers=[6]": "model.lrn_layers=6: must be from 1 to 5",
    "model.kernels=[96,256]": "model.kernels: needs 5 numbers, conv1 to conv5; got 2",
    "model.kernels=[95,256,384,384,256] model.width=1": "gives conv1 95 kernels, which 2 towers cannot share",
    "model.stem_padding=floor": "must be ceiling, none, or pixels from 0 to 4",
    "model.stem_padding=5": "must be ceiling, none, or pixels from 0 to 4",
    "model=resnet18 model.lrn=false": "model.lrn: no such key here; it comes with alexnet, cifar10_net",
    "model=resnet18 +model.lrn=false": "model.lrn: no such key here; it comes with alexnet, cifar10_net",
    "model=vgg11 model.towers=1": "model.towers: no such key here; it comes with alexnet",
    "model=vgg11 model.drpout=0": "did you mean model.dropout?",
    "model=vgg11 model.input_size=16": "model.input_size=16: must be from 32 to 4096 pixels",
    "model=lenet5 model.input_size=8": "model.input_size=8: must be from 12 to 4096 pixels",
    "model=vgg11 optim=original": "vgg11 has no layer conv1; add optim.freeze_conv1_at=1",
    "optim.conv1_milestones=[0.9,0.2]": "must be in rising order",
    "optim.milestones=[0.9,0.2]": "must be in rising order",
    "optim.color_noise_until=2": "must be from 0.0 to 1.0",
    "trainer.devices=2": "need trainer=ddp",
    "trainer=ddp trainer.devices=3": "cannot be shared equally by 3 devices",
    "trainer=ddp trainer.accelerator=gpu trainer.devices=32": "GPUs",
    "optim.batch_size=100000": "larger than the training set",
    "sweep=../elsewhere": "plain folder name",
    "-m model.lrn=true,false model.towers=1,3": "model.towers=3",
    "-m model.lrn=true,true": "same name",
    "-m model.lrn=true,false hydra.launcher.jobs=0": "hydra.launcher.jobs=0",
    "sweep=ensembles": "choose another",
    "-m sweep=single seed=0": "choose another",
    "-m sweep=a,b": "names one sweep",
    "-m hydra.sweeper.experiment=ablation": "choose from ablations",
    "model.lrn": "cannot be read",
    "model.lrn=[true": "cannot be read",
    "+model.lrm=true": "did you mean model.lrn?",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments: str, program, tmp_path: Path) -> None:
    answer: subprocess.CompletedProcess[str] = program("train.py", *arguments.split())

    assert answer.returncode == 2
    lines = answer.stderr.strip().splitlines()
    assert len(lines) == 1, answer.stderr
    assert lines[0].startswith("error: ")
    assert WRONG[arguments] in lines[0]
    assert answer.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_preset_of_ones_own_is_called_as_its_file_is(program, tmp_path: Path) -> None:
    (tmp_path / "my" / "model").mkdir(parents=True)
    preset = "defaults: [schema, _self_]\nname: resnet50\narchitecture: lenet5\ninput_size: 32\nstored_size: 32\n"
    (tmp_path / "my" / "model" / "mine.yaml").write_text(preset)
    answer = program("train.py", "--config-dir", "my", "model=mine")
    assert answer.returncode == 2
    assert "model.name=resnet50: the preset is called mine; name it so in its file" in answer.stderr


def test_a_folder_that_may_not_be_written_is_named(program, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder belongs")

    answer = program("train.py")

    assert answer.returncode == 2
    assert answer.stderr.startswith(f"error: {tmp_path / 'runs'}: may not be written")


def test_the_request_of_reproduce_is_checked(program, tmp_path: Path) -> None:
    for arguments, said in {
        "seeds=0": "seeds=0: must be a whole number",
        "jobs=two": "jobs=two: must be a whole number",
        "experiment=nothing": "no such experiment",
        "seed=3": "seeds=N",
        "++seed=3": "seeds=N",
        "model.dropout=0,0.5": "one value for all of its runs",
        "sweep='x'": "plain folder name",
        "loud": "cannot be read",
        "model.lnr=true": "did you mean model.lrn?",
        "trainer.fast_dev_run=true": "a table is made of whole runs",
        "trainer.max_steps=9": "a table is made of whole runs",
        "hydra.launcher.jobs=0": "must be at least 1",
    }.items():
        answer = program("reproduce.py", *arguments.split())
        assert answer.returncode == 2
        assert said in answer.stderr
        assert len(answer.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_threads_that_wait_sleep_unless_the_environment_says_otherwise() -> None:
    """PyTorch's spin by themselves, and beside other programs that makes a step many times slower."""
    script = "from alexnet_lab.cli import command_line; command_line.run(lambda: __import__('torch'))"
    shown = {}
    for policy in ({}, {"OMP_WAIT_POLICY": "active"}):
        environment = {**one_thread(), "PYTHONPATH": str(SOURCE), "OMP_DISPLAY_ENV": "true", **policy}
        answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        [shown[bool(policy)]] = {
            line.split("=")[1].strip() for line in answer.stderr.splitlines() if "WAIT_POL" in line
        }
    assert shown == {False: "'PASSIVE'", True: "'ACTIVE'"}


def test_where_the_locale_is_not_utf8_the_program_is(tmp_path: Path) -> None:
    """Its words come from the command line as they are written, and can be written down."""
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
    command = [sys.executable, str(SOURCE / "train.py"), "--cfg", "job", "data.store_root='grün'"]
    answer = subprocess.run(command, cwd=tmp_path, env=one_thread() | ascii_only, capture_output=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert "store_root: grün" in answer.stdout.decode()


def test_too_little_memory_to_begin_is_one_line(tmp_path: Path) -> None:
    command = ["bash", "-c", 'ulimit -v 1000000; exec "$@"', "bash", sys.executable, str(SOURCE / "train.py")]
    answer = subprocess.run(
        [*command, "logger=none"], cwd=tmp_path, env=one_thread(), capture_output=True, text=True, check=False
    )
    said = "error: there is too little memory: 1,024 MB are allowed here; raise the limit (ulimit -v)\n"
    assert (answer.returncode, answer.stderr) == (2, said)
