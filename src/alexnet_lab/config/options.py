"""Every option of a training run: its type, default, unit and range, declared once.

Hydra fills these classes from `conf/` and the command line; `checks` then refuses what cannot work.
No option's meaning is declared anywhere else, and this file loads neither torch nor Lightning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from alexnet_lab.config.geometry import KERNELS_CONV1_TO_CONV5, UNITS_FC6_AND_FC7

# Options of ModelConfig that every architecture has, and those that each has besides; None: all of them.
COMMON_OPTIONS = ("name", "architecture", "input_size", "stored_size", "pixel_scale")
ARCHITECTURES: dict[str, tuple[str, ...] | None] = {
    "alexnet": None,
    "lenet5": ("activation",),
    "cifar10_net": ("activation", "lrn"),
    "vgg11": ("dropout",),
    "vgg16": ("dropout",),
    "googlenet": ("dropout",),
    "resnet18": (),
    "resnet50": (),
}


def option(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
) -> Any:
    """One setting of a configuration class, with what it means and what it may be."""
    metadata = {"meaning": meaning, "unit": unit, "minimum": minimum, "maximum": maximum, "choices": choices}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class ModelConfig:
    """The network: what the paper's section 3 chooses, and what the original program chose."""

    name: str = option("mini", "the preset's name, for tables and logs; model=NAME chooses it, it cannot be set")
    architecture: str = option(
        "alexnet", "which network the other options describe; the preset's", choices=tuple(ARCHITECTURES)
    )
    towers: int = option(2, "independent halves of the convolutional layers (section 3.2)", choices=(1, 2))
    communicating: bool = option(True, "towers see each other at conv3 and fc6 (false: joined at fc8 alone)")
    half_kernels: bool = option(
        False, "one tower with half the kernels in conv1 to conv4 (run 145-half of the original program)"
    )
    kernels: list[int] = option(
        list(KERNELS_CONV1_TO_CONV5),
        "of conv1 to conv5, both towers together",
        unit="kernels",
        minimum=1,
        maximum=1_000_000,
    )
    units: list[int] = option(list(UNITS_FC6_AND_FC7), "of fc6 and fc7", unit="units", minimum=1, maximum=1_000_000)
    width: float = option(
        0.25, "factor on the kernels of every convolution and the units of fc6 and fc7", minimum=0.01, maximum=8.0
    )
    without: str = option(
        "none",
        "a layer to leave out; its activation and normalization go too, its pooling stays (section 7)",
        choices=("none", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"),
    )
    sixth_convolution: bool = option(
        False, "conv6 over the last pooling layer, as large as conv5, seeing both towers (section 6.1's CNN*)"
    )
    lrn: bool = option(True, "normalize across kernels (section 3.3)")
    lrn_layers: list[int] = option(
        [1, 2], "convolutions that lrn follows, 1 to 5; [] is lrn=false", minimum=1, maximum=5
    )
    lrn_per_tower: bool = option(
        True, "no window leaves its tower (false: over all kernels, as Caffe does, where the towers communicate)"
    )
    lrn_size: int = option(5, "neighbouring kernels in one window", unit="kernels", minimum=1, maximum=255)
    lrn_alpha: float = option(
        1e-4, "scale of the summed squares; lrn_alpha_convention says how", minimum=0.0, maximum=100.0
    )
    lrn_alpha_convention: str = option(
        "per_window",
        "per_window: lrn_alpha / lrn_size times the sum (the original, Caffe, nn.LocalResponseNorm); "
        "per_element: lrn_alpha times the sum (the paper's formula)",
        choices=("per_window", "per_element"),
    )
    lrn_beta: float = option(0.75, "exponent of the normalization", minimum=0.0, maximum=10.0)
    lrn_k: float = option(2.0, "constant added to the summed squares", minimum=1e-6, maximum=1e6)
    spatial_normalization: bool = option(
        True, "the original program's 5 x 5 normalization within each map of conv2; goes with conv2's lrn"
    )
    overlapping_pool: bool = option(True, "pool 3 x 3 with stride 2 (section 3.4); false: 2 x 2 with stride 2")
    layer_order: str = option(
        "original",
        "original: conv1 LRN-pool-ReLU, conv5 pool-ReLU; paper: ReLU-LRN-pool everywhere; caffenet: ReLU-pool-LRN",
        choices=("original", "paper", "caffenet"),
    )
    activation: str = option(
        "relu",
        "nonlinearity of every hidden layer (section 3.1)",
        choices=("relu", "tanh", "leaky_relu", "gelu", "silu"),
    )
    dropout: float = option(
        0.5, "probability of dropping a unit of fc6 and fc7 (section 4.2)", minimum=0.0, maximum=0.95
    )
    dropout_place: str = option(
        "after", "drop what fc6 and fc7 give (section 4.2), or before them what they see", choices=("after", "before")
    )
    dropout_scaling: str = option(
        "training",
        "test: in evaluation all units, times 1 - dropout (section 4.2, the original); "
        "training: in training those kept, over 1 - dropout (Caffe, torchvision, Keras)",
        choices=("test", "training"),
    )
    input_size: int = option(48, "side of the crop that the network sees", unit="pixels", minimum=1, maximum=4096)
    stored_size: int = option(
        64, "side of the stored image that crops come from", unit="pixels", minimum=1, maximum=1024
    )
    pixel_scale: float = option(
        1.0, "factor on the pixels (0..255 minus their mean) before conv1", minimum=1e-6, maximum=1e6
    )
    stem_kernel_size: int = option(5, "side of conv1's kernels", unit="pixels", minimum=1, maximum=63)
    stem_stride: int = option(2, "stride of conv1", unit="pixels", minimum=1, maximum=63)
    stem_padding: str = option(
        "ceiling",
        "around the image: ceiling (the last window of conv1 hangs over the edge, as the original's does), none, "
        "or pixels on all sides (torchvision: 2)",
    )
    initialization: str = option(
        "normal",
        "normal: init_std and init_bias (section 5); glorot: Keras's default; pytorch: PyTorch's",
        choices=("normal", "glorot", "pytorch"),
    )
    init_std: list[float] = option(
        [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01],
        "standard deviation of the initial weights, conv1 to fc8 (conv6 as conv5)",
        minimum=0.0,
        maximum=1000.0,
    )
    init_bias: list[float] = option(
        [0, 1, 0, 1, 1, 1, 1, 0], "initial bias, conv1 to fc8 (conv6 as conv5)", minimum=-1000.0, maximum=1000.0
    )


@dataclass
class DataConfig:
    """Where the images come from and how they are varied in training (section 4.1)."""

    source: str = option(
        "fractals",
        "what kind of collection is read",
        choices=(
            "fractals",
            "digits",
            "cifar10",
            "fashion_mnist",
            "imagenette",
            "imagewoof",
            "tiny_imagenet",
            "imagenet",
            "folder",
        ),
    )
    root: str | None = option(
        None, "folder of the collection; what can be fetched is put there, by default into store_root/downloads"
    )
    layout: str = option(
        "auto",
        "how a collection of files lies in its folder (docs/data.md); auto: as is found",
        choices=("auto", "archives", "parquet", "kaggle", "tiny_imagenet", "extracted", "train_val", "tree"),
    )
    url: str | None = option(None, "address of a folder to fetch published archives from, instead of their publishers'")
    classes: list[str] = option([], "classes to take, by name or in words; []: all (collections of image files)")
    train_fraction: float = option(
        1.0,
        "share of each class's training images to take (collections of image files, fashion_mnist)",
        minimum=1e-6,
        maximum=1.0,
    )
    val_fraction: float = option(
        0.2,
        "share of each class's images to validate on, where a collection has no validation images of its own",
        minimum=1e-6,
        maximum=0.9,
    )
    split_seed: int = option(0, "which images train_fraction and val_fraction take", minimum=0, maximum=2**31)
    store_root: str = option("datasets", "folder in which prepared collections are kept")
    image_size: int = option(64, "side of the stored images", unit="pixels", minimum=16, maximum=1024)
    num_classes: int | None = option(40, "classes (fractals alone; elsewhere counted)", minimum=2, maximum=100_000)
    train_images_per_class: int | None = option(75, "training images a class (fractals)", minimum=1, maximum=1_000_000)
    val_images_per_class: int | None = option(125, "validation images a class (fractals)", minimum=1, maximum=1_000_000)
    collection_seed: int = option(0, "which collection of fractals", minimum=0, maximum=2**31)
    rotation: float = option(
        20.0, "largest turn of a shape, to either side (fractals)", unit="degrees", minimum=0.0, maximum=180.0
    )
    shape_variation: float = option(
        0.04, "how far an image's shape differs from its class's, relatively (fractals)", minimum=0.0, maximum=0.5
    )
    class_colour: float = option(
        0.2,
        "part of a shape's hue that its class decides; 0: colour tells nothing (fractals)",
        minimum=0.0,
        maximum=1.0,
    )
    darker_fraction: float = option(
        0.2, "share of images whose shape is darker than the background (fractals)", minimum=0.0, maximum=1.0
    )
    clutter: int = option(
        0, "smaller shapes of no class behind the shape (fractals)", unit="shapes", minimum=0, maximum=16
    )
    occluded_fraction: float = option(
        0.2, "share of images that a rectangle lies over (fractals)", minimum=0.0, maximum=1.0
    )
    occlusion: float = option(
        1.2, "largest area of that rectangle over the image's; the smallest is 0.4 of it", minimum=0.0, maximum=2.0
    )
    workers: int = option(2, "threads that read batches ahead", unit="threads", minimum=1, maximum=256)
    placement: str = option(
        "auto",
        "where images lie during a run: disk (a memory map), device (in the device's memory), "
        "or auto: on a GPU of which they fill no more than half of what is free, else disk",
        choices=("auto", "disk", "device"),
    )
    random_crop: bool = option(True, "train on random crops (false: on the centre)")
    flip: bool = option(True, "mirror half of the training images, left to right")
    packing: str = option(
        "pixels",
        "how the store keeps images: as they are, or as JPEGs of quality 90, a tenth as large",
        choices=("pixels", "jpeg"),
    )
    max_bad: float = option(0.01, "largest share of a split's images that may be unreadable", minimum=0.0, maximum=1.0)
    color_noise: float = option(
        0.1, "standard deviation of the noise along the principal colours; 0 switches it off", minimum=0.0, maximum=10.0
    )
    random_resized_crop: bool = option(
        False, "train on random parts of 8 % to 100 % of the image, resized, in place of random_crop (for comparison)"
    )
    color_jitter: float = option(
        0.0, "largest relative change of brightness, contrast and saturation; 0: none", minimum=0.0, maximum=1.0
    )
    random_erasing: float = option(
        0.0, "probability that a rectangle of a training image is erased; 0: none", minimum=0.0, maximum=1.0
    )
    mixup: float = option(
        0.0, "alpha of the shares in which two training images are mixed; 0: none", minimum=0.0, maximum=100.0
    )


@dataclass
class OptimizationConfig:
    """The recipe (section 5): v = 0.9 v - lr (gradient + decay w); w += v."""

    name: str = option("mini", "the preset's name, for tables and logs; optim=NAME chooses it, it cannot be set")
    learning_rate: float = option(0.01, "of the weights", minimum=0.0, maximum=100.0)
    bias_learning_rate_factor: float = option(
        2.0, "the biases' learning rate over the weights'", minimum=0.0, maximum=1000.0
    )
    momentum: float = option(0.9, "of the velocity", minimum=0.0, maximum=0.9999)
    weight_decay: float = option(5e-4, "on weights, not on biases", minimum=0.0, maximum=1.0)
    batch_size: int = option(
        128, "training images a step, over all devices", unit="images", minimum=1, maximum=1_000_000
    )
    epochs: int = option(90, "passes over the training set", unit="epochs", minimum=1, maximum=100_000)
    validations: int | None = option(
        None,
        "how often a run is validated, about, at equal distances and after its last epoch; null: after each epoch",
        minimum=1,
        maximum=100_000,
    )
    schedule: str = option(
        "milestones",
        "divide the learning rate at fixed milestones (milestones) or when validation error stops improving (plateau), "
        "let it fall to 0 in a line (linear) or along half a cosine (cosine), or leave it (constant)",
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
    divide_bias_rate: bool = option(
        True, "the biases' rate is divided too (false: it stays, as in the original's runs)"
    )
    conv1_milestones: list[float] = option(
        [], "where conv1's rate alone is divided once more, as fractions of the run", minimum=0.0, maximum=1.0
    )
    freeze_conv1_at: float = option(
        1.0, "where conv1's rate becomes 0, as a fraction of the run; 1: nowhere", minimum=0.0, maximum=1.0
    )
    color_noise_until: float = option(
        1.0, "where data.color_noise ends, as a fraction of the run, to the next epoch", minimum=0.0, maximum=1.0
    )


@dataclass
class TrainerConfig:
    """Where and how long a run computes."""

    accelerator: str = option("auto", "kind of device", choices=("auto", "cpu", "gpu"))
    devices: int = option(1, "devices of one machine that share a run", minimum=1, maximum=1024)
    num_nodes: int = option(1, "machines that share a run", minimum=1, maximum=4096)
    strategy: str = option("auto", "how devices share the work", choices=("auto", "ddp"))
    precision: str = option(
        "32-true", "arithmetic of training; validation is in float32", choices=("32-true", "16-mixed", "bf16-mixed")
    )
    max_epochs: int = option(1, "passes over the training set", unit="epochs", minimum=1, maximum=100_000)
    deterministic: bool = option(False, "only algorithms that give the same bits each time")
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
        "time between two checkpoints; each epoch ends with one in any case",
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


@dataclass
class LoggerConfig:
    """Who else is told of the metrics. The run folder's metrics.csv is written in any case."""

    name: str = option("wandb", "the tracker", choices=("none", "csv", "wandb"))
    project: str = option("alexnet-lab", "project of the tracker (wandb)")
    log_artifacts: bool = option(True, "keep the best epoch's weights as an artifact (wandb)")


# Names of folders in runs/ that no sweep has: runs that belong to no sweep, and evaluations of several runs together.
SINGLE, ENSEMBLES = "single", "ensembles"


@dataclass
class RunConfig:
    """One training run."""

    seed: int = option(
        0, "of the initial weights, the order and variation of images, and dropout", minimum=0, maximum=2**32 - 1
    )
    sweep: str | None = option(None, "a sweep's name; its folder is runs/<sweep>/")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimizationConfig = field(default_factory=OptimizationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)


GROUPS = {
    "model": ModelConfig,
    "data": DataConfig,
    "optim": OptimizationConfig,
    "trainer": TrainerConfig,
    "logger": LoggerConfig,
}
