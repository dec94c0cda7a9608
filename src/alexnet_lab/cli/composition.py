"""What a run's configuration was composed from, besides its overrides: said again to whoever is to compose the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from alexnet_lab.core.hydra_compat import parsed
from alexnet_lab.core.paths import CONF

CONFIG_NAME = "train"
# Overrides of Hydra's own that tell a sweep how to run its jobs, or a run where its folder is.
NOT_HANDED_ON = ("hydra.sweep", "hydra.sweeper", "hydra.launcher", "hydra.run", "hydra.mode")


def composition(hydra: Any) -> list[str]:
    """The beginning of a command line that composes the same: options first, then overrides of Hydra's own.

    hydra: the `hydra` node of a composed configuration. Empty where a plain command line gives the same.
    """
    sources = {source.provider: source for source in hydra.runtime.config_sources}
    options = []
    main = sources["main"]
    if main.schema != "file" or Path(main.path) != CONF:
        options += ["--config-path", main.path if main.schema == "file" else f"{main.schema}://{main.path}"]
    if "command-line" in sources:
        options += ["--config-dir", sources["command-line"].path]
    if hydra.job.config_name != CONFIG_NAME:
        options += ["--config-name", hydra.job.config_name]
    return options + [text for text in overrides_of_hydra(hydra) if not _is_the_sweeps(text)]


def overrides_of_hydra(hydra: Any) -> list[str]:
    """What a command line changes of Hydra's own, as it was written: ${hydra.job.num} is known in jobs alone."""
    texts: Any = OmegaConf.to_container(hydra.overrides.hydra, resolve=False)
    return texts


def _is_the_sweeps(text: str) -> bool:
    key = parsed([text])[0].key_or_group.replace("/", ".")
    return any(key == name or key.startswith(f"{name}.") for name in NOT_HANDED_ON)
