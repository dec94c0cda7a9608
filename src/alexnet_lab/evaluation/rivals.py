"""What the paper compares with (table 1), built anew and asked about the same images: systems that are no networks.

Both describe a grey image by SIFT on a dense grid at two sizes. Fisher vectors (Perronnin et al. 2010) encode how the
descriptors deviate from a mixture of Gaussians; sparse coding (Yang et al. 2009) codes each by a few atoms of a learned
dictionary and keeps the largest coefficients of the image and its quarters. A linear SVM tells the classes apart; its
penalty is chosen on a fifth of the training images. The mixture and the dictionary are learned from a sample of
descriptors that the seed draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.progress import ImageProgress
from alexnet_lab.data.store import Store
from alexnet_lab.evaluation.measurement import image_numbers
from alexnet_lab.evaluation.members import store_of
from alexnet_lab.runs.measured import Answers, measured_file, write_answers, write_numbers

Array = NDArray[np.float32]
Encode = Callable[[Array, Array], Array]  # descriptors (D, 64) and their places (D, 2) in [0, 1) to a vector

STEP, SIZES = 4, (12, 20)  # of the grid, and diameters of what a descriptor sees, in pixels
SIDE = 96  # larger images are made smaller first
DIMENSIONS = 64  # of a descriptor after PCA
GAUSSIANS, ATOMS, NONZERO = 32, 128, 5
SAMPLE = 40_000  # descriptors that the mixture and the dictionary are learned from
PENALTIES = (0.1, 1.0, 10.0)  # C of the SVM
HELD_OUT = 0.2  # of the training images, on which C is chosen


def measure_rival(name: str, folder: Path, base: Path, wanted: list[str]) -> None:
    """Train a rival on the images of the run in `base`, ask it about the same validation images, keep its answers.

    It sees whole images, so its answers stand for the centre and for ten views alike. The seed is that of the run.
    Raises UserError for a name that is none, or where a package is missing.
    """
    check_rival(name)
    missing = [what for what in wanted if not measured_file(folder, what, "npz").exists()]
    if not missing:
        return
    if any(not what.startswith("val-") for what in missing):
        raise UserError(f"rival {name}: {', '.join(missing)} is measured of networks alone")
    run, store = store_of(base)
    answers, numbers = train_and_ask(name, store, run.seed)
    write_numbers(folder, "rival", numbers)
    for what in missing:
        write_answers(folder, what, answers)


def check_rival(name: str) -> None:
    """Raise UserError for a name that is none, or where a package is missing."""
    if name not in RIVALS:
        raise UserError(f"rival {name}: no such system; choose from {', '.join(RIVALS)}")
    _opencv()


def train_and_ask(name: str, store: Store, seed: int) -> tuple[Answers, dict[str, float]]:
    """The answers of a rival to all validation images, and what was chosen on the way."""
    cv2 = _opencv()
    draw = np.random.default_rng(seed)
    numbers = image_numbers(store, "train")
    labels = store.labels("train")[numbers]
    train = [_described(cv2, store, "train", number) for number in _shown(numbers, "Describing training images")]
    sample = np.concatenate([one for one, _ in train])
    sample = sample[draw.choice(len(sample), min(SAMPLE, len(sample)), replace=False)]
    reduce, encode = _learn(name, sample, seed)
    vectors = np.stack([encode(reduce(one), places) for one, places in train])
    machine, penalty, error = _tuned(vectors, labels, seed)
    asked = image_numbers(store, "val")
    scores = []
    for number in _shown(asked, "Describing validation images"):
        one, places = _described(cv2, store, "val", number)
        scores.append(machine.decision_function(encode(reduce(one), places)[None])[0])
    found = all_scores(np.stack(scores), machine.classes_, len(store.class_names))
    truth = store.labels("val")[asked]
    order = np.argsort(-found, axis=1, kind="stable")[:, :5].astype(np.int32)
    exponents = np.exp(found - found.max(1, keepdims=True))
    probability = (exponents / exponents.sum(1, keepdims=True))[np.arange(len(truth)), truth]
    answers = Answers(order, probability.astype(np.float32), truth.astype(np.int32), store.identity)
    return answers, {"C": penalty, "error_held_out": error, "dimensions": float(vectors.shape[1])}


def all_scores(scores: NDArray[Any], classes: NDArray[Any], count: int) -> NDArray[np.float64]:
    """(N, count): scores of all classes. An SVM of two gives one column; a class that it never saw gets -1e9."""
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], 1)
    found = np.full((len(scores), count), -1e9)
    found[:, classes] = scores
    return found


def fisher_vector(descriptors: Array, weights: Array, means: Array, variances: Array) -> Array:
    """(2 K D,), the improved Fisher vector of descriptors (N, D) under K Gaussians with diagonal covariances.

    Gradients by means and by deviations, averaged over descriptors and scaled by the inverse of the Fisher
    information; then the signed square root, and length 1.
    """
    scaled = (descriptors[:, None] - means) / np.sqrt(variances)  # (N, K, D)
    log_density = -0.5 * (scaled**2 + np.log(2 * np.pi * variances)).sum(2) + np.log(weights)
    share = np.exp(log_density - log_density.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    by_mean = np.einsum("nk,nkd->kd", share, scaled) / (len(descriptors) * np.sqrt(weights)[:, None])
    by_deviation = np.einsum("nk,nkd->kd", share, scaled**2 - 1) / (len(descriptors) * np.sqrt(2 * weights)[:, None])
    vector = np.concatenate([by_mean.ravel(), by_deviation.ravel()])
    return _of_length_1(np.sign(vector) * np.sqrt(np.abs(vector)))


def pooled_codes(codes: Array, places: Array) -> Array:
    """(5 A,), the largest magnitude of each atom's coefficients (N, A) in the image and in each quarter of it."""
    quarter = (places >= 0.5) @ np.array([1, 2])
    regions = [np.ones(len(codes), bool), *(quarter == number for number in range(4))]
    magnitudes = np.abs(codes)
    largest = [magnitudes[own].max(0) if own.any() else np.zeros(codes.shape[1]) for own in regions]
    return _of_length_1(np.concatenate(largest))


