"""The answer file of the unlabelled challenge: ten gallery pictures for each query, by file name.

The published form, `results.json`:

    {"groupname": "...", "images": {query file name: [ten gallery file names, best first]}}
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.data.decoding import FORMAT_OF_SUFFIX
from gallerist.data.folders import walk
from gallerist.data.manifest import Manifest
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file, write_csv, write_json
from gallerist.search.ranking import Ranking

COLUMNS = ("query", "rank", "answer")


@dataclass(frozen=True)
class Submission:
    """The answers of one group.

    group: the name the server knows the group by; not blank.
    answers: query file name -> gallery file names, best first.
    """

    group: str
    answers: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        """Refuse a blank name: the server could not tell whose answers these are."""
        if not self.group.strip():
            raise UserError("the group has no name: set the one the server knows it by.")

    @classmethod
    def from_ranking(
        cls,
        ranking: Ranking,
        query_manifest: Manifest,
        gallery_manifest: Manifest,
        group: str,
        k: int,
    ) -> "Submission":
        """The first k answers to every query of the manifest, ids replaced by file names.

        Raises UserError when two files of one part have the same name, when the ranking and
        the manifests are not of the same pictures, and when a query has fewer than k answers.
        """
        if k < 1:
            raise ValueError(f"k is {k}, and must be at least 1")
        query_of = _names(query_manifest, "query")
        gallery_of = _names(gallery_manifest, "gallery")
        ranked = dict(zip(ranking.query_ids, ranking.answers, strict=True))
        _refuse_strangers(ranked, query_of, "query")
        answers = {}
        for query, name in query_of.items():
            best = ranked.get(query, ())[:k]
            if len(best) < k:
                raise UserError(
                    f"the ranking has {len(best)} answers to {name}, and {k} are to be sent: "
                    f"search the gallery again for at least {k} answers."
                )
            _refuse_strangers(best, gallery_of, "gallery")
            answers[name] = tuple(gallery_of[answer] for answer in best)
        return cls(group, answers)

    def write(self, path: PathLike) -> None:
        """Write in the published form, whole or not at all.

        Queries are sorted by name, so that equal answers are equal bytes.
        """
        images = {query: list(answers) for query, answers in sorted(self.answers.items())}
        write_json(path, {"groupname": self.group, "images": images})

    def write_csv(self, path: PathLike) -> None:
        """Write as CSV, for other tools: query, rank (from 1), answer; queries sorted by name."""
        rows = (
            (query, rank, name)
            for query, answers in sorted(self.answers.items())
            for rank, name in enumerate(answers, start=1)
        )
        write_csv(path, COLUMNS, rows)

    @classmethod
    def read(cls, path: PathLike) -> "Submission":
        """Read a file of the published form, from whatever tool.

        Only the form is looked at; gallerist.challenge.lint finds everything that may be wrong.
        Raises UserError naming the file when it has another form.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            value = json.loads(text, object_pairs_hook=_unrepeated)
            if not isinstance(value, dict) or set(value) != {"groupname", "images"}:
                raise UserError("its keys are not groupname and images")
            group, images = value["groupname"], value["images"]
            if not isinstance(group, str) or not isinstance(images, dict):
                raise UserError("groupname is not text, or images is not an object")
            return cls(group, {query: _answers(query, images[query]) for query in images})
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path} is not in the form of results.json: {error}\n"
                '  The form is {"groupname": "...", "images": {query name: [gallery names]}}.'
            ) from error


def picture_names(folder: PathLike) -> list[str]:
    """File names of the pictures in a flat folder, sorted; hidden files and others are left out.

    A picture is what has the suffix of one. Raises UserError when there is none, or when pictures
    lie in folders below, where the names alone do not tell them apart; UserError when the folder
    cannot be listed.
    """
    pictures = [
        path for path in walk(folder).files if Path(path).suffix.lower() in FORMAT_OF_SUFFIX
    ]
    deeper = next((path for path in pictures if "/" in path), None)
    if deeper is not None:
        raise UserError(
            f"{folder} has folders of pictures, such as {deeper}: the server knows file names "
            "only, so name the flat folder of the challenge"
        )
    if not pictures:
        raise UserError(f"{folder} holds no picture: name the folder of the challenge's pictures")
    return pictures


def with_copies(submission: Submission, folder: PathLike, queries: Manifest) -> Submission:
    """Add the queries that are copies of others, file by file, with the same answers.

    folder: of the query files. queries: the manifest, which has every content once.
    """
    name_of = {picture.id: Path(picture.path).name for picture in queries}
    answers = dict(submission.answers)
    for file in sorted(Path(folder).iterdir()):
        if file.is_file() and file.name not in answers:
            first = name_of.get(sha256_of_file(file)[:16])
            if first is not None:
                answers[file.name] = submission.answers[first]
    return Submission(submission.group, answers)


def _names(manifest: Manifest, part: str) -> dict[str, str]:
    """File name of each picture, by id."""
    names: dict[str, str] = {}
    path_of: dict[str, str] = {}
    for picture in manifest:
        name = Path(picture.path).name
        if name in path_of:
            raise UserError(
                f"two files of the {part} have the name {name}: {path_of[name]} and "
                f"{picture.path}.\n  The server knows pictures by their names only: "
                "put them into one flat folder, where names are different, and import that."
            )
        path_of[name] = picture.path
        names[picture.id] = name
    return names


def _refuse_strangers(ids: Iterable[str], names: Mapping[str, str], part: str) -> None:
    stranger = next((identity for identity in ids if identity not in names), None)
    if stranger is not None:
        raise UserError(
            f"the ranking names the {part} picture {stranger}, which the manifest of the {part} "
            "does not list: it was made for other pictures. Search again."
        )


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that stands twice, Python would silently drop the first value."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise UserError("a key stands twice in one object")
    return value


def _answers(query: str, answers: Any) -> tuple[str, ...]:
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise UserError(f"the answers to {query!r} are not a list of texts")
    return tuple(answers)
