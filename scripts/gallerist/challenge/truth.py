"""The ground truth of the unlabelled challenge: the class of every file, by its name.

Two forms. JSON as published, with an optional part of Gallerist's own for the domains:

    {"gallery": {file name: class}, "query": {file name: class}, "domain": {query name: "sketch"}}

CSV with the columns file, part (gallery or query), label, and if wanted domain (photo, sketch, or
empty where it is unknown), a row a file.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.relevance import Relevance
from gallerist.io.errors import UserError, first_of
from gallerist.io.files import NotJson, PathLike, read_json, write_json

CONFUSION = "confusion_classes"
"""What the published form calls the class `DISTRACTOR`. Both names are read."""

PHOTO, SKETCH, UNKNOWN = "photo", "sketch", "unknown"
DOMAINS = (PHOTO, SKETCH, UNKNOWN)

COLUMNS = ("file", "part", "label")


@dataclass(frozen=True)
class Truth:
    """The class of every query and every gallery picture.

    query, gallery: file name -> class. `CONFUSION` becomes `DISTRACTOR`, which is relevant to no
        query, itself included. A class may be in the gallery only.
    domains: query name -> photo or sketch; of a query that is not there, the domain is unknown.

    The two folders are two: a query and a gallery picture of one name are different pictures.
    """

    query: Mapping[str, str]
    gallery: Mapping[str, str]
    domains: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name distractors as everywhere else; refuse what is empty, and domains of no query."""
        for part in ("query", "gallery"):
            labels = {
                name: DISTRACTOR if label == CONFUSION else label
                for name, label in getattr(self, part).items()
            }
            blank = [name for name, label in labels.items() if not label.strip()]
            if blank:
                raise UserError(f"{blank[0]} of the {part} has no class: write one, or {CONFUSION}")
            if not labels:
                raise UserError(f"there is no {part} picture in it")
            object.__setattr__(self, part, labels)
        for name, domain in self.domains.items():
            if name not in self.query:
                raise UserError(f"the domain of {name} is given, which is no query")
            if domain not in DOMAINS:
                raise UserError(
                    f"the domain of {name} is {domain!r}; a domain is one of {', '.join(DOMAINS)}"
                )

    @cached_property
    def relevance(self) -> Relevance:
        """Which gallery pictures are relevant to which queries."""
        return Relevance.of_classes(self.query, self.gallery, same_files=False)

    @property
    def answerable(self) -> tuple[str, ...]:
        """Names of the queries that have a relevant picture in the gallery, sorted."""
        return tuple(sorted(self.relevance.answerable))

    @property
    def distractors(self) -> int:
        """How many pictures of the gallery are distractors."""
        return list(self.gallery.values()).count(DISTRACTOR)

    def domain(self, query: str) -> str:
        """photo, sketch or unknown."""
        return self.domains.get(query, UNKNOWN)

    def write(self, path: PathLike) -> None:
        """Write as JSON in the published form, sorted by name, with the domains that are known."""
        value = {
            part: {
                name: CONFUSION if label == DISTRACTOR else label
                for name, label in sorted(labels.items())
            }
            for part, labels in (("gallery", self.gallery), ("query", self.query))
        }
        known = {name: own for name, own in sorted(self.domains.items()) if own != UNKNOWN}
        write_json(path, {**value, "domain": known} if known else value)

    @classmethod
    def read(cls, path: PathLike) -> "Truth":
        """Read a file of either form, chosen by its ending.

        Raises UserError naming the file, and for CSV the line, when it has another form, names a
        file twice, or leaves a class empty.
        """
        readers = {".json": _read_json, ".csv": _read_csv}
        reader = readers.get(Path(path).suffix.lower())
        if reader is None:
            raise UserError(f"{path}: a ground truth is a .json or a .csv file")
        try:
            return cls(*reader(Path(path)))
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, RecursionError, csv.Error) as error:
            raise UserError(f"{path} is not a ground truth: {error}.") from error


def match(
    truth: Truth, query_names: Iterable[str], gallery_names: Iterable[str]
) -> tuple[Truth, list[str]]:
    """Cut a ground truth to the pictures that were searched.

    query_names, gallery_names: file names, from the manifests: a picture that the import left out
    cannot be found by any ranking, and must not be missed.

    Returns it, and a sentence for each kind of picture that counts nowhere.

    A gallery picture that the truth lacks is not taken for a distractor: it may be relevant to any
    query. Raises UserError naming such pictures, and when no query or no gallery picture is left.
    """
    queries, gallery = set(query_names), set(gallery_names)
    unlabelled = sorted(gallery - set(truth.gallery))
    if unlabelled:
        raise UserError(
            f"the ground truth lacks {len(unlabelled)} of {len(gallery)} gallery pictures: "
            f"{first_of(unlabelled)}.\n  Is it the one of this gallery? If they are distractors, "
            f"add them with the class {CONFUSION}."
        )
    if not queries & set(truth.query) or not gallery:
        raise UserError(
            f"the ground truth knows none of the {len(queries)} queries, or the gallery of "
            f"{len(gallery)} pictures is empty: it is of other pictures."
        )
    cut = Truth(
        {name: label for name, label in truth.query.items() if name in queries},
        {name: label for name, label in truth.gallery.items() if name in gallery},
        {name: domain for name, domain in truth.domains.items() if name in queries},
    )
    kinds = (
        (set(truth.query) - queries, "queries of the ground truth are not among the pictures"),
        (
            set(truth.gallery) - gallery,
            "pictures of the ground truth are not in the gallery",
        ),
        (queries - set(truth.query), "queries are not in the ground truth, and are not graded"),
        (cut.relevance.excluded, "queries have no picture of their class in the gallery"),
    )
    return cut, [f"{len(each)} {what}: {first_of(sorted(each))}" for each, what in kinds if each]


Parts = tuple[dict[str, str], dict[str, str], dict[str, str]]


def _read_json(path: Path) -> Parts:
    try:
        value = read_json(path, unique_keys=True)
    except NotJson:
        raise UserError("it is not JSON: cut short, or damaged") from None
    if not isinstance(value, dict) or not {"gallery", "query"} <= set(value):
        raise UserError("it is no object with the keys gallery and query")
    strange = set(value) - {"gallery", "query", "domain"}
    if strange:
        raise UserError(f"its key {min(strange)} is none of gallery, query and domain")
    return _texts("query", value), _texts("gallery", value), _texts("domain", value)


def _texts(part: str, parts: dict[str, Any]) -> dict[str, str]:
    texts = parts.get(part, {})
    if not isinstance(texts, dict) or not all(isinstance(each, str) for each in texts.values()):
        raise UserError(f"{part} is not an object of file names and texts")
    return texts


def _read_csv(path: Path) -> Parts:
    parts: dict[str, dict[str, str]] = {"query": {}, "gallery": {}}
    domains: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a mark
        rows = csv.reader(file)
        header = tuple(next(rows, ()))
        if header not in (COLUMNS, (*COLUMNS, "domain")):
            raise UserError(f"its columns are not {', '.join(COLUMNS)} and, if wanted, domain")
        for cells in rows:
            where = f"line {rows.line_num}"
            if len(cells) != len(header):
                raise UserError(f"{where} has {len(cells)} cells, and there are {len(header)}")
            name, part, label, domain = (*cells, "")[:4]
            if part not in parts:
                raise UserError(f"{where}: the part {part!r} is neither query nor gallery")
            if name in parts[part]:
                raise UserError(f"{where}: {name} of the {part} stands in it twice")
            parts[part][name] = label
            if part == "query" and domain:
                domains[name] = domain
    return parts["query"], parts["gallery"], domains
