"""Extraction: from picture files to vectors of length 1."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import published
from benchmarks.machine import threads
from benchmarks.networks import SMALL, Measured, backbone_of, configured
from benchmarks.photos import photos
from benchmarks.rounds import Way, compared
from benchmarks.tables import Table


def measure(rounds: int, *, quick: bool = False) -> Table:
    """The published loop, one picture at a time, and ours."""
    where = configured()
    from gallerist.features.extractors import extract
    from gallerist.features.network import NetworkExtractor
    from gallerist.features.store import normalise

    measured = SMALL if quick else Measured()
    few, many = (2, 8) if quick else (32, 192)
    with ExitStack() as stack, photos(many) as pictures:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        extractor = NetworkExtractor(*measured.store(folder), threads=threads())
        theirs = published.feature_network(backbone_of(extractor.network))

        extract(extractor, pictures.paths[:32])  # makes it ready for many at once

        def ours() -> None:
            for vectors in extractor.batches(pictures.paths):
                normalise(vectors)  # which refuses what is not finite

        loop = "published: predict, one by one"
        against = {"times the published": loop}
        ways = {
            loop: Way(lambda: published.extract(theirs, pictures.paths[:few]), few, against),
            "Gallerist": Way(ours, many, against),
        }
        return compared(
            "extraction",
            f"Extraction with {measured.backbone} at {measured.image_size} pixels, {where}",
            ways,
            rounds,
            item=("picture", "pictures"),
            notes=(
                f"from files ({pictures.source}) to normalised vectors; random weights",
                f"the published way: {few} pictures a round; Gallerist: {many}, with "
                f"{extractor.engine_name}",
                "making the network ready is not counted",
            ),
        )
