"""Shorter or better scaled feature vectors, by a transformation fitted on training pictures only.

scikit-learn fits; what it found is kept as a mean, components and a scale, so that a file of plain
numbers is the whole transformation and no fitted object has to be pickled.
"""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gallerist.features.extractors import Extractor, features_of
from gallerist.features.store import Features
from gallerist.io.arrays import AnyArray, Booleans, Floats, Indices, Vectors
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, replacing, sha256_of_text

logger = logging.getLogger("gallerist")

Method = Literal["standardise", "pca", "pca_whitening", "random_projection"]
METHODS: tuple[Method, ...] = get_args(Method)
DOMAIN_CENTRING = "domain_centring"
"""The one that needs to know which training pictures are sketches: `centre_domains` fits it."""

SIDE = 4096
"""Largest matrix whose eigenvectors are looked for without need: 128 MB of float64."""

FIT_CELLS = 100_000_000
"""Elements that principal components of vectors up to SIDE long are fitted on: 800 MB of float64.
Up to a length of 2048 that is 48,000 pictures or more."""

ROWS = 1024
COLUMNS = 4096
"""Vectors, and elements of each, that are converted to float64 at once: 32 MB."""

NOTHING = 1e-12
"""A component of no more variance is rounding: feature vectors are of length 1, and all elements of
a vector together are rounded to float32 with a variance of about 1e-15."""


@dataclass(frozen=True)
class Reduction:
    """A fitted transformation: x -> components (x - mean) / scale.

    method: what fitted it. mean: (d,) float64. components: (k, d) float32, or None for the
    identity (standardise). scale: (k,) float32, nowhere 0.
    sketch_mean: (d,) float64, taken from vectors that are nearer to it than to the mean; or None.
    """

    method: str
    mean: Floats
    components: Vectors | None
    scale: Vectors
    sketch_mean: Floats | None = None

    @property
    def length(self) -> int:
        """How long the reduced vectors are."""
        return len(self.scale)

    @property
    def sha256(self) -> str:
        """Identity of the transformation: vectors reduced by different ones are not comparable."""
        digest = hashlib.sha256()
        for name, array in self._arrays().items():
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def apply(self, rows: Vectors) -> Vectors:
        """Transform (n, d) feature vectors: (n, k) float32, not yet of length 1.

        A row of zeros is a picture without content, not a point of the space: it stays zeros,
        where the formula would move it to minus the mean, near to other pictures.

        Computed in float64 by one thread of the BLAS, because the last bits of a product depend on
        how many share it. Memory beyond argument and result: some 300 MB for k up to 4096.
        Raises UserError when the vectors have another length than those it was fitted on.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise UserError(
                f"vectors of shape {rows.shape} do not fit a reduction of vectors of length "
                f"{len(self.mean)}: it was fitted on the features of another experiment"
            )
        reduced = np.empty((len(rows), self.length), np.float32)
        step = ROWS if self.components is not None else _whole_rows(rows.shape[1])
        for part in _slices(len(rows), step):
            block = rows[part]
            with threadpool_limits(1, user_api="blas"):
                found = self._project(block) / self.scale
            found[~block.any(axis=1)] = 0
            reduced[part] = found
        return reduced

    def _project(self, block: Vectors) -> Floats:
        if self.components is None:
            return block - self._mean_for(block)
        total = np.zeros((len(block), self.length))
        for columns in _slices(block.shape[1], COLUMNS):
            centred = block[:, columns] - self.mean[columns]
            total += centred @ self.components[:, columns].T.astype(np.float64)
        return total

    def _mean_for(self, block: Vectors) -> Floats:
        """The mean; or (n, d), of each row the nearer one of the photos' and the sketches'."""
        if self.sketch_mean is None:
            return self.mean
        to_sketches, to_photos = (
            np.square(block - each).sum(axis=1) for each in (self.sketch_mean, self.mean)
        )
        nearer = (to_sketches < to_photos)[:, np.newaxis]
        return np.asarray(np.where(nearer, self.sketch_mean, self.mean))

    def _arrays(self) -> dict[str, AnyArray]:
        arrays: dict[str, AnyArray] = {
            "method": np.array(self.method),
            "mean": self.mean,
            "scale": self.scale,
        }
        optional = {"components": self.components, "sketch_mean": self.sketch_mean}
        return {**arrays, **{name: each for name, each in optional.items() if each is not None}}

    def write(self, path: PathLike) -> None:
        """Store as a `.npz` of plain arrays, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **self._arrays())

    @classmethod
    def read(cls, path: PathLike) -> "Reduction":
        """Read what `write` stored, bit by bit; raises UserError when it is something else."""
        try:
            with Path(path).open("rb") as stored, np.load(stored, allow_pickle=False) as file:
                components, sketch_mean = (
                    file[name] if name in file.files else None
                    for name in ("components", "sketch_mean")
                )
                method = str(file["method"])
                return cls(method, file["mean"], components, file["scale"], sketch_mean)
        except Exception as error:  # NumPy raises everything from TokenError to BadZipFile
            raise UserError(
                f"{path}: this is not a stored reduction ({error}): remove it, and run again"
            ) from error


