"""Parts of one's own, before a run begins: where their modules are, and whether they can do what they are for.

A command line that names none imports nothing of this, nor torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alexnet_lab.config.architectures import OwnNetworkConfig
from alexnet_lab.config.checks import epochs_between_validations
from alexnet_lab.config.options import OWN, RunConfig, named_parts, plain
from alexnet_lab.config.own import OPEN, OwnPart
from alexnet_lab.config.parts import import_from
from alexnet_lab.core.paths import CONF

CLASSES_IF_UNKNOWN = 10

_parameters: dict[str, int] = {}  # of networks that were asked already: a sweep has many jobs with one


def add_folders(run: RunConfig, hydra: Any) -> None:
    """Where a run has parts of one's own: note the folders that their modules may be in, and let Python look there.

    They are those that the run names and those whose options were composed, --config-dir, hydra.searchpath and
    conf/local, so that jobs, ranks and src/evaluate.py find the same. hydra: the `hydra` node of the configuration.
    """
    if not any(named_parts(run)):
        return
    composed = [
        source.path
        for source in hydra.runtime.config_sources
        if source.schema == "file" and source.path and Path(source.path) != CONF
    ]
    folders = [str(Path(folder).expanduser().resolve()) for folder in (*run.import_from, *composed)]
    run.import_from = list(dict.fromkeys(folders))
    import_from(run.import_from)


def check_own_parts(run: RunConfig) -> int | None:
    """The parameters of a network of one's own, None for a built-in one. Raises UserError, in one line, for a part that
    cannot be imported or made, or does not do what its kind has to: a dry batch is given to the network, the loss and
    the transforms, an empty layer to the optimizer and its schedule.
    """
    if not any(named_parts(run)):
        return None
    said = json.dumps({key: plain(run)[key] for key in (*OWN, *OPEN, "trainer")}, sort_keys=True, default=str)
    if said not in _parameters:
        _parameters[said] = _check(run)
    return _parameters[said] if isinstance(run.model, OwnPart) else None


def _check(run: RunConfig) -> int:
    from alexnet_lab.data.own_transforms import check_transforms  # here, because torch takes seconds to load
    from alexnet_lab.tracking.make_tracker import check_own_logger
    from alexnet_lab.training.own_callbacks import make_callbacks
    from alexnet_lab.training.own_loss import check_loss
    from alexnet_lab.training.recipe import check_recipe
    from alexnet_lab.weights.make_network import check_own_network

    classes = getattr(run.data, "num_classes", CLASSES_IF_UNKNOWN)
    parameters = check_own_network(run.model, classes) if isinstance(run.model, OwnNetworkConfig) else 0
    epochs_between = epochs_between_validations(run.trainer.max_epochs, run.optim.validations)
    check_recipe(run.optim, epochs_between)
    check_loss(run, classes)
    check_transforms(run)
    make_callbacks(run.callbacks, epochs_between)
    check_own_logger(run.logger)
    return parameters
