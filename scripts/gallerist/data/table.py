"""Import of a table of pictures: one row a picture, or a part of one."""

import logging
import posixpath
from collections.abc import Iterable
from dataclasses import replace

from gallerist.data.decoding import Profiles
from gallerist.data.examining import Examined, Examiner, Problem
from gallerist.data.folders import remembered, status_of
from gallerist.data.importing import Import, manifest_of
from gallerist.data.table_rows import Row, Wrong, rows_of
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.io.row_store import RowStore
from gallerist.workflow.table_layout import read_table

logger = logging.getLogger("gallerist")


def import_table(
    path: PathLike,
    folder: str,
    *,
    part: str,
    min_side: int,
    max_pixels: int,
    threads: int = 1,
    profiles: Profiles = "apply",
    kept: RowStore | None = None,
    fingerprints: PathLike | None = None,
) -> Import:
    """List the pictures of one part of a table, by label, then by path, then by box.

    path: of the table; see `table_layout.read_table` for its columns, and which tables are refused.
    folder: that its paths start from. part: `originals` are those of training, and those without
    a part; there may be none of them.

    A row is skipped, with its reason and its line, where it names no file, has no label though the
    table has that column, has a box that is none or lies outside, stands twice, and as files are
    by `importing.import_folder`. The rest of the parameters, and order and content of what comes
    out, are as there. The original of a picture, unless it is named, is its whole file.
    """
    table = read_table(path)
    wrong: list[Wrong] = []
    rows = sorted(
        rows_of(table, folder, part, wrong),
        key=lambda row: (row.label, row.path, row.box or (), row.number),
    )
    problems = [Problem(each.path, "skipped", each.reason) for each in wrong]

    known = {} if kept is None or fingerprints is None else _known(rows, folder, fingerprints)
    examiner = Examiner(
        part=part, min_side=min_side, max_pixels=max_pixels, profiles=profiles, kept=kept
    )

    def one(row: Row) -> Examined:
        content = known.get(row.path, "")
        picture, problem = examiner.examine(row.path, row.label, row.box, content)
        if picture and row.original:
            picture = replace(picture, source_id=row.original)
        if problem:
            where = table.place(row.number)
            problem = replace(problem, reason=f"{problem.reason} ({where})")
        return picture, problem

    with examiner.keeping():
        manifest = manifest_of(one, rows, problems, threads)
    skipped = [problem for problem in problems if problem.severity == "skipped"]
    if not len(manifest) and (part != "originals" or skipped):
        listed = "".join(f"\n  {each.path}: {each.reason}" for each in sorted(skipped)[:5])
        raise UserError(f"{path} has no usable picture of the part {part}{listed}")
    logger.info("%s: %d pictures of %s, %d skipped", path, len(manifest), part, len(skipped))
    return Import(manifest, tuple(sorted(problems)))


def _known(rows: Iterable[Row], folder: str, fingerprints: PathLike) -> dict[str, str]:
    """Path -> SHA-256 of the file, of files that are as `table_fingerprint` has seen them."""
    names = {row.path: posixpath.relpath(row.path, folder) for row in rows}
    contents = remembered({name: status_of(path) for path, name in names.items()}, fingerprints)
    return {path: contents[name] for path, name in names.items() if name in contents}
