"""Any pictures described as an experiment describes its gallery, to be searched as it searches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.features.fusion import concatenated
from gallerist.features.store import FeatureMismatch, Features
from gallerist.io.files import PathLike, canonical_json, read_json, sha256_of_text
from gallerist.workflow.experiments import Experiments, Settings
from gallerist.workflow.results import Results

Describe = Callable[[Sequence[PathLike], Sequence[str]], Features]
"""From picture files and their ids to their vectors. Not for several threads at once."""


@dataclass(frozen=True)
class Means:
    """With what pictures are described.

    threads: of processors. max_pixels: larger pictures are refused. engine: of networks, see
    `engine.compile_network`; "tensorflow" is ready soonest, "auto" is quicker from then on.
    """

    threads: int
    max_pixels: int
    engine: Any = "tensorflow"


def describer_of(
    results: Results, experiment: str, experiments: Experiments, means: Means
) -> Describe:
    """Load what describes an experiment's pictures, reduction included, to describe any others.

    Raises UserError, and as `describer.Describer`; the function it returns raises
    images.BadImage naming the file that is no picture.
    """
    settings = experiments[experiment]
    describe = _kind(results, experiment, experiments, means)
    if not settings.get("reduction"):
        return describe
    from gallerist.features.reduction import Reduction

    reduction = Reduction.read(results.path(f"reductions/{experiment}.npz"))

    def reduced(pictures: Sequence[PathLike], ids: Sequence[str]) -> Features:
        described = describe(pictures, ids)
        return Features.of(
            reduction.apply(described.vectors),
            described.ids,
            sha256_of_text(f"{described.model} {reduction.sha256}"),
            described.preprocessing,
        )

    return reduced


def check_described_alike(query: Features, gallery: Features) -> None:
    """Raise FeatureMismatch unless what described the query described the gallery too."""
    if (query.model, query.preprocessing) != (gallery.model, gallery.preprocessing):
        raise FeatureMismatch("the gallery was described by another model: run the workflow again")


def joined(members: Sequence[Features], weights: Sequence[float]) -> Features:
    """The vectors of several experiments side by side: see `fusion.concatenated`.

    members: of the same pictures in the same order. weights: one a member.
    """
    first = members[0]
    origins = [(each.model, each.preprocessing) for each in members]
    blocks: npt.NDArray[Any]
    # One alone keeps its norms, so that it can be searched by Euclidean distance.
    if len(members) == 1:
        blocks = first.norms[:, None] * first.vectors
    else:
        batches = concatenated([each.batches(first.ids) for each in members], weights)
        blocks = np.concatenate([*batches])
    return Features.of(
        blocks,
        first.ids,
        sha256_of_text(canonical_json([origins, list(weights)])),
        sha256_of_text(canonical_json([each.preprocessing for each in members])),
    )


def _kind(results: Results, experiment: str, experiments: Experiments, means: Means) -> Describe:
    settings = experiments[experiment]
    if "fusion" in settings:
        return _by_members(results, experiment, experiments, means)
    if "network" in settings:
        return _by_network(results, experiment, settings, means)
    if "encoding" in settings:  # of key points, by visual words
        return _by_key_points(results, experiment, settings, means)
    return _by_descriptor(settings, means)


def _by_members(
    results: Results, experiment: str, experiments: Experiments, means: Means
) -> Describe:
    names = experiments[experiment]["of"]
    weighted = experiments[experiment]["fusion"] == "weighted"
    learned = read_json(results.path(f"fusions/{experiment}.json")) if weighted else {}
    weights = [float(learned.get(name, 1.0)) for name in names]
    members = [describer_of(results, name, experiments, means) for name in names]

    def describe(pictures: Sequence[PathLike], ids: Sequence[str]) -> Features:
        return joined([member(pictures, ids) for member in members], weights)

    return describe


def _by_network(results: Results, experiment: str, settings: Settings, means: Means) -> Describe:
    from gallerist.features.network import Describer
    from gallerist.features.views import Views

    model = results.path(f"models/{experiment}/model.keras")
    describer = Describer(
        model,
        results.path(f"models/{experiment}/preprocessing.json"),
        threads=means.threads,
        engine=means.engine,
        views=Views.of(settings.get("views")),
    )

    def describe(pictures: Sequence[PathLike], ids: Sequence[str]) -> Features:
        return Features.of(
            np.concatenate([*describer.vectors_of_pictures(pictures)]),
            ids,
            describer.model_sha256,
            describer.preprocessing_sha256,
        )

    return describe


def _by_descriptor(settings: Settings, means: Means) -> Describe:
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.features.descriptors.extract import (
        describe_in_parallel,
        descriptor_settings,
        model_of,
    )

    name, chosen = descriptor_settings(settings)
    preprocessing = Preprocessing(settings["image_size"], means.max_pixels, settings["look"])

    def describe(pictures: Sequence[PathLike], ids: Sequence[str]) -> Features:
        batches = describe_in_parallel(name, chosen, pictures, preprocessing, threads=means.threads)
        vectors = np.concatenate([*batches])
        return Features.of(vectors, ids, model_of(name, chosen), preprocessing.sha256)

    return describe


def _by_key_points(results: Results, experiment: str, settings: Settings, means: Means) -> Describe:
    from gallerist.features.vocabulary import Vocabulary, described, encoding_sha256

    vocabulary = Vocabulary.read(results.path(f"vocabularies/{experiment}.npz"))
    encoding, root = settings["encoding"], settings["square_root"]

    def describe(pictures: Sequence[PathLike], ids: Sequence[str]) -> Features:
        batches = described(
            pictures, vocabulary, encoding=encoding, threads=means.threads, square_root=root
        )
        return Features.of(
            np.concatenate([*batches]),
            ids,
            encoding_sha256(vocabulary, encoding, root),
            sha256_of_text(vocabulary.detector.to_json()),
        )

    return describe