class Reduced:
    """Vectors of others, reduced: see `extractors.Extractor`."""

    def __init__(self, source: Extractor | Features, reduction: Reduction) -> None:
        """source: with vectors as long as those that the reduction was fitted on."""
        self._source, self._reduction = source, reduction
        self.model = sha256_of_text(f"{source.model} {reduction.sha256}")
        self.preprocessing, self.length = source.preprocessing, reduction.length

    def batches(self, pictures: Sequence[PathLike]) -> Iterator[Vectors]:
        """See `Reduction.apply`. pictures: ids where the source is vectors, else files."""
        vectors = features_of(self._source, pictures)
        return map(self._reduction.apply, vectors.batches([os.fspath(each) for each in pictures]))


def fit(method: Method, dimensions: int | None, training: Vectors, seed: int) -> Reduction:
    """Fit a reduction on training pictures; never show it the pictures that are searched.

    dimensions: length of the reduced vectors; None for standardise, which keeps the length.
    training: (n, d) float32, perhaps mapped from a file. Rows of zeros are left out.

    standardise: every element gets mean 0 and variance 1 (an element that never varies: 1 as its
    scale). pca: projection on the `dimensions` orthonormal directions of greatest variance.
    pca_whitening: these, each divided by its standard deviation (Jegou and Chum, Negative evidences
    and co-occurrences in image retrieval: the benefit of PCA and whitening, 2012).
    random_projection: onto Gaussian directions drawn with `seed`, which keep distances to a factor
    of about 1 ± sqrt(8 ln(n) / dimensions) (Johnson and Lindenstrauss, 1984); there is no mean.

    Memory beyond the argument: 1.5 GB at most for up to 512 dimensions of 100,352 elements, and 16
    bytes more for every further element of a component.
    Principal components are found exactly, in float64, from the smaller of the (d, d) covariance
    and the (n, n) inner products. Where there are too many pictures for both (see SIDE, FIT_CELLS),
    a sample drawn with `seed` is taken, and logged. One thread of the BLAS works, because the last
    bits depend on how many do: 41 s for 512 components of 3000 vectors of 100,352 elements. The
    signs are those of scikit-learn's `svd_flip`: the greatest element of each is positive.

    Raises UserError when the training pictures cannot give that many dimensions.
    """
    kept = _rows_with_content(training)
    _check_dimensions(method, dimensions, len(kept), training.shape[1])
    if dimensions is None:
        return _standardise(training, kept)
    if method == "random_projection":
        return _random_projection(dimensions, training, seed)
    import sklearn.decomposition  # noqa: F401  # only a library that is loaded can be limited

    with threadpool_limits(1, user_api="blas"):
        return _principal_components(method, dimensions, training, kept, seed)


def centre_domains(training: Vectors, sketches: Booleans) -> Reduction:
    """Take from photos the mean of the training photos, and from sketches that of the sketches.

    training: (n, d) float32; rows of zeros are left out. sketches: (n,), which rows are sketches.

    To a network, two sketches of anything are nearer to each other than a sketch to a photo of the
    same. What all sketches have in common and all photos lack goes with the means. That is the
    shift of the first moment in domain adaptation (B. Sun, J. Feng, K. Saenko, Return of
    Frustratingly Easy Domain Adaptation, 2016, aligns the second one too). Which of the two a
    vector is, the nearer mean decides, so that a query needs no label and no picture.

    Raises UserError when there are no photos, or no sketches, with content.
    """
    kept = _rows_with_content(training)
    of_sketches, of_photos = kept[sketches[kept]], kept[~sketches[kept]]
    for rows, name in ((of_sketches, "sketch"), (of_photos, "photo")):
        if not len(rows):
            raise UserError(
                f"reduction {DOMAIN_CENTRING}: no {name} with content is among the {len(sketches)} "
                "training pictures. Add some, or switch the reduction off."
            )
    photo_mean, sketch_mean = (
        np.asarray(training[rows].mean(axis=0, dtype=np.float64))
        for rows in (of_photos, of_sketches)
    )
    scale = np.ones(training.shape[1], np.float32)
    return Reduction(DOMAIN_CENTRING, photo_mean, None, scale, sketch_mean)


def _rows_with_content(training: Vectors) -> Indices:
    parts = [training[rows].any(axis=1) for rows in _slices(len(training), ROWS)]
    return np.flatnonzero(np.concatenate(parts)) if parts else np.empty(0, np.intp)