def _fisher(sample: Array, seed: int) -> Encode:
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(GAUSSIANS, covariance_type="diag", random_state=seed, max_iter=50, reg_covar=1e-4)
    mixture.fit(sample)
    model = [array.astype(np.float32) for array in (mixture.weights_, mixture.means_, mixture.covariances_)]
    return lambda descriptors, places: fisher_vector(descriptors, *model)


def _sparse(sample: Array, seed: int) -> Encode:
    from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode

    learning = MiniBatchDictionaryLearning(
        ATOMS, transform_algorithm="omp", random_state=seed, batch_size=512, max_iter=20
    )
    atoms = learning.fit(sample).components_
    # Descriptors of a plain background need fewer atoms than are allowed, which is said of each of them.
    warnings.filterwarnings("ignore", "Orthogonal matching pursuit ended prematurely")
    return lambda descriptors, places: pooled_codes(
        sparse_encode(descriptors, atoms, algorithm="omp", n_nonzero_coefs=NONZERO), places
    )


RIVALS: dict[str, Callable[[Array, int], Encode]] = {"sift_fisher": _fisher, "sparse_coding": _sparse}


def _learn(name: str, sample: Array, seed: int) -> tuple[Callable[[Array], Array], Encode]:
    from sklearn.decomposition import PCA

    reduction = PCA(min(DIMENSIONS, *sample.shape), random_state=seed).fit(sample)

    def reduce(descriptors: Array) -> Array:
        return reduction.transform(descriptors).astype(np.float32)

    return reduce, RIVALS[name](reduce(sample), seed)


def _tuned(vectors: Array, labels: NDArray[np.int64], seed: int) -> tuple[Any, float, float]:
    """The SVM with the C that errs least on a fifth of the images, trained on all of them; that C; its error there."""
    from sklearn.model_selection import train_test_split
    from sklearn.svm import LinearSVC

    def machine(penalty: float, rows: NDArray[np.int64]) -> Any:
        return LinearSVC(C=penalty, random_state=seed, max_iter=10_000).fit(vectors[rows], labels[rows])

    everything = np.arange(len(labels))
    fit, held = train_test_split(everything, test_size=HELD_OUT, random_state=seed, stratify=labels)
    errors = {
        penalty: 100.0 * float((machine(penalty, fit).predict(vectors[held]) != labels[held]).mean())
        for penalty in PENALTIES
    }
    best = min(PENALTIES, key=lambda penalty: errors[penalty])
    return machine(best, everything), best, errors[best]


def _described(cv2: Any, store: Store, split: str, number: int) -> tuple[Array, Array]:
    """Root-SIFT (D, 128) of an image on the grid, and the places (D, 2) in [0, 1)."""
    grey = cv2.cvtColor(np.ascontiguousarray(store.images(split)[number : number + 1][0]), cv2.COLOR_RGB2GRAY)
    if grey.shape[0] > SIDE:
        grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    side = grey.shape[0]
    grid = range(STEP, side - STEP + 1, STEP)
    points = [cv2.KeyPoint(float(x), float(y), float(size), 0.0) for size in SIZES for y in grid for x in grid]
    points, found = cv2.SIFT_create().compute(grey, points)
    root = np.sqrt(found / np.maximum(found.sum(1, keepdims=True), 1e-6)).astype(np.float32)
    return root, np.array([point.pt for point in points], np.float32) / side


def _shown(numbers: NDArray[np.int64], words: str) -> Any:
    with ImageProgress(words, len(numbers)) as progress:
        for number in numbers.tolist():
            yield number
            progress.advance(1)


def _of_length_1(vector: NDArray[Any]) -> Array:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise UserError("the rivals of table 1 need OpenCV; pip install 'alexnet-lab[rivals]'") from None
    cv2.setRNGSeed(0)
    return cv2
