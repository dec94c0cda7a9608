"""The 2012 program's network in plain NumPy, forward and backward by hand: what the project's own is compared with.

Written from the layer files of runs 145, 145-half, 147, 148 and 150 and from their meaning in the program, without
torch and without anything of `alexnet_lab`. Towers are separate arrays here, not groups of channels. A layer is a
function that returns its output and a function from the output's gradient to the input's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np

Array = np.ndarray
Parameters = dict[str, Array]
Backward = Callable[[Array], Array]


@dataclass(frozen=True)
class Run:
    """What a layer file says, beyond the shapes of the weights."""

    towers: int = 2
    communicating: bool = True  # False: run 150
    normalization: bool = True  # False: run 148
    pool_size: int = 3  # 2: run 147, which has one pixel of padding less in conv2 and conv5
    stem_stride: int = 4
    dropout: float = 0.0  # in fc6 and fc7; the layer files have 0.5


class Reference:
    """One step: logits, loss and the gradients of all parameters, in float64.

    parameters: as in the project's state dictionary, weights of convolutions (kernels, maps seen, side, side) with
    the towers' kernels one after the other. x: (N, 3, side, side); labels: (N,) integers. kept: which units of fc6
    and fc7 a training step keeps, (N, units) of 0 and 1 each; without it, all are scaled, as at test time.
    """

    def __init__(
        self, run: Run, parameters: Parameters, x: Array, labels: Array, kept: dict[str, Array] | None = None
    ) -> None:
        self.run, self.parameters = run, {name: value.astype(np.float64) for name, value in parameters.items()}
        self.gradients: Parameters = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.logits, backward = self._network(x.astype(np.float64), kept)
        self.loss, gradient = softmax_cross_entropy(self.logits, labels)
        backward(gradient)

    def _network(self, x: Array, kept: dict[str, Array] | None) -> tuple[Array, Callable[[Array], None]]:
        run = self.run
        narrow = 1 if run.pool_size == 2 else 0
        towers = [x] * run.towers
        undo: list[Callable[[list[Array]], list[Array]]] = []

        def each(layer: Callable[[Array], tuple[Array, Backward]]) -> None:
            """The same layer without weights in every tower."""
            made = [layer(tower) for tower in towers]
            towers[:] = [y for y, _ in made]
            undo.append(lambda dys: [backward(dy) for (_, backward), dy in zip(made, dys, strict=True)])

        def weighted(name: str, layer: Callable[..., tuple], joined: bool, *geometry: int) -> None:
            """A layer with weights, each tower with its own share; `joined`: it sees all towers' maps."""
            width = towers[0].shape[1]
            seen = [np.concatenate(towers, 1)] * run.towers if joined else list(towers)
            weights = np.split(self.parameters[name + ".weight"], run.towers)
            biases = np.split(self.parameters[name + ".bias"], run.towers)
            made = [layer(x, w, b, *geometry) for x, w, b in zip(seen, weights, biases, strict=True)]
            towers[:] = [y for y, _ in made]

            def backward(dys: list[Array]) -> list[Array]:
                dxs = []
                for tower, ((_, back), dy) in enumerate(zip(made, dys, strict=True)):
                    dx, dw, db = back(dy)
                    np.split(self.gradients[name + ".weight"], run.towers)[tower][...] = dw
                    np.split(self.gradients[name + ".bias"], run.towers)[tower][...] = db
                    dxs.append(dx)
                if joined:
                    total = np.sum(dxs, axis=0)
                    return [total[:, t * width : (t + 1) * width] for t in range(run.towers)]
                return dxs

            undo.append(backward)

        def normalize(*layers: Callable[[Array], tuple[Array, Backward]]) -> None:
            for layer in layers if run.normalization else ():
                each(layer)

        weighted("conv1.conv", convolution, False, run.stem_stride, 0)
        normalize(across_maps)
        each(lambda x: max_pool(x, run.pool_size))
        each(relu)
        weighted("conv2.conv", convolution, False, 1, 2 - narrow)
        each(relu)
        normalize(across_maps, within_maps)
        each(lambda x: max_pool(x, run.pool_size))
        weighted("conv3.conv", convolution, run.communicating, 1, 1)
        each(relu)
        weighted("conv4.conv", convolution, False, 1, 1)
        each(relu)
        weighted("conv5.conv", convolution, False, 1, 1 - narrow)
        each(lambda x: max_pool(x, run.pool_size))
        each(relu)
        each(flatten)
        for name in ("fc6.linear", "fc7.linear"):
            weighted(name, fully_connected, run.communicating)
            each(relu)
            factors = [1 - run.dropout] * run.towers if kept is None else np.split(kept[name], run.towers, axis=1)
            remaining = iter(factors)
            each(lambda x, remaining=remaining: multiply(x, next(remaining)))
        hidden = np.concatenate(towers, 1)
        logits, last = fully_connected(hidden, self.parameters["fc8.weight"], self.parameters["fc8.bias"])

        def backward(gradient: Array) -> None:
            dx, self.gradients["fc8.weight"], self.gradients["fc8.bias"] = last(gradient)
            dys = np.split(dx, run.towers, axis=1)
            for step in reversed(undo):
                dys = step(dys)

        return logits, backward


