"""A part of one's own that cannot do what it is for is one line, before a run begins."""

from __future__ import annotations

import pytest

from alexnet_lab.cli.own_parts import check_own_parts
from alexnet_lab.config.image_sources import OwnDataConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.own_data_set import OwnDataSet
from config.test_config import composed

MINE = "parts_of_ones_own"
NETWORK = f"model=own model.input_size=28 model.stored_size=32 model._target_={MINE}"
OPTIMIZER = "optim=own optim._target_=torch.optim"
DATA = f"data=own data._target_={MINE}"
SCHEDULE = "optim.schedule={_target_:torch.optim.lr_scheduler"
CALLBACKS = "lightning.pytorch.callbacks"
STOP = f"callbacks.stop._target_={CALLBACKS}.EarlyStopping"
V2 = "torchvision.transforms.v2"
LOSS = "loss._target_=torch.nn"

WRONG = {
    "model=own model._target_=SmallNetwork": "must name a class or function as package.module",
    "model=own model._target_=nowhere.Net": "there is no module nowhere; put its file into",
    f"{NETWORK}.SmalNetwork": f"{MINE} has no SmalNetwork; did you mean SmallNetwork?",
    f"{NETWORK}.MINE": f"{MINE} has no MINE",
    f"{NETWORK}.SmallNetwork model.dept=3": "SmallNetwork takes no such argument; did you mean model.depth?",
    f"{NETWORK}.SmallNetwork model.depth=x": "model: parts_of_ones_own.SmallNetwork: TypeError",
    f"{NETWORK}.Stripes": "takes no num_classes, which it is given; it takes split, images_per_class",
    f"{NETWORK}.FiveAnswers": "must give logits (2, 10), a number a class, and gives (2, 5)",
    f"{NETWORK}.Failing": "on a dry batch: ValueError: the stem is on fire (",
    f"{NETWORK}.SmallNetwork optim=original optim.epochs=10": "SmallNetwork has no layer conv1",
    "+model._target_=torchvision.models.resnet18": "cannot be put onto an option that is built in; say model=own",
    "+optim._target_=torch.optim.Adam": "say optim=own optim._target_=",
    f"{OPTIMIZER}.AdanW": "torch.optim has no AdanW; did you mean AdamW?",
    f"{OPTIMIZER}.AdamW optim.beta=[0.9,0.9]": "torch.optim.AdamW takes no such argument; did you mean optim.betas?",
    f"{OPTIMIZER}.AdamW optim.lr=0.1 optim.learning_rate=0.1": "optim.lr: is optim.learning_rate here",
    f"{OPTIMIZER}.AdamW optim.learning_rate=-1": "optim.learning_rate=-1",
    f"{OPTIMIZER}.LBFGS": "optim: torch.optim.LBFGS: ValueError: LBFGS doesn't support per-parameter options",
    SCHEDULE + ".StepLR}": "optim.schedule.step_size: torch.optim.lr_scheduler.StepLR needs it",
    SCHEDULE + ".StepLR,step_size:9,interval:day}": "optim.schedule.interval=day: must be one of step, epoch",
    SCHEDULE + ".ReduceLROnPlateau}": "ReduceLROnPlateau needs a validation after each epoch",
    "loss.label_smoothing=0.1": "says nothing without loss._target_=",
    LOSS + ".CrossEntropyLoss loss.label_smothing=0.1": "did you mean loss.label_smoothing?",
    LOSS + ".CrossEntropyLoss loss.reduction=none": "must give one number that depends on the logits",
    LOSS + ".NLLLoss loss.reduction=middle": "loss: torch.nn.NLLLoss of logits (2, classes)",
    LOSS + ".MultiMarginLoss data.mixup=0.2": "probabilities (2, classes)",
    f"{STOP} callbacks.stop.monitor=val_err": "monitor=val_err: is never logged",
    STOP: "callbacks.stop.monitor: lightning.pytorch.callbacks.EarlySto",
    f"callbacks.keep._target_={CALLBACKS}.ModelCheckpoint": "callbacks.keep: checkpoints are kept in any case",
    "callbacks.net._target_=torch.nn.ReLU": "gives ReLU, not a Callback of Lightning",
    "callbacks.stop.patience=3": "callbacks.stop: needs a _target_",
    "augmentation.a._target_=torch.nn.Softmax augmentation.a.dim=0": "augmentation.a: torch.nn.Softmax of an image",
    f"augmentation.a._target_={V2}.CenterCrop augmentation.a.size=8": "another, and makes torch.uint8 (3, 8, 8)",
    "logger=own logger._target_=lightning.pytorch.loggers.CSVLogger logger.dir=x": "CSVLogger takes no such argument",
    f"{DATA}.Stripes data.images_per_clas=3": "did you mean data.images_per_class?",
    f"{DATA}.Floats": "image 0 of train is float32 [32, 32]; give PIL images, or uint8 [H, W, 3]",
    f"{DATA}.SmallNetwork": "takes neither split nor train",
    f"{DATA}.Stripes data.images_per_class=0": "has no images in train",
    f"{DATA}.Stripes data.splits=[train]": "needs two words",
}


def check(*overrides: str) -> None:
    run = composed(*overrides)
    check_own_parts(run)
    if isinstance(run.data, OwnDataConfig):
        OwnDataSet(run.data).check()


@pytest.mark.parametrize("arguments", WRONG)
def test_what_cannot_work_is_one_line(arguments: str) -> None:
    with pytest.raises(UserError) as caught:
        check(*arguments.split())
    assert WRONG[arguments] in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_can_work_is_let_through() -> None:
    run = composed(*f"{NETWORK}.SmallNetwork model.depth=3".split())
    assert (run.model.name, run.model.arguments) == ("SmallNetwork", {"depth": 3})
    # 3 x 25 + 1 in conv1, twice 8 of its normalization, 9 x 8 + 1 in each of 3 hidden layers, 8 + 1 in the last.
    assert check_own_parts(run) == 8 * 76 + 16 + 3 * 8 * 73 + 10 * 9
    assert check_own_parts(composed(*f"{NETWORK}.AsksForNumbers".split())) == 8 * 76 + 16 + 8 * 73 + 10 * 9
    assert check_own_parts(composed(LOSS + ".MultiMarginLoss")) is None
