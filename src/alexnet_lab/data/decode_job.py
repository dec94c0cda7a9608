"""The images of one chunk: what a process that decodes is given, and what it gives back."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.data.chunk import Chunk, Rejected, make_chunk
from alexnet_lab.data.image import UnreadableImage, is_stored_size, read_square
from alexnet_lab.data.image_location import ImageLocation


@dataclass
class Job:
    """Images of one chunk, and how to treat them."""

    names: list[str]  # for the list of rejected images
    locations: list[ImageLocation]
    labels: list[int]
    side: int
    packing: str
    seconds: float  # that an image may take
    slot: int = 0  # of the shared memory, for the pixels
    careful: bool = False  # say which image comes next: the chunk has ended a process before
    false_starts: int = 0  # of processes since then, which died before they came to an image
    known_bad: dict[int, str] = field(default_factory=dict)  # images that ended a process, and how


def decode(job: Job, memory: NDArray[np.uint8], about_to_read: Callable[[int], None] = lambda index: None) -> Chunk:
    """Read every image of the job into `memory`; those that cannot be read are listed in the chunk.

    An image that takes too long ends the process by the alarm signal, which no loop can hold up.
    """
    shape = (len(job.locations), job.side, job.side, 3)
    images = memory[: math.prod(shape)].reshape(shape)
    labels: list[int] = []
    originals: list[bytes | None] = []
    rejected: list[Rejected] = []
    for index, (name, location, label) in enumerate(zip(job.names, job.locations, job.labels, strict=True)):
        if index in job.known_bad:
            rejected.append(Rejected(name, job.known_bad[index]))
            continue
        about_to_read(index)
        signal.setitimer(signal.ITIMER_REAL, job.seconds)
        try:
            content = location.read()
            images[len(labels)] = read_square(content, job.side)
            originals.append(content if job.packing == "jpeg" and is_stored_size(content, job.side) else None)
            labels.append(label)
        except UnreadableImage as error:
            rejected.append(Rejected(name, str(error)))
        except OSError as error:
            rejected.append(Rejected(name, f"cannot be read: {error.strerror or error}"))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    made = np.array(labels, dtype=np.int64)
    return make_chunk(images[: len(labels)], made, job.packing, rejected, originals)
