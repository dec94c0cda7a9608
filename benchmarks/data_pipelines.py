"""One data pipeline, measured in a process of its own; benchmarks/data.py starts one for each.

    python benchmarks/data_pipelines.py NAME FOLDER SECONDS

Whatever is ready for a network's first layer counts: float32 (128, 3, 224, 224), a random place of the image, half
of them mirrored, mean subtracted (peers: normalized), in random order, on the CPU. Prints one line of JSON.
FOLDER holds what benchmarks/data.py prepared: jpeg/, store/, npy/ and whatever the peer makes of them itself.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

BATCH, SIDE, CROP, WORKERS = 128, 256, 224, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def ours(folder: Path, ready: bool = True) -> Iterator[Tensor]:
    """The packed store, read by threads and varied as training does it, without the colour noise that peers lack."""
    from alexnet_lab.data.augmentation import Augmentation
    from alexnet_lab.data.batches import TrainBatches
    from alexnet_lab.data.reader import ImageReader
    from alexnet_lab.data.store import open_store
    from alexnet_lab.data.variation import Variation

    [path] = (folder / "store").glob("*/")
    store = open_store(path)
    augmentation = Augmentation(CROP, store.pixel_mean)
    variation = Variation(SIDE, CROP, random_crop=True, flip=True)
    reader = ImageReader(store.images("train"), store.labels("train"), variation, workers=WORKERS)
    batches = TrainBatches(reader, BATCH, seed=0)
    for epoch in itertools.count():
        batches.sampler.set_epoch(epoch)
        for batch in batches:
            yield augmentation(batch, epoch) if ready else batch.images


def memory(folder: Path) -> Iterator[Tensor]:
    """No pipeline: batches filled with one number by all cores, as PyTorch does it, for scale."""
    batches = [torch.empty(BATCH, 3, CROP, CROP) for _ in range(WORKERS + 1)]
    for batch in itertools.cycle(batches):
        yield batch.fill_(0.5)


def imagefolder(folder: Path, ready: bool = True) -> Iterator[Tensor]:
    """torchvision's ImageFolder and transforms in a DataLoader of two workers, as most programs have it."""
    from torchvision import datasets, transforms

    steps = [transforms.Resize(SIDE), transforms.RandomCrop(CROP), transforms.RandomHorizontalFlip()]
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)] if ready else [transforms.PILToTensor()]
    transform = transforms.Compose([*steps, *last])
    data = datasets.ImageFolder(folder / "jpeg" / "train", transform)
    yield from _epochs(_loader(data))


def timm(folder: Path) -> Iterator[Tensor]:
    """timm's dataset, transforms and loader with its defaults for training, without random erasing."""
    from timm.data import create_dataset, create_loader

    data = create_dataset("", root=str(folder / "jpeg" / "train"), is_training=True)
    loader = create_loader(
        data, (3, CROP, CROP), BATCH, is_training=True, num_workers=WORKERS, use_prefetcher=False, re_prob=0.0,
        color_jitter=None, mean=MEAN, std=STD, pin_memory=False,
    )  # fmt: skip
    yield from _epochs(loader)


def litdata_jpeg(folder: Path) -> Iterator[Tensor]:
    """litdata's chunks of JPEGs, decoded and varied with torchvision in two workers."""
    yield from _litdata(folder, decode=True)


def litdata_pixels(folder: Path) -> Iterator[Tensor]:
    """litdata's chunks of the same 256 x 256 pixels as our store; normalized a batch at a time."""
    yield from _litdata(folder, decode=False)


def _litdata(folder: Path, decode: bool) -> Iterator[Tensor]:
    import litdata

    chunks = folder / ("litdata-jpeg" if decode else "litdata-pixels")
    if not chunks.exists():
        files = sorted(map(str, (folder / "jpeg/train").rglob("*.jpg") if decode else (folder / "npy").glob("*.npy")))
        litdata.optimize(
            _jpeg_sample if decode else _pixel_sample, files, str(chunks), num_workers=1, chunk_bytes="64MB"
        )
    data = litdata.StreamingDataset(str(chunks), shuffle=True, drop_last=True, transform=_Vary(decode))
    loader = litdata.StreamingDataLoader(
        data, batch_size=BATCH, num_workers=WORKERS, shuffle=True, drop_last=True, persistent_workers=True
    )
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    while True:
        for batch in loader:
            yield batch.float().sub_(mean).div_(std)


class _Vary:
    """A sample of litdata's to a view of bytes; its workers are sent this object."""

    def __init__(self, decode: bool) -> None:
        from torchvision.transforms import v2

        steps = [v2.Resize(SIDE)] if decode else []
        self.transform = v2.Compose([*steps, v2.RandomCrop(CROP), v2.RandomHorizontalFlip()])

    def __call__(self, sample: dict[str, Any]) -> Tensor:
        from torchvision.transforms.v2.functional import to_image

        image = sample["image"]
        if isinstance(image, np.ndarray):
            image = torch.from_numpy(image).permute(2, 0, 1)
        return self.transform(to_image(image))


def _jpeg_sample(file: str) -> dict[str, Any]:
    from PIL import Image

    return {"image": Image.open(file)}


def _pixel_sample(file: str) -> dict[str, Any]:
    return {"image": np.load(file)}


