"""Every option of a training run: its type, default, unit and range, declared once.

Those of the networks are in `architectures`, those of the data in `image_sources`. Hydra fills these classes from
`conf/` and the command line; `checks` then refuses what cannot work. None of them loads torch, Lightning or OmegaConf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alexnet_lab.config.architectures import ARCHITECTURES, AlexNetConfig, ModelConfig, OwnNetworkConfig
from alexnet_lab.config.image_sources import SOURCES, DataConfig, FractalsConfig, OwnDataConfig
from alexnet_lab.config.option import option
from alexnet_lab.config.own import TARGET, OwnPart, flat, folded, is_own
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.parallel import visible_gpus

ONE_PROGRAM_A_RANK = "is not available: each rank is a program of its own here, so that a run can be continued; use ddp"
FITS = "is not available: every network here fits on one device; use ddp, which gives the same numbers"
NO_STRATEGY = {
    **dict.fromkeys(("ddp_spawn", "ddp_fork", "ddp_notebook", "dp"), ONE_PROGRAM_A_RANK),
    **dict.fromkeys(("fsdp", "fsdp_cpu_offload", "deepspeed", "deepspeed_stage_2", "deepspeed_stage_3"), FITS),
    "model_parallel": "is not available: trainer=towers puts the towers of a network on devices of their own",
}


@dataclass
class RecipeConfig:
    """What every recipe has, whatever its optimizer."""

    name: str = option("mini", "the preset's name, for tables and logs; optim=NAME chooses it, it cannot be set")
    batch_size: int = option(
        128, "training images a step, over all devices", unit="images", minimum=1, maximum=1_000_000
    )
    learning_rate_rule: str = option(
        "none",
        "what learning_rate does where a step has more images than reference_batch_size, or fewer: stays (none), grows "
        "as they do (linear) or as their square root (sqrt)",
        choices=("none", "linear", "sqrt"),
    )
    reference_batch_size: int = option(
        128, "training images a step that learning_rate is meant for", unit="images", minimum=1, maximum=1_000_000
    )
    epochs: int = option(90, "passes over the training set", unit="epochs", minimum=1, maximum=100_000)
    validations: int | None = option(
        None,
        "how often a run is validated, about, at equal distances and after its last epoch; null: after each epoch",
        minimum=1,
        maximum=100_000,
    )
    schedule: Any = option(
        "milestones",
        "divide the learning rate at fixed milestones (milestones) or when validation error stops improving (plateau), "
        "let it fall to 0 in a line (linear) or along half a cosine (cosine), or leave it (constant); "
        "or one of one's own (docs/extending.md)",
        choices=("milestones", "plateau", "linear", "cosine", "constant"),
    )
    warmup: float = option(
        0.0, "part of the run in which the learning rate rises from 0 in a line", minimum=0.0, maximum=0.9
    )
    milestones: list[float] = option(
        [], "where the learning rate is divided, as fractions of the run", minimum=0.0, maximum=1.0
    )
    plateau_patience: int = option(
        3,
        "epochs without a better validation error that pass before the next one divides; 3: the fourth divides",
        unit="epochs",
        minimum=0,
        maximum=100_000,
    )
    divisor: float = option(10.0, "what the learning rate is divided by", minimum=1.0, maximum=1e6)
    divisions: int = option(3, "how often a plateau may divide it", minimum=0, maximum=100)
    color_noise_until: float = option(
        1.0, "where data.color_noise ends, as a fraction of the run, to the next epoch", minimum=0.0, maximum=1.0
    )
    earlier_layers_rate_factor: float = option(
        1.0,
        "the learning rate of all layers but the last over the last's; below 1 where init_from gives them",
        minimum=0.0,
        maximum=1000.0,
    )


@dataclass
class OptimizationConfig(RecipeConfig):
    """The recipe (section 5): v = 0.9 v - lr (gradient + decay w); w += v."""

    learning_rate: float = option(0.01, "of the weights", minimum=0.0, maximum=100.0)
    bias_learning_rate_factor: float = option(
        2.0, "the biases' learning rate over the weights'", minimum=0.0, maximum=1000.0
    )
    momentum: float = option(0.9, "of the velocity", minimum=0.0, maximum=0.9999)
    weight_decay: float = option(5e-4, "on weights, not on biases", minimum=0.0, maximum=1.0)
    decoupled_weight_decay: bool = option(
        False, "decay acts on the weights themselves, w -= rate x decay x w, and does not enter the velocity"
    )
    divide_bias_rate: bool = option(
        True, "the biases' rate is divided too (false: it stays, as in the original's runs)"
    )
    conv1_milestones: list[float] = option(
        [], "where conv1's rate alone is divided once more, as fractions of the run", minimum=0.0, maximum=1.0
    )
    freeze_conv1_at: float = option(
        1.0, "where conv1's rate becomes 0, as a fraction of the run; 1: nowhere", minimum=0.0, maximum=1.0
    )


@dataclass
class OwnOptimizerConfig(OwnPart, RecipeConfig):
    """A recipe with another optimizer: a class of torch.optim, or one like those."""

    name: str = option("", "the option's name, for tables and logs")
    learning_rate: float | None = option(
        None, "of the weights; null: the optimizer's default", minimum=0.0, maximum=1e6
    )
    bias_learning_rate_factor: float = option(
        1.0, "the biases' learning rate over the weights'", minimum=0.0, maximum=1000.0
    )
    weight_decay: float | None = option(
        None, "on weights, not on biases; null: the optimizer's default", minimum=0.0, maximum=1e6
    )


@dataclass
class TrainerConfig:
    """Where and how long a run computes."""

    accelerator: str = option("auto", "kind of device", choices=("auto", "cpu", "gpu"), aliases={"cuda": "gpu"})
    devices: Any = option(
        1,
        "devices of one machine that share a run; auto and -1: the GPUs of this one (auto without a GPU: 1)",
        minimum=1,
        maximum=1024,
    )
    num_nodes: int = option(1, "machines that share a run", minimum=1, maximum=4096)
    strategy: str = option(
        "auto",
        "how devices share the work: each has a share of the batch (ddp), or each of two has a tower of the network "
        "and each pair a share of the batch (towers); auto: one device",
        choices=("auto", "ddp", "ddp_find_unused_parameters_true", "towers"),
        aliases={"ddp_find_unused_parameters_false": "ddp", "single_device": "auto"},
        instead=NO_STRATEGY,
    )
    precision: str = option(
        "32-true",
        "arithmetic of training; validation is in float32",
        choices=("32-true", "16-mixed", "bf16-mixed"),
        aliases={"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"},
    )
    max_epochs: int = option(1, "passes over the training set", unit="epochs", minimum=1, maximum=100_000)
    max_steps: int | None = option(
        None,
        "where a run ends before max_epochs, with its schedule and a validation; null and -1: nowhere",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        aliases={-1: None},
    )
    min_epochs: int | None = option(
        None, "before which nothing stops a run early", unit="epochs", minimum=1, maximum=100_000
    )
    min_steps: int | None = option(
        None, "before which nothing stops a run early", unit="steps", minimum=1, maximum=1_000_000_000
    )
    fast_dev_run: bool | int = option(
        False, "one epoch of so many batches (true: 1), to see whether everything runs", minimum=0, maximum=1_000_000
    )
    limit_train_batches: int | float | None = option(
        None,
        "train on so many batches of each epoch (whole number) or on this part of them, one at least (below 1); null "
        "and 1.0: on all",
        minimum=0.0,
        maximum=1_000_000_000,
    )
    limit_val_batches: int | float | None = option(
        None, "the same for validation, batches of 256 images", minimum=0.0, maximum=1_000_000_000
    )
    overfit_batches: int | float = option(
        0,
        "train on the same so many batches in each epoch, or on this part of them, and validate on as many; 0: on all",
        minimum=0.0,
        maximum=1_000_000_000,
    )
    check_val_every_n_epoch: int | None = option(
        None, "distance between two validations; null: as optim.validations says", unit="epochs", minimum=1
    )
    num_sanity_val_steps: int = option(
        0, "validation batches before training, whose errors count nowhere; -1: all", minimum=-1, maximum=1_000_000
    )
    accumulate_grad_batches: int = option(
        1,
        "batches a step, over which the gradient is averaged; the last step of an epoch may have fewer",
        unit="batches",
        minimum=1,
        maximum=1_000_000,
    )
    gradient_clip_val: float | None = option(
        None, "the largest gradient that a step takes; null and 0: any", minimum=0.0, maximum=1e9, aliases={0.0: None}
    )
    gradient_clip_algorithm: str = option(
        "norm", "by the norm of the whole gradient, or each of its values", choices=("norm", "value")
    )
    deterministic: bool | str = option(
        False,
        "only algorithms that give the same bits each time; warn: say where there is none",
        choices=(False, True, "warn"),
    )
    benchmark: bool | None = option(
        None, "let cuDNN measure which of its algorithms is fastest, so that bits may differ; null: as PyTorch does"
    )
    sync_batchnorm: bool = option(False, "batch normalization over the images of all devices (GPUs)")
    detect_anomaly: bool = option(False, "find the operation whose gradient is not a number; slow")
    profiler: str | None = option(
        None,
        "what takes the time: a table by Lightning's hooks (simple), by Python functions (advanced), or by PyTorch's "
        "operations, with traces (pytorch), in the run folder's profiler/",
        choices=(None, "simple", "advanced", "pytorch"),
        instead={"xla": "is for TPUs", "passthrough": "is no profiler; say null"},
    )
    inference_mode: bool = option(True, "validate in PyTorch's inference mode; false: without gradients alone")
    log_every_n_steps: int = option(
        10,
        "steps between two rows of metrics.csv (each of the first 50 has one)",
        unit="steps",
        minimum=1,
        maximum=1_000_000,
    )
    collective_timeout: int = option(
        600, "how long ranks wait for each other", unit="seconds", minimum=1, maximum=604_800
    )
    checkpoint_minutes: float = option(
        10.0,
        "time between two checkpoints; each validation is followed by one in any case",
        unit="minutes",
        minimum=0.01,
        maximum=1e5,
    )
    checkpoint_steps: int = option(
        0, "steps between two checkpoints besides; 0: none", unit="steps", minimum=0, maximum=1_000_000
    )
    stuck_after: int | None = option(
        None,
        "how long a loss may stay where guessing would be before a warning says so; null: 400 and 4 for each class",
        unit="steps",
        minimum=2,
        maximum=1_000_000_000,
    )
    progress_bar: bool = option(True, "show a progress bar where there is a terminal")
    enable_progress_bar: bool = option(True, "Lightning's name for it: shown where both are true")

    def settle(self) -> None:
        """Bring values to the form in which they are kept and compared; those that cannot be meant stay."""
        if isinstance(self.limit_train_batches, float) and self.limit_train_batches == 1.0:
            self.limit_train_batches = None  # 1 is one batch, and 1.0 all of them
        if isinstance(self.limit_val_batches, float) and self.limit_val_batches == 1.0:
            self.limit_val_batches = None
        if not self.overfit_batches:
            self.overfit_batches = 0
        if isinstance(self.devices, str) and self.devices.isascii() and self.devices.isdigit():
            self.devices = int(self.devices)
        if self.devices in ("auto", -1, "-1") and not isinstance(self.devices, bool):
            gpus = 0 if self.accelerator == "cpu" else len(visible_gpus())
            self.devices = gpus or (1 if self.devices == "auto" else "-1")
        self.fast_dev_run = int(self.fast_dev_run)
        if self.fast_dev_run > 0:
            self.limit_train_batches = self.limit_val_batches = self.fast_dev_run
            self.max_epochs, self.max_steps, self.overfit_batches, self.check_val_every_n_epoch = 1, None, 0, None

    @property
    def shares(self) -> int:
        """Into how many shares each batch is divided; two devices with a tower each have the same share."""
        return self.devices * self.num_nodes // (2 if self.strategy == "towers" else 1)

    def check_devices(self) -> None:
        """Raise UserError where devices is no number of them."""
        if self.devices == "-1":
            raise UserError("trainer.devices=-1: this machine has no GPU; say how many CPU processes")
        if not isinstance(self.devices, int) or isinstance(self.devices, bool):
            listed = self.devices.split(",") if isinstance(self.devices, str) else self.devices
            if isinstance(listed, list) and listed and all(str(number).strip().isdigit() for number in listed):
                which = ",".join(str(number).strip() for number in listed)
                raise UserError(
                    f"trainer.devices=[{which}]: is how many here, trainer.devices={len(listed)}; which GPUs says "
                    f"CUDA_VISIBLE_DEVICES={which} before the command"
                )
            raise UserError(f"trainer.devices={self.devices!s:.80}: must be a whole number, auto or -1")

    def check(self) -> None:
        """Raise UserError for values that cannot be meant, alone or together."""
        for key in ("limit_train_batches", "limit_val_batches", "overfit_batches"):
            value = getattr(self, key)
            if isinstance(value, float) and not 0 < value <= 1:
                raise UserError(f"trainer.{key}={value}: must be a whole number of batches, or a part below 1.0")
        if self.limit_train_batches == 0:
            raise UserError("trainer.limit_train_batches=0: leaves nothing to train on; 1 is the least")
        if self.limit_val_batches == 0:
            raise UserError(
                "trainer.limit_val_batches=0: a run without validation has no error to tell of; 1 is the least, and "
                "optim.validations=1 validates at the end alone"
            )
        if self.overfit_batches and (self.limit_train_batches or self.limit_val_batches):
            raise UserError("trainer.overfit_batches: limits training and validation by itself; drop the other limit")
        if self.check_val_every_n_epoch and self.max_epochs % self.check_val_every_n_epoch:
            nearest = max(
                n for n in range(1, min(self.check_val_every_n_epoch, self.max_epochs + 1)) if self.max_epochs % n == 0
            )
            raise UserError(
                f"trainer.check_val_every_n_epoch={self.check_val_every_n_epoch}: leaves the last of "
                f"{self.max_epochs} epochs without validation; {nearest} divides them"
            )
        if self.benchmark and self.deterministic:
            raise UserError("trainer.benchmark=true: chooses algorithms by their speed; drop trainer.deterministic")

    def limits(self) -> list[str]:
        """The settings that let a run see a part of the data alone, as key=value; max_steps if it ends early."""
        keys = ("fast_dev_run", "overfit_batches", "limit_train_batches", "limit_val_batches", "max_steps")
        found = [f"trainer.{key}={value}" for key in keys if (value := getattr(self, key))]
        return found[:1] if self.fast_dev_run else found


WATCHED = ("gradients", "parameters", "all")


@dataclass
class WandbConfig:
    """What Weights & Biases is told of a run, by the names that it has there. What is null is as W&B's variables of the
    environment say (WANDB_PROJECT, WANDB_ENTITY, ...), and otherwise as docs/wandb.md has it.
    """

    project: str | None = option(None, "the project; null: WANDB_PROJECT, or alexnet-lab")
    entity: str | None = option(None, "the team or user; null: WANDB_ENTITY, or that of the account")
    name: str | None = option(None, "of the run; null: WANDB_NAME, or variant and seed")
    group: str | None = option(None, "of runs; null: WANDB_RUN_GROUP, or the sweep")
    job_type: str | None = option(None, "kind of job; null: WANDB_JOB_TYPE, or train")
    tags: list[str] = option([], "tags beside those of WANDB_TAGS, the model and the data")
    notes: str | None = option(None, "a line about the run; null: WANDB_NOTES")
    id: str | None = option(None, "of the run; null: WANDB_RUN_ID, or the one that is kept in its folder")
    resume: str | None = option(
        None,
        "whether W&B may know a run of this id (allow), must (must) or must not (never); null: WANDB_RESUME, or allow",
        choices=(None, "allow", "must", "never"),
        instead={"auto": "is so by itself: the run folder keeps the run's id; drop it"},
    )
    mode: str | None = option(
        None,
        "online, offline or disabled; null: WANDB_MODE, or online where there is a key and a server, and else offline",
        choices=(None, "online", "offline", "disabled"),
        instead={"shared": "is not available: a run has one writer, on rank zero; say online"},
    )
    watch: str | None = option(
        None,
        "histograms of gradients, parameters or all, as wandb.watch gives them; null: none",
        choices=(None, *WATCHED),
        instead={"grads": "is called gradients", "both": "is called all"},
    )
    log_freq: int = option(100, "steps between two histograms", unit="steps", minimum=1, maximum=1_000_000_000)
    log_model: bool = option(True, "keep the best epoch's weights as an artifact")
    private: bool = option(
        False, "say nothing of the machine: no host, command, folder, repository, packages or processor (SECURITY.md)"
    )


@dataclass
class MlflowConfig:
    """What MLflow is told of a run. What is null is as its variables of the environment say."""

    experiment_name: str | None = option(
        None, "the experiment; null: MLFLOW_EXPERIMENT_NAME, or the sweep (single for a run of none)"
    )
    run_name: str | None = option(None, "of the run; null: variant and seed")
    tracking_uri: str | None = option(
        None, "where it is kept; null: MLFLOW_TRACKING_URI, or the run folder's mlflow.db"
    )


TRACKERS = ("csv", "mlflow", "tensorboard", "wandb")


@dataclass
class TrackerConfig:
    """What every tracker has."""

    name: str = option("wandb", "the tracker that was chosen last", choices=("none", *TRACKERS))
    with_csv: bool = option(False, "a table as Lightning's CSVLogger writes it is kept, perhaps beside others")
    with_mlflow: bool = option(False, "MLflow is told, perhaps beside others")
    with_tensorboard: bool = option(False, "TensorBoard is told, perhaps beside others")
    with_wandb: bool = option(False, "W&B is told, perhaps beside others")
    wandb: WandbConfig = field(default_factory=WandbConfig, metadata={"meaning": "what W&B is told"})
    mlflow: MlflowConfig = field(default_factory=MlflowConfig, metadata={"meaning": "what MLflow is told"})

    def names(self) -> list[str]:
        """Of all of the built-in ones that are told: those beside others, or that of `name` alone."""
        told = [name for name in TRACKERS if getattr(self, f"with_{name}")]
        return [] if self.name == "none" else told or [name for name in TRACKERS if name == self.name]

    def check(self) -> None:
        """Raise UserError for what cannot be meant, or W&B would refuse."""
        if self.name == "none" and any(getattr(self, f"with_{name}") for name in TRACKERS):
            raise UserError("logger=none: is no tracker among others; drop it, or the others")
        if self.wandb.id is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.wandb.id):
            raise UserError(f"logger.wandb.id={self.wandb.id:.80}: must be up to 64 letters, digits, - and _")
        for tag in self.wandb.tags:
            if not 1 <= len(tag) <= 64:
                raise UserError(f"logger.wandb.tags: {tag!r:.80} must have from 1 to 64 characters")


@dataclass
class LoggerConfig(TrackerConfig):
    """Who else is told of the metrics. The run folder's metrics.csv is written in any case."""

    project: str | None = option(None, "the earlier spelling of logger.wandb.project")
    log_artifacts: bool | None = option(None, "the earlier spelling of logger.wandb.log_model")

    def settle(self) -> None:
        """Bring what has an earlier spelling to where it is now. Raises UserError where both are given."""
        if self.project is not None:
            if self.wandb.project not in (None, self.project):
                raise UserError("logger.project: is the earlier spelling of logger.wandb.project; drop one of the two")
            self.wandb.project, self.project = self.project, None
        if self.log_artifacts is not None:
            self.wandb.log_model, self.log_artifacts = self.log_artifacts, None


