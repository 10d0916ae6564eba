"""Domains of pictures, such as photo and sketch, as a table of pictures names them.

They stand beside the manifests, and not in them: what describes or ranks pictures reads manifests,
and would be done again for a domain that was corrected.
"""

import hashlib
from collections.abc import Mapping

from gallerist.data.boxes import Box, with_box
from gallerist.data.manifest import Manifest
from gallerist.data.table_rows import rows_of
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_csv
from gallerist.io.table_file import read_text_table
from gallerist.workflow.table_layout import read_table

UNKNOWN = "unknown"
"""The domain of a picture whose row names none."""

COLUMNS = ("id", "domain")


def named_domains(table: PathLike, folder: str, part: str) -> dict[str, str]:
    """Path of a picture, with its box -> its domain, of the rows of a part that name one.

    folder: that the table's paths start from. part: see `table_rows.rows_of`. Raises UserError
    naming the line of a domain that is no line of text.
    """
    rows = read_table(table)
    domains = rows.column("domain")
    found = {}
    for row in rows_of(rows, folder, part):
        if domain := domains[row.number]:
            if not domain.isprintable():
                raise UserError(f"{rows.place(row.number)}: the domain {domain!r} is no word")
            found[row.picture] = domain
    return found


def domains_fingerprint(table: PathLike, folder: str, part: str) -> str:
    """SHA-256 of what `named_domains` finds: other columns, and the rows' order, do not matter."""
    found = sorted(named_domains(table, folder, part).items())
    return hashlib.sha256(repr(found).encode("utf-8", "surrogatepass")).hexdigest()


def domains_of(pictures: Manifest, named: Mapping[str, str]) -> dict[str, str]:
    """Picture id -> its domain, in the order of the manifest. named: by `named_domains`.

    A box that was the whole picture has left no trace in the manifest.
    """
    found = {}
    for each in pictures:
        whole = with_box(each.path, Box(0, 0, each.width, each.height))
        found[each.id] = named.get(each.path) or named.get(whole) or UNKNOWN
    return found


def write_domains(path: PathLike, domains: Mapping[str, str]) -> None:
    """Write as CSV: id, domain."""
    write_csv(path, COLUMNS, domains.items())


def read_domains(path: PathLike | None) -> dict[str, str]:
    """Read what `write_domains` wrote; nothing where there is no file."""
    if not path:
        return {}
    columns = map(read_text_table(path).column, COLUMNS)
    return dict(zip(*columns, strict=True))