def convolution(x: Array, weight: Array, bias: Array, stride: int, padding: int) -> tuple[Array, Callable]:
    """(N, C, H, W) to (N, kernels, M, M); as many positions as touch the padded image: the last may overhang it."""
    side, kernel = x.shape[2], weight.shape[2]
    positions = 1 + ceil((side + 2 * padding - kernel) / stride)
    overhang = (positions - 1) * stride + kernel - side - padding
    padded = np.pad(x, ((0, 0), (0, 0), (padding, overhang), (padding, overhang)))
    y = np.zeros((len(x), len(weight), positions, positions)) + bias[:, None, None]
    for _, _, window, at in windows(padded, kernel, stride, positions):
        y += np.einsum("nchw,oc->nohw", window, weight[at], optimize=True)

    def backward(dy: Array) -> tuple[Array, Array, Array]:
        dpadded, dw = np.zeros_like(padded), np.zeros_like(weight)
        for rows, columns, window, at in windows(padded, kernel, stride, positions):
            dw[at] = np.einsum("nohw,nchw->oc", dy, window, optimize=True)
            dpadded[:, :, rows, columns] += np.einsum("nohw,oc->nchw", dy, weight[at], optimize=True)
        return dpadded[:, :, padding : padding + side, padding : padding + side], dw, dy.sum((0, 2, 3))

    return y, backward


def windows(padded: Array, size: int, stride: int, positions: int):
    """For every place in a window: the rows and columns that it takes over all positions, their pixels, the place."""
    reach = stride * (positions - 1) + 1
    for i in range(size):
        for j in range(size):
            rows, columns = slice(i, i + reach, stride), slice(j, j + reach, stride)
            yield rows, columns, padded[:, :, rows, columns], (slice(None), slice(None), i, j)


def max_pool(x: Array, size: int) -> tuple[Array, Backward]:
    """Stride 2; the last window may overhang the maps. Where several are the largest, each gets the gradient.

    (torch gives it to one. The difference is nowhere seen: only zeros from a ReLU are equal here.)
    """
    side = x.shape[2]
    positions = 1 + ceil((side - size) / 2)
    overhang = 2 * (positions - 1) + size - side
    padded = np.pad(x, ((0, 0), (0, 0), (0, overhang), (0, overhang)), constant_values=-np.inf)
    y = np.max([window for _, _, window, _ in windows(padded, size, 2, positions)], axis=0)

    def backward(dy: Array) -> Array:
        dx = np.zeros_like(padded)
        for rows, columns, window, _ in windows(padded, size, 2, positions):
            dx[:, :, rows, columns] += dy * (window == y)
        return dx[:, :, :side, :side]

    return y, backward


def normalization(x: Array, total: Callable[[Array], Array], scale: float, constant: float) -> tuple[Array, Backward]:
    """x / (constant + scale * total(x^2))^0.75, `total` being a sum over a symmetric neighbourhood."""
    d = constant + scale * total(x * x)
    y = x * d**-0.75

    def backward(dy: Array) -> Array:
        return dy * d**-0.75 - 2 * 0.75 * scale * x * total(dy * x * d**-1.75)

    return y, backward


def across_maps(x: Array) -> tuple[Array, Backward]:
    """Layer type cmrnorm: five neighbouring maps of the tower, scale 1e-4 / 5, constant 2."""

    def total(values: Array) -> Array:
        padded = np.pad(values, ((0, 0), (2, 2), (0, 0), (0, 0)))
        return sum(padded[:, shift : shift + values.shape[1]] for shift in range(5))

    return normalization(x, total, 1e-4 / 5, 2.0)


def within_maps(x: Array) -> tuple[Array, Backward]:
    """Layer type rnorm: five by five neighbours in the same map, scale 1e-3 / 25, constant 1."""

    def total(values: Array) -> Array:
        padded = np.pad(values, ((0, 0), (0, 0), (2, 2), (2, 2)))
        return sum(window for _, _, window, _ in windows(padded, 5, 1, values.shape[2]))

    return normalization(x, total, 1e-3 / 25, 1.0)


def relu(x: Array) -> tuple[Array, Backward]:
    return np.maximum(x, 0), lambda dy: dy * (x > 0)


def flatten(x: Array) -> tuple[Array, Backward]:
    return x.reshape(len(x), -1), lambda dy: dy.reshape(x.shape)


def fully_connected(x: Array, weight: Array, bias: Array) -> tuple[Array, Callable]:
    return x @ weight.T + bias, lambda dy: (dy @ weight, dy.T @ x, dy.sum(0))


def multiply(x: Array, factor: Array | float) -> tuple[Array, Backward]:
    return x * factor, lambda dy: dy * factor


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """The mean over the batch of -log softmax(logits)[label], and its gradient."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    chosen = np.eye(logits.shape[1])[labels]
    return float(-np.log((probabilities * chosen).sum(1)).mean()), (probabilities - chosen) / len(labels)