@dataclass
class OwnLoggerConfig(OwnPart, TrackerConfig):
    """Another of Lightning's loggers, or one like those; built-in ones may be beside it."""

    name: str = option("", "the option's name, for logs")

    def names(self) -> list[str]:
        return [name for name in TRACKERS if getattr(self, f"with_{name}")]


# Names of folders in runs/ that no sweep has: runs that belong to no sweep, and evaluations of several runs together.
SINGLE, ENSEMBLES = "single", "ensembles"


@dataclass
class RunConfig:
    """One training run."""

    seed: int = option(
        0, "of the initial weights, the order and variation of images, and dropout", minimum=0, maximum=2**32 - 1
    )
    sweep: str | None = option(None, "a sweep's name; its folder is runs/<sweep>/")
    init_from: str | None = option(
        None,
        "a run folder, one of its checkpoints or a file of weights that the network begins with; its last layer is new "
        "unless it tells the same classes apart",
    )
    freeze: str | None = option(
        None,
        "layers that keep the weights of init_from: features (those before the first fully connected one) or "
        "up-to-NAME (up-to-conv3); null and none: all learn",
        aliases={"none": None},
    )
    model: ModelConfig = field(default_factory=AlexNetConfig)
    data: DataConfig = field(default_factory=FractalsConfig)
    optim: RecipeConfig = field(default_factory=OptimizationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: TrackerConfig = field(default_factory=LoggerConfig)
    loss: dict[str, Any] = option({}, "a training loss of one's own: _target_ and its arguments; {}: cross-entropy")
    callbacks: dict[str, Any] = option({}, "Lightning callbacks by name: _target_ and its arguments each")
    augmentation: dict[str, Any] = option(
        {}, "transforms of training images by name, in their order: _target_ and its arguments each"
    )
    import_from: list[str] = option(
        [], "folders that modules of one's own are imported from; those of --config-dir and hydra.searchpath come along"
    )


GROUPS = ("model", "data", "optim", "trainer", "logger")
# By group: the key that says which of its classes has its options, and these classes by what it says.
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "model": ("architecture", ARCHITECTURES),
    "data": ("source", SOURCES),
}


