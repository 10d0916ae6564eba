"""One picture described as an experiment describes its gallery, and searched as it searches."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gallerist.features import FeatureMismatch, Features
from gallerist.files import PathLike, sha256_of_text
from gallerist.layout import Results
from gallerist.records import require_made

Settings = Mapping[str, Any]
"""An experiment of a complete configuration."""


class NotSearchable(ValueError):
    """A picture cannot be searched in the way in which the experiment ranks its gallery."""


def check_searchable(experiment: str, settings: Settings) -> None:
    """Raise NotSearchable unless one picture alone can be ranked as the experiment ranks."""
    if "fusion" in settings:
        members = ", ".join(settings["of"])
        raise NotSearchable(
            f"{experiment} combines other experiments: search with one of them ({members})"
        )
    for step in ("k_reciprocal", "geometric_verification"):
        if settings.get(step):
            raise NotSearchable(
                f"{experiment} orders its answers again by {step}, which the workflow does: "
                "ask for a query of the data set with --query"
            )


def describe_file(
    results: Results, experiment: str, settings: Settings, picture: PathLike, identifier: str,
    *, threads: int, max_pixels: int,
) -> Features:  # fmt: skip
    """Describe one picture file as the experiment's gallery was, reduction included.

    Raises images.BadImage naming the file, and layout.ResultMissing.
    """
    if "network" in settings:
        described = _by_network(results, experiment, settings, picture, identifier, threads)
    elif "encoding" in settings:  # of key points, by visual words
        described = _by_key_points(results, experiment, settings, picture, identifier)
    else:
        described = _by_descriptor(settings, picture, identifier, max_pixels)
    if not settings.get("reduction"):
        return described
    from gallerist.reduction import Reduction

    reduction = Reduction.read(results.path(f"reductions/{experiment}.npz"))
    return Features.of(
        reduction.apply(described.vectors),
        described.ids,
        sha256_of_text(f"{described.model} {reduction.sha256}"),
        described.preprocessing,
    )


def check_described_alike(query: Features, gallery: Features) -> None:
    """Raise FeatureMismatch unless what described the query described the gallery too."""
    if (query.model, query.preprocessing) != (gallery.model, gallery.preprocessing):
        raise FeatureMismatch("the gallery was described by another model: run the workflow again")


def _by_network(
    results: Results,
    experiment: str,
    settings: Settings,
    picture: PathLike,
    identifier: str,
    threads: int,
) -> Features:
    from gallerist.describer import Describer
    from gallerist.views import Views

    model = results.path(f"models/{experiment}/model.keras")
    require_made(model, results.path(f"models/{experiment}/training.record.json"))
    describer = Describer(
        model,
        results.path(f"models/{experiment}/preprocessing.json"),
        threads=threads,
        engine="tensorflow",  # for one picture it is ready soonest
        views=Views.of(settings.get("views")),
    )
    return Features.of(
        np.concatenate([*describer.vectors_of_pictures([picture])]),
        [identifier],
        describer.model_sha256,
        describer.preprocessing_sha256,
    )


def _by_descriptor(
    settings: Settings, picture: PathLike, identifier: str, max_pixels: int
) -> Features:
    from gallerist.picture_describer import describe_in_parallel, descriptor_settings, model_of
    from gallerist.preprocessing import Preprocessing

    name, chosen = descriptor_settings(settings)
    preprocessing = Preprocessing(settings["image_size"], max_pixels, settings["look"])
    batches = describe_in_parallel(name, chosen, [picture], preprocessing, threads=1)
    vectors = np.concatenate([*batches])
    return Features.of(vectors, [identifier], model_of(name, chosen), preprocessing.sha256)


def _by_key_points(
    results: Results, experiment: str, settings: Settings, picture: PathLike, identifier: str
) -> Features:
    from gallerist.vocabulary import Vocabulary, described, encoding_sha256

    vocabulary = Vocabulary.read(results.path(f"vocabularies/{experiment}.npz"))
    encoding, root = settings["encoding"], settings["square_root"]
    batches = described([picture], vocabulary, encoding=encoding, threads=1, square_root=root)
    return Features.of(
        np.concatenate([*batches]),
        [identifier],
        encoding_sha256(vocabulary, encoding, root),
        sha256_of_text(vocabulary.detector.to_json()),
    )
