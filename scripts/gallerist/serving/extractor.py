"""The extractor of an experiment, for any pictures: the one that made its gallery's vectors."""

from collections.abc import Mapping
from typing import Any, Unpack

from gallerist.data.decoding import MAX_PIXELS, Reading
from gallerist.features.extractors import Extractor
from gallerist.io.errors import UserError
from gallerist.workflow.experiments import Experiment, Experiments
from gallerist.workflow.results import Results, fusion_weights


def reading_of(config: Mapping[str, Any]) -> Reading:
    """How a complete configuration reads pictures."""
    images = config["dataset"]["images"]
    return {"max_pixels": images["max_pixels"], "profiles": images["profiles"]}


def extractor_of(
    results: Results,
    experiment: str,
    experiments: Experiments,
    *,
    threads: int,
    engine: Any = "auto",
    **reading: Unpack[Reading],
) -> Extractor:
    """Load what made an experiment's vectors, reduction included.

    threads: of processors. engine: of networks, see `inference.compile_exported`.
    reading: of pictures, where what made the vectors does not hold it itself.
    Raises UserError where one is missing, and as the extractors.
    """
    # Each kind is imported where it is used: a served model carries only the code that its
    # experiment needs.
    settings = experiments[experiment]
    extractor: Extractor
    if "fusion" in settings:
        from gallerist.features.fusion import Fusion

        how = {"threads": threads, "engine": engine, **reading}
        members = {name: extractor_of(results, name, experiments, **how) for name in settings["of"]}
        learned = settings["fusion"] == "weighted"
        extractor = Fusion.of(
            members, results.path(fusion_weights(experiment)) if learned else None
        )
    elif "network" in settings:
        from gallerist.features.network import NetworkExtractor
        from gallerist.features.views import Views

        network = results.path(Experiment.of(experiment, settings).network_files[0])
        extractor = NetworkExtractor(
            network,
            network.with_name("preprocessing.json"),
            threads=threads,
            engine=engine,
            views=Views(**settings.get("views") or {}),
        )
    elif settings.get("descriptor") == "given":
        raise UserError(f"{experiment} has vectors from a file, and none of a new picture")
    elif "encoding" in settings:  # of key points, by visual words
        from gallerist.features.vocabulary import Vocabulary, WordExtractor

        limit = reading.get("max_pixels", MAX_PIXELS)
        extractor = WordExtractor(
            Vocabulary.read(results.path(f"vocabularies/{experiment}.npz"), max_pixels=limit),
            settings["encoding"],
            square_root=settings["square_root"],
            threads=threads,
        )
    else:
        from gallerist.features.descriptors.extract import DescriptorExtractor
        from gallerist.settings.descriptors import read_descriptor

        extractor = DescriptorExtractor(read_descriptor(**settings), threads=threads, **reading)
    if settings.get("reduction"):
        from gallerist.features.reduction import Reduced, Reduction

        return Reduced(extractor, Reduction.read(results.path(f"reductions/{experiment}.npz")))
    return extractor
