"""Abstaining: is the promise of a threshold kept on 200 random splits, and what does it cost?"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path

import numpy as np

from benchmarks.machine import threads
from benchmarks.networks import configured
from benchmarks.photos import SHARED
from benchmarks.tables import Cell, Table
from gallerist.evaluation.abstaining import FirstAnswers, fit
from gallerist.evaluation.risk_coverage import risk_coverage
from gallerist.evaluation.threshold import Promise
from gallerist.io.arrays import AnyArray, Booleans, Floats, Vectors

SPLITS = 200
RISKS = (0.05, 0.1, 0.2)
CONFIDENCE = 0.95
SIDE = 192
"""Pixels a side that pictures have for the network."""

KEPT = Path("results/benchmarks/vectors")
"""Vectors that were extracted once: they take minutes."""

NONE = "confusion_classes"


@dataclass(frozen=True, eq=False)
class Searched:
    """Queries of known classes, pictures that are none of them, and a gallery.

    distances: (q, g) of queries to the gallery, infinite to the query's own file. labels: (q,)
    and gallery: (g,), the classes, "" for nobody's answer. strangers: (n,) distances of the first
    answers to pictures of no class that the gallery has.
    """

    name: str
    distances: Vectors
    labels: AnyArray
    gallery: AnyArray
    strangers: Floats | None = None

    @cached_property
    def whole(self) -> FirstAnswers:
        """The first answers in the whole gallery."""
        return self.first(np.full(len(self.gallery), True))

    def first(self, kept: Booleans) -> FirstAnswers:
        """The first answers in the pictures that are kept of the gallery: (g,)."""
        near = np.where(kept, self.distances, inf)
        right = self.labels[:, None] == self.gallery
        nearest = near.argmin(axis=1)
        rows = np.arange(len(near))
        other = np.where(right, inf, near).min(axis=1)
        names = tuple(map(str, rows))
        return FirstAnswers(
            names, near[rows, nearest].astype(float), ~right[rows, nearest], other.astype(float)
        )


NOTHING, TAKEN_OUT = "nothing", "the query's class"
CLASSES, NEW_CLASSES = "five classes", "five classes, not fitted on"
STRANGERS, NEW_STRANGERS = "confusion images", "confusion images, not fitted on"


def measure(rounds: int, *, quick: bool = False) -> Table:
    """Fit thresholds on one half of the queries, and see what they do for the other half."""
    splits = 3 if quick else SPLITS * rounds
    rows: list[dict[str, Cell]] = []
    for searched in [_drawn()] if quick else _photos():
        there = searched.strangers is None
        absent = (CLASSES, NEW_CLASSES) if there else (STRANGERS, NEW_STRANGERS)
        for kind in (NOTHING, TAKEN_OUT, *absent):
            rows += [_row(searched, kind, risk, splits) for risk in RISKS]
    return Table(
        "abstaining",
        f"Thresholds that promise a risk with {CONFIDENCE:.0%} certainty, on {splits} splits",
        tuple(rows),
        (
            "fitted on one half of the queries, chosen at random; broken: share of all splits in "
            "which more answers to the other half are wrong than was promised",
            "absent: what the gallery lacks, of one half of the pictures; it is fitted on by "
            "taking the query's class out, or on one half of such pictures; where not fitted on, "
            "the promise's assumption does not hold",
            "coverage: share of the pictures that are there which is answered; absent answered: of "
            "the others; these and the risk are means over the splits with a threshold",
            f"EfficientNet-Lite2 with ImageNet weights, {SIDE} pixels, averaged maps, cosine",
        ),
    )


def _row(searched: Searched, kind: str, risk: float, splits: int) -> dict[str, Cell]:
    """What comes of one promise. kind: what the gallery lacks."""
    found = np.array([_split(searched, kind, risk, seed) for seed in range(splits)])
    fitted = found[~np.isnan(found[:, 0])]
    means = [*map(float, fitted.mean(axis=0))] if len(fitted) else [None] * 3
    return {
        "queries": searched.name,
        "absent": kind,
        "promised": risk,
        "with a threshold": len(fitted) / splits,
        "broken": float((fitted[:, 1] > risk).sum() / splits),
        **dict(zip(("coverage", "risk", "absent answered"), means, strict=True)),
    }


def _split(searched: Searched, kind: str, risk: float, seed: int) -> tuple[float, ...]:
    """Coverage, risk, share of absent pictures answered, of the half that is not fitted on.

    NaN where there is no threshold; the risk is 0 where nothing is answered.
    """
    random = np.random.default_rng(seed)
    first, absent = searched.whole, np.full(len(searched.labels), False)
    if kind in (CLASSES, NEW_CLASSES):
        classes = np.unique(searched.labels)
        chosen = random.choice(classes, len(classes) // 2, replace=False)
        absent = ~np.isin(searched.labels, chosen)
        first = searched.first(np.isin(searched.gallery, chosen))
    fitted, others = _halves(first, np.flatnonzero(~absent), random)
    gone = first.distances[absent] if searched.strangers is None else searched.strangers
    away = random.permutation(gone) if len(gone) else fitted.distances
    if kind in (CLASSES, STRANGERS):  # the pictures that are asked are as they are
        fitted = _with(fitted, away[len(away) // 2 :])
    taken_out = 0.5 if kind in (TAKEN_OUT, NEW_CLASSES, NEW_STRANGERS) else 0.0
    threshold = fit(fitted, Promise(risk, CONFIDENCE, taken_out), seed)
    if threshold.below is None:
        return (np.nan,) * 3
    if kind not in (NOTHING, TAKEN_OUT):
        others = replace(others, other=away[: len(away) // 2])
    share = 0.0 if kind == NOTHING else 0.5
    reached = risk_coverage(others, share, np.array([threshold.below])).figures()
    return reached["coverage"], reached.get("open risk", 0.0), reached["absent answered"]


def _halves(
    first: FirstAnswers, rows: AnyArray, random: np.random.Generator
) -> tuple[FirstAnswers, FirstAnswers]:
    mixed = random.permutation(rows)
    return _of(first, mixed[: len(rows) // 2]), _of(first, mixed[len(rows) // 2 :])


def _with(first: FirstAnswers, strangers: Floats) -> FirstAnswers:
    """As many queries as strangers, whatever is answered to these being wrong."""
    count = min(len(first.distances), len(strangers))
    asked, more = _of(first, np.arange(count)), strangers[:count]
    assert asked.other is not None
    return FirstAnswers(
        (*asked.originals, *(f"stranger {row}" for row in range(count))),
        np.concatenate([asked.distances, more]),
        np.concatenate([asked.wrong, np.full(count, True)]),
        np.concatenate([asked.other, more]),
    )


def _of(first: FirstAnswers, rows: AnyArray) -> FirstAnswers:
    assert first.other is not None
    names = tuple(first.originals[row] for row in rows)
    return FirstAnswers(names, first.distances[rows], first.wrong[rows], first.other[rows])


def _photos() -> Iterator[Searched]:
    """Monkeys, and the challenge: its queries and the gallery pictures that are of a class."""
    folder = SHARED / "data" / "monkeys10"
    parts = [folder / "training", folder / "validation/query", folder / "validation/gallery"]
    *queries, gallery = [_extracted(part) for part in parts]
    vectors = np.concatenate([each for each, _ in queries])
    paths = [path for _, each in queries for path in each]
    labels, of_gallery = (
        np.array([path.parent.name for path in each]) for each in (paths, gallery[1])
    )
    yield Searched("monkeys10", 1 - vectors @ gallery[0].T, labels, of_gallery)

    folder = SHARED / "data" / "challenge"
    truth = json.loads((folder / "ground_truth.json").read_text(encoding="utf-8"))
    found = {part: _extracted(folder / part) for part in ("query", "gallery")}
    of = {
        part: np.array([truth[part][path.name] for path in paths])
        for part, (_, paths) in found.items()
    }
    known = of["gallery"] != NONE
    near = 1 - found["gallery"][0] @ found["gallery"][0].T
    np.fill_diagonal(near, inf)
    distances = np.concatenate([1 - found["query"][0] @ found["gallery"][0].T, near[known]])
    yield Searched(
        "challenge",
        distances,
        np.concatenate([of["query"], of["gallery"][known]]),
        np.where(known, of["gallery"], ""),
        near[~known].min(axis=1).astype(float),
    )


def _extracted(folder: Path) -> tuple[Vectors, Sequence[Path]]:
    """The vectors of all pictures below a folder, and their paths in order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = KEPT / f"{'-'.join(folder.relative_to(SHARED).parts)}.npy"
    if not kept.is_file():
        vectors = _vectors(paths)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, vectors)
    return np.load(kept, allow_pickle=False), paths