def dali_jpeg(folder: Path) -> Iterator[Tensor]:
    """DALI on the CPU: its reader of folders, its JPEG decoder, fused crop, mirror and normalization."""
    from nvidia.dali import fn, types

    def images() -> Any:
        files, _ = fn.readers.file(file_root=str(folder / "jpeg/train"), random_shuffle=True, name="reader")
        return fn.resize(fn.decoders.image(files, device="cpu", output_type=types.RGB), resize_shorter=SIDE)

    yield from _dali(images)


def dali_pixels(folder: Path) -> Iterator[Tensor]:
    """DALI on the CPU: its reader of .npy files with the same 256 x 256 pixels as our store."""
    from nvidia.dali import fn

    yield from _dali(
        lambda: fn.readers.numpy(file_root=str(folder / "npy"), file_filter="*.npy", random_shuffle=True, name="reader")
    )


def _dali(images: Callable[[], Any]) -> Iterator[Tensor]:
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

    @pipeline_def(batch_size=BATCH, num_threads=WORKERS, device_id=None, prefetch_queue_depth=2)
    def pipeline() -> Any:
        return fn.crop_mirror_normalize(
            images(), dtype=types.FLOAT, output_layout="CHW", crop=(CROP, CROP), mirror=fn.random.coin_flip(),
            crop_pos_x=fn.random.uniform(range=(0, 1)), crop_pos_y=fn.random.uniform(range=(0, 1)),
            mean=[255 * value for value in MEAN], std=[255 * value for value in STD],
        )  # fmt: skip

    iterator = DALIGenericIterator(
        [pipeline()], ["images"], reader_name="reader", last_batch_policy=LastBatchPolicy.DROP, auto_reset=True
    )
    while True:
        for batch in iterator:
            yield batch[0]["images"]


def ffcv_jpeg(folder: Path) -> Iterator[Tensor]:
    """FFCV's file of JPEGs."""
    yield from _ffcv(folder, "jpg")


def ffcv_pixels(folder: Path) -> Iterator[Tensor]:
    """FFCV's file of pixels, shorter side 256."""
    yield from _ffcv(folder, "raw")


def _ffcv(folder: Path, mode: str) -> Iterator[Tensor]:
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter
    from torchvision.datasets import ImageFolder

    file = folder / f"ffcv-{mode}.beton"
    if not file.exists():
        fields = {"image": RGBImageField(write_mode=mode, max_resolution=SIDE), "label": IntField()}
        DatasetWriter(str(file), fields, num_workers=WORKERS).from_indexed_dataset(ImageFolder(folder / "jpeg/train"))
    mean, std = (255 * np.array(values) for values in (MEAN, STD))
    # Its decoder of a random part of the same scale; there is none of a random place alone.
    decoder = RandomResizedCropRGBImageDecoder((CROP, CROP), scale=(0.75, 0.77), ratio=(1.0, 1.0))
    steps = [decoder, RandomHorizontalFlip(), NormalizeImage(mean, std, np.float32), ToTensor(), ToTorchImage()]
    loader = Loader(
        str(file), batch_size=BATCH, num_workers=WORKERS, order=OrderOption.RANDOM, drop_last=True, os_cache=True,
        pipelines={"image": steps, "label": None},
    )  # fmt: skip
    yield from _epochs(loader)


def _loader(data: Any) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(
        data, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )


def _epochs(loader: Any) -> Iterator[Tensor]:
    while True:
        for batch in loader:
            yield batch[0]


PIPELINES: dict[str, tuple[Callable[[Path], Iterator[Tensor]], str]] = {  # and the package whose version is told
    "ours": (ours, "torch"),
    "memory filled": (memory, "torch"),
    "ImageFolder": (imagefolder, "torchvision"),
    # What a GPU is handed by those that leave the rest to it: crops of bytes. No peer of the first figure.
    "ours, bytes": (partial(ours, ready=False), "torch"),
    "ImageFolder, bytes": (partial(imagefolder, ready=False), "torchvision"),
    "timm": (timm, "timm"),
    "litdata, JPEG": (litdata_jpeg, "litdata"),
    "litdata, pixels": (litdata_pixels, "litdata"),
    "DALI, JPEG": (dali_jpeg, "nvidia-dali-cuda120"),
    "DALI, pixels": (dali_pixels, "nvidia-dali-cuda120"),
    "FFCV, JPEG": (ffcv_jpeg, "ffcv"),
    "FFCV, pixels": (ffcv_pixels, "ffcv"),
}


def measure(batches: Iterator[Tensor], seconds: float, ready: bool) -> float:
    """Images/s over this time, after a quarter of it to warm up. Raises ValueError where a batch is not `ready`."""
    warm_up = time.perf_counter() + seconds / 4
    images, first = 0, next(batches)
    if ready and (first.shape != (BATCH, 3, CROP, CROP) or first.dtype != torch.float32 or not first.isfinite().all()):
        raise ValueError(f"gives {first.dtype} {tuple(first.shape)}")
    while time.perf_counter() < warm_up:
        next(batches)
    start = time.perf_counter()
    while (now := time.perf_counter()) < start + seconds:
        images += len(next(batches))
    return images / (now - start)


def main() -> None:
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    logging.disable(logging.WARNING)
    pipeline, package = PIPELINES[name]
    batches = pipeline(folder)
    rate = measure(batches, seconds, ready="bytes" not in name)
    print(
        json.dumps({"images_per_second": round(rate, 1), "package": package, "version": version(package)}), flush=True
    )
    os._exit(0)  # workers of peers that would go on until their epoch ends are daemons


if __name__ == "__main__":
    main()
