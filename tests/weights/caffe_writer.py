"""Caffe's own AlexNet and CaffeNet as its programs write them: the prototxt, and the .caffemodel in both formats."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

Settings = dict[str, int | float]
LRN = {"local_size": 5, "alpha": 0.0001, "beta": 0.75}
POOL = {"kernel_size": 3, "stride": 2}

# Numbers in caffe.proto: of a layer's fields (new format, V1), of its types in V1, and of each type's settings.
LAYER_FIELDS = {False: {"name": 1, "type": 2, "blobs": 7}, True: {"name": 4, "type": 5, "blobs": 6}}
TYPES = {
    "Convolution": ("convolution_param", 106, 10, 4),
    "InnerProduct": ("inner_product_param", 117, 17, 14),
    "LRN": ("lrn_param", 118, 18, 15),
    "Pooling": ("pooling_param", 121, 19, 17),
    "ReLU": ("relu_param", 123, 30, 18),
}
SETTINGS = {
    "Convolution": {"num_output": 1, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6},
    "InnerProduct": {"num_output": 1},
    "LRN": {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5},
    "Pooling": {"kernel_size": 2, "stride": 3},
}


def layers(pool_first: bool = False) -> list[tuple[str, str, Settings]]:
    """(name, type, settings): bvlc_alexnet's or, with pool_first, CaffeNet's."""

    def convolution(index: int, kernels: int, size: int, **settings: int) -> list[tuple[str, str, Settings]]:
        own = {"num_output": kernels, "kernel_size": size, **settings}
        return [(f"conv{index}", "Convolution", own), (f"relu{index}", "ReLU", {})]

    def normalize(index: int) -> list[tuple[str, str, Settings]]:
        pair: list[tuple[str, str, Settings]] = [(f"norm{index}", "LRN", dict(LRN)), (f"pool{index}", "Pooling", POOL)]
        return pair[::-1] if pool_first else pair

    return [
        *convolution(1, 96, 11, stride=4),
        *normalize(1),
        *convolution(2, 256, 5, pad=2, group=2),
        *normalize(2),
        *convolution(3, 384, 3, pad=1),
        *convolution(4, 384, 3, pad=1, group=2),
        *convolution(5, 256, 3, pad=1, group=2),
        ("pool5", "Pooling", POOL),
        ("fc6", "InnerProduct", {"num_output": 4096}),
        ("relu6", "ReLU", {}),
        ("fc7", "InnerProduct", {"num_output": 4096}),
        ("relu7", "ReLU", {}),
        ("fc8", "InnerProduct", {"num_output": 1000}),
    ]


def prototxt(net: Sequence[tuple[str, str, Settings]], batch: int) -> str:
    """The deploy description."""
    text = f'name: "AlexNet"\ninput: "data"\ninput_shape {{ dim: {batch} dim: 3 dim: 227 dim: 227 }}\n'
    bottom = "data"
    for name, kind, settings in net:
        inside = " ".join(f"{key}: {value}" for key, value in settings.items())
        inside = f"{TYPES[kind][0]} {{ {inside} }}" if settings else ""
        text += f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {inside} }}\n'
        bottom = name
    return text


def weights(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Random weights and biases of the eight layers, for logits about 1 from pixels of 0..255."""
    random = np.random.default_rng(seed)
    shapes = {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }
    made = {}
    for name, shape in shapes.items():
        gain = {"conv1": 0.4, "fc8": 0.04}.get(name, 2**0.5)
        deviation = np.float32(gain / np.prod(shape[1:]) ** 0.5)
        weight = random.standard_normal(shape, dtype=np.float32) * deviation
        made[name] = (weight, random.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1))
    return made


def tiny_weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One kernel a layer: for what is checked before the shapes are."""
    convolutions = [(f"conv{index}", (1, 3, 1, 1)) for index in range(1, 6)]
    shapes = [*convolutions, *((f"fc{index}", (1, 1)) for index in (6, 7, 8))]
    return {name: (np.ones(shape, np.float32), np.ones(1, np.float32)) for name, shape in shapes}


def caffemodel(
    net: Sequence[tuple[str, str, Settings]],
    tensors: dict[str, tuple[np.ndarray, np.ndarray]],
    old: bool = False,
) -> bytes:
    """The bytes of a NetParameter; old: V1 layers, and tensors of four dimensions."""
    content = chunk(1, b"AlexNet")
    fields = LAYER_FIELDS[old]
    for name, kind, settings in net:
        _, new_number, old_number, old_type = TYPES[kind]
        body = chunk(fields["name"], name.encode())
        body += number(fields["type"], old_type) if old else chunk(fields["type"], kind.encode())
        inside = b"".join(setting(SETTINGS[kind][key], value) for key, value in settings.items())
        body += chunk(old_number if old else new_number, inside) if settings else b""
        body += b"".join(chunk(fields["blobs"], blob(tensor, old)) for tensor in tensors.get(name, ()))
        content += chunk(2 if old else 100, body)
    return content


def blob(tensor: np.ndarray, old: bool = False) -> bytes:
    data = chunk(5, tensor.astype("<f4").tobytes())
    if old:
        shape = (1,) * (4 - tensor.ndim) + tensor.shape
        return b"".join(number(field, size) for field, size in zip((1, 2, 3, 4), shape, strict=True)) + data
    return chunk(7, chunk(1, b"".join(varint(size) for size in tensor.shape))) + data


def setting(field: int, value: int | float) -> bytes:
    if isinstance(value, float):
        return varint(field << 3 | 5) + struct.pack("<f", value)
    return number(field, value)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
