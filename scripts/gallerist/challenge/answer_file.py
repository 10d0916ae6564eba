"""The answer file of the unlabelled challenge: ten gallery pictures for each query, by file name.

The published form, `results.json`:

    {"groupname": "...", "images": {query file name: [ten gallery file names, best first]}}
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gallerist.data.folders import walk
from gallerist.data.formats import FORMAT_OF_SUFFIX
from gallerist.data.manifest import Manifest
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json, sha256_of_file, write_csv, write_json
from gallerist.search.ranking import Ranking

COLUMNS = ("query", "rank", "answer")

Answers = Mapping[str, Sequence[str]]
"""Query file name -> gallery file names, best first."""


def name_answers(
    ranking: Ranking, queries: Manifest, gallery: Manifest, k: int | None = None
) -> dict[str, tuple[str, ...]]:
    """A ranking with file names in place of ids, as answer files and ground truths have them.

    k: answers of each query of the manifest, of which none may have fewer; None for all there are.
    Raises UserError when a query has fewer, when two files of one part have the same name, and when
    the ranking is of other pictures than the manifests.
    """
    query_of, gallery_of = file_names(queries, "query"), file_names(gallery, "gallery")
    ranked = dict(zip(ranking.query_ids, ranking.answers, strict=True))
    _require_known(ranked, query_of, "query")
    named = {}
    for query, name in query_of.items():
        best = ranked.get(query, ())[:k]
        if k is not None and len(best) < k:
            raise UserError(
                f"the ranking has {len(best)} answers to {name}, and {k} are to be sent: "
                f"search the gallery again for at least {k} answers."
            )
        _require_known(best, gallery_of, "gallery")
        named[name] = tuple(gallery_of[answer] for answer in best)
    return named


def file_names(manifest: Manifest, part: str) -> dict[str, str]:
    """File name of each picture by its id. Raises UserError when two are the same."""
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
    return dict(zip(manifest.ids, path_of, strict=True))


def with_copies(answers: Answers, folder: PathLike, queries: Manifest) -> dict[str, Sequence[str]]:
    """Add the queries that are copies of others, file by file, with the same answers.

    folder: of the query files. queries: the manifest, which has every content once.
    """
    name_of = file_names(queries, "query")
    whole = dict(answers)
    for file in sorted(Path(folder).iterdir()):
        if file.is_file() and file.name not in answers:
            first = name_of.get(sha256_of_file(file)[:16])
            if first is not None:
                whole[file.name] = answers[first]
    return whole


def write_answers(path: PathLike, group: str, answers: Answers) -> None:
    """Write in the published form, sorted by query, so that equal answers are equal bytes."""
    images = {query: list(names) for query, names in sorted(answers.items())}
    write_json(path, {"groupname": group, "images": images})


def read_answers(path: PathLike) -> dict[str, tuple[str, ...]]:
    """Read what `write_answers` wrote, or another tool in the published form.

    Raises UserError naming the file when it has another form, or answers twice with one picture.
    `lint` finds and explains every further fault.
    """
    try:
        value = read_json(path, unique_keys=True)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no answer file: {error}") from error
    images = value.get("images") if isinstance(value, dict) else None
    if not isinstance(images, dict) or not images:
        raise UserError(f"{path} is no answer file: it has no answers under the key images")
    for query, names in images.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: the answers to {query} are no list of file names")
        if len(set(names)) < len(names):
            raise UserError(f"{path}: {query} has {max(names, key=names.count)} a second time")
    return {query: tuple(names) for query, names in images.items()}


def write_answer_table(path: PathLike, answers: Answers) -> None:
    """Write as CSV, for other tools: query, rank (from 1), answer; queries sorted by name."""
    rows = (
        (query, rank, name)
        for query, names in sorted(answers.items())
        for rank, name in enumerate(names, start=1)
    )
    write_csv(path, COLUMNS, rows)


def picture_names(folder: PathLike) -> list[str]:
    """File names of the pictures in a flat folder, sorted; hidden files and others are left out.

    A picture is what has the suffix of one. Raises UserError when there is none, when the folder
    cannot be listed, and when pictures lie in folders below, where names do not tell them apart.
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


def _require_known(ids: Iterable[str], names: Mapping[str, str], part: str) -> None:
    unknown = next((identity for identity in ids if identity not in names), None)
    if unknown is not None:
        raise UserError(
            f"the ranking names the {part} picture {unknown}, which the manifest of the {part} "
            "does not list: it was made for other pictures. Search again."
        )