# By group: the class of options of a part of one's own.
OWN: dict[str, type[Any]] = {
    "model": OwnNetworkConfig,
    "data": OwnDataConfig,
    "optim": OwnOptimizerConfig,
    "logger": OwnLoggerConfig,
}


def schema_of(settings: Mapping[str, Any]) -> RunConfig:
    """A run of defaults with the options that belong to what a nested configuration chooses, or to the default."""
    run = RunConfig()
    for group, (key, classes) in CHOICES.items():
        part = settings.get(group)
        chosen = part.get(key) if isinstance(part, Mapping) else None
        if isinstance(chosen, str) and chosen in classes:
            setattr(run, group, classes[chosen](**{key: chosen}))
    for group, kind in OWN.items():
        if is_own(settings.get(group)):
            setattr(run, group, kind())
    return run


def with_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration in which the arguments of parts of one's own are apart from their options."""
    made = dict(settings)
    for group, kind in OWN.items():
        part = made.get(group)
        if isinstance(part, Mapping) and is_own(part):
            made[group] = folded(part, kind)
    return made


def plain(run: RunConfig) -> dict[str, Any]:
    """A run as a nested dictionary of plain values, the inverse of `with_arguments`."""
    made = asdict(run)
    return {key: flat(value) if key in OWN and is_own(value) else value for key, value in made.items()}


