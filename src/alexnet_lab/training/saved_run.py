"""What a checkpoint file holds of its run, without the folder that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from alexnet_lab.config.options import RunConfig, named_parts
from alexnet_lab.config.parts import refuse_strangers
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.config_snapshot import migrated, run_of
from alexnet_lab.weights.run_folder import PREFIX
from alexnet_lab.weights.trained_network import assemble


@dataclass(frozen=True)
class SavedRun:
    """pixel_mean: float32 (S, S, 3) on 0..255, of the images that the network was trained on."""

    run: RunConfig
    network: nn.Module
    pixel_mean: Tensor


def read_saved_run(file: Path, trust: bool) -> SavedRun:
    """The configuration and the network of a checkpoint. trust: whether parts that are not built in may be made.

    Raises UserError for a file that is damaged, is of another program, or of a version that kept no mean image.
    """
    content = checkpoint_file.read(file)
    settings = migrated(content["configuration"], content["version"], file)
    refuse_strangers(settings, ("model", "data", "optim", "loss"), file, trust)
    run = run_of(settings, file)
    for key, target in named_parts(run):
        if not trust and not key.startswith("callbacks."):  # which nobody makes here
            raise UserError(
                f"{file}: {key} is {target}, which is not built in and would run; if you trust it, trust=True"
            )
    images = checkpoint_file.kept_images(content, file)
    if images is None:
        raise UserError(f"{file}: a version wrote it that kept no mean image; use alexnet_lab.load(RUN)")
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in content["state_dict"].items()}
    network = assemble(run.model, images["classes"], tensors, file, {name: PREFIX + name for name in tensors})
    return SavedRun(run, network, images["pixel_mean"])