def _check_dimensions(method: str, dimensions: int | None, pictures: int, length: int) -> None:
    if method == "standardise":
        if pictures < 2:
            raise UserError(
                f"reduction standardise needs 2 training pictures with content; there are "
                f"{pictures}. Add training pictures, or switch the reduction off."
            )
        return
    assert dimensions is not None, "the configuration is not completed"
    if dimensions > length:
        raise UserError(
            f"reduction {method} to {dimensions} dimensions: the feature vectors have only "
            f"{length}. Set dimensions to {length} or fewer."
        )
    # The mean takes one: n points lie in a space of n - 1 dimensions about it.
    if method != "random_projection" and dimensions > pictures - 1:
        way_out = f"Set dimensions to {pictures - 1} or fewer, or add" if pictures > 1 else "Add"
        raise UserError(
            f"reduction {method} to {dimensions} dimensions needs more than {dimensions} training "
            f"pictures with content; there are {pictures}. {way_out} training pictures "
            "(random_projection needs none)."
        )


def _standardise(training: Vectors, kept: Indices) -> Reduction:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for part in _slices(len(kept), _whole_rows(training.shape[1])):
        scaler.partial_fit(training[kept[part]].astype(np.float64))
    return Reduction("standardise", scaler.mean_, None, scaler.scale_.astype(np.float32))


def _random_projection(dimensions: int, training: Vectors, seed: int) -> Reduction:
    from sklearn.random_projection import GaussianRandomProjection

    length = training.shape[1]
    projection = GaussianRandomProjection(dimensions, random_state=seed)
    projection.fit(np.broadcast_to(np.float32(0), (1, length)))  # only the length is looked at
    components = projection.components_.astype(np.float32)
    scale = np.ones(dimensions, np.float32)
    return Reduction("random_projection", np.zeros(length), components, scale)


def _principal_components(
    method: str, dimensions: int, training: Vectors, kept: Indices, seed: int
) -> Reduction:
    kept = _sample(kept, training.shape[1], dimensions, seed)
    of_few = len(kept) < training.shape[1]
    mean, components, variances = (_dual_pca if of_few else _primal_pca)(training, kept, dimensions)
    rank = int((variances > NOTHING).sum())
    if rank < dimensions:
        way_out = f"Set dimensions to {rank} or fewer, or add" if rank else "Add"
        raise UserError(
            f"reduction {method} to {dimensions} dimensions: the {len(kept)} training pictures "
            f"differ in only {rank} directions, as copies of one picture do. {way_out} other "
            "training pictures."
        )
    scale = np.sqrt(variances) if method == "pca_whitening" else np.ones(dimensions)
    return Reduction(method, mean, components.astype(np.float32), scale.astype(np.float32))


def _sample(kept: Indices, length: int, dimensions: int, seed: int) -> Indices:
    """As many of the rows as fit the memory, in their order; always more than `dimensions`."""
    most = max(FIT_CELLS // length if length <= SIDE else SIDE, dimensions + 1)
    if len(kept) <= most:
        return kept
    logger.warning(
        "principal components are fitted on a sample of %d of %d training pictures",
        most,
        len(kept),
    )
    return np.sort(np.random.default_rng(seed).choice(kept, most, replace=False))


def _primal_pca(training: Vectors, kept: Indices, dimensions: int) -> tuple[Floats, Floats, Floats]:
    """From the covariance: mean (d,), components (k, d), variances (k,), greatest first."""
    from sklearn.decomposition import PCA

    pca = PCA(dimensions, svd_solver="covariance_eigh", copy=False)
    with np.errstate(invalid="ignore"):  # pictures all alike, which the caller refuses
        pca.fit(training[kept].astype(np.float64))
    return pca.mean_, pca.components_, pca.explained_variance_


def _dual_pca(training: Vectors, kept: Indices, dimensions: int) -> tuple[Floats, Vectors, Floats]:
    """The same from inner products, when there are fewer vectors than elements.

    PCA is kernel PCA with the linear kernel: of the centred rows X, the eigenvectors u of X X' with
    eigenvalues e give the components X' u / sqrt(e), whose variances are e / (n - 1). (Schoelkopf,
    Smola and Mueller, Nonlinear component analysis as a kernel eigenvalue problem, 1998.)
    """
    from sklearn.decomposition import KernelPCA
    from sklearn.utils.extmath import svd_flip

    length = training.shape[1]
    mean = np.empty(length)
    products = np.zeros((len(kept), len(kept)))
    for columns in _slices(length, COLUMNS):
        part = training[:, columns][kept].astype(np.float64)
        mean[columns] = part.mean(axis=0)
        part -= mean[columns]
        products += part @ part.T
    kernel = KernelPCA(dimensions, kernel="precomputed", eigen_solver="dense", copy_X=False).fit(
        products
    )
    found = kernel.eigenvalues_
    # A component without variance is refused by the caller; it must not divide by 0 before.
    weights = (kernel.eigenvectors_ / np.sqrt(np.where(found > 0, found, 1.0))).T
    components = np.empty((dimensions, length), np.float32)
    for columns in _slices(length, COLUMNS):
        part = training[:, columns][kept].astype(np.float64)
        components[:, columns] = weights @ (part - mean[columns])
    _, components = svd_flip(None, components, u_based_decision=False)
    return mean, components, found / (len(kept) - 1)


def _whole_rows(length: int) -> int:
    return max(1, ROWS * COLUMNS // max(1, length))


def _slices(count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, count, step))