def _vectors(paths: Sequence[Path]) -> Vectors:
    configured()
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.features.extractors import extract
    from gallerist.features.network import NetworkExtractor
    from gallerist.networks.architectures import Head, Transfer
    from gallerist.networks.weights import fetch
    from gallerist.training.loop import save

    with tempfile.TemporaryDirectory() as folder:
        model, preprocessing = Path(folder, "model.keras"), Path(folder, "preprocessing.json")
        weights = fetch("EfficientNetLite2", "imagenet", Path(folder, "lite2.weights.h5"))
        head = Head("standard", dropout=0, dropout_seed=0, l1=0, l2=0)
        network = Transfer("EfficientNetLite2", SIDE, "everything", "avg", head)
        save(network.build(10, weights.file, seed=99), model)
        Preprocessing(SIDE).write(preprocessing)
        extractor = NetworkExtractor(model, preprocessing, threads=threads())
        return extract(extractor, paths).vectors


def _drawn() -> Searched:
    """Points around ten centres, to see that it works."""
    random = np.random.default_rng(99)
    centres = random.normal(size=(10, 8))
    labels, gallery = np.repeat(np.arange(10), 60), np.repeat(np.arange(10), 20)
    points = [centres[each] + random.normal(0, 0.4, (len(each), 8)) for each in (labels, gallery)]
    distances = np.linalg.norm(points[0][:, None] - points[1], axis=2)
    return Searched("drawn", distances.astype(np.float32), labels, gallery)