def named_parts(run: RunConfig) -> Iterator[tuple[str, str]]:
    """(key, target) of each part of one's own that a run names."""
    for group in ("model", "data", "optim", "logger"):
        part = getattr(run, group)
        if isinstance(part, OwnPart):
            yield group, part._target_
    if is_own(run.optim.schedule):
        yield "optim.schedule", run.optim.schedule[TARGET]
    if is_own(run.loss):
        yield "loss", run.loss[TARGET]
    for group in ("callbacks", "augmentation"):
        for name, part in getattr(run, group).items():
            yield f"{group}.{name}", part[TARGET]


def without_others(settings: dict[str, Any]) -> dict[str, Any]:
    """A nested configuration of plain values without what it says of other options of a group and what means nothing.

    Every configuration once had the options of all networks and sources, at their defaults where they were another's.
    """
    made, schema = dict(settings), schema_of(settings)
    for group, (_, classes) in CHOICES.items():
        if isinstance(part := settings.get(group), dict) and not is_own(part):
            own = asdict(getattr(schema, group))
            default = {key: value for kind in reversed(classes.values()) for key, value in asdict(kind()).items()}
            made[group] = {
                key: value
                for key, value in part.items()
                if key in own or key not in default or value not in (default[key], None)
            }
    return made


def owners(key: str) -> list[str]:
    """Which choices of its group have an option, by its dotted key; empty where none has or the group has no choice."""
    group, _, name = key.partition(".")
    _, classes = CHOICES.get(group, ("", {}))
    return [choice for choice, kind in classes.items() if name in kind.__dataclass_fields__]
