"""Whether a capsule is whole, and every cell of its comparison what its rankings give.

It needs numpy and scipy, and no more of the library than lies in every capsule: a capsule runs this
module itself when Python runs it.
"""

import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gallerist.capsule.contents import (
    ABOUT,
    COMPARISON,
    CONTENTS,
    DECIMALS,
    FORMAT,
    MAX_BYTES,
    STATED,
    TRUTH,
    Protocol,
    digest_of,
    has_many_digits,
    ranking_name,
    read_rows,
    read_truth,
    rounded,
    table_names,
    without_paths,
)
from gallerist.capsule.recomputation import (
    Recomputed,
    compare_again,
    evaluate_again,
    faults_of_ranking,
)
from gallerist.data.archive import unpack
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json, sha256_of_file

DAMAGE = (ValueError, LookupError, TypeError, ArithmeticError, OSError)
"""What a file that somebody changed can make of the evaluation."""

_ROUNDING = 0.5 * 10**-DECIMALS + 1e-12
"""Of a number that the capsule states with so many decimals, and of sums on other processors."""


@dataclass(frozen=True)
class Disagreement:
    """Something that a capsule states, and what was found instead.

    file: its name. place: the line, with what names its row, and the column; or empty. how: what
    was done to find it.
    """

    file: str
    stated: str
    found: str
    place: str = ""
    how: str = "found"

    def __str__(self) -> str:
        place = f", {self.place}" if self.place else ""
        stated, found = self.stated or "nothing", self.found or "nothing"
        return f"{self.file}{place}: stated {stated}, {self.how} {found}"


@dataclass
class Verdict:
    """What a verification found.

    digest: of the capsule, by which it is cited. altered: files that are not those of the list.
    wrong: what the recomputation does not agree with. recomputed, stated: cells that agree, and
    those that no ranking can tell, which agree with experiments.json. about: as about.json says.
    """

    digest: str = ""
    altered: list[Disagreement] = field(default_factory=list)
    wrong: list[Disagreement] = field(default_factory=list)
    recomputed: int = 0
    stated: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether all agrees, and something was compared at all."""
        return not self.altered and not self.wrong and self.recomputed > 0

    def lines(self) -> Iterator[str]:
        """What a reader is told: a line for everything that does not agree, then the sum.

        All of it may come from the capsule: what a terminal would obey is shown as "?".
        """
        for line in self._lines():
            yield "".join(each if each.isprintable() else "?" for each in line)

    def _lines(self) -> Iterator[str]:
        yield from map(str, [*self.altered, *self.wrong])
        yield f"{self.about.get('dataset', 'unknown')}: {_origin(self.about)}"
        yield f"capsule sha256:{self.digest}"
        yield f"{self.recomputed} cells recomputed from rankings and truth agree"
        yield f"{self.stated} cells are stated, not recomputed: {', '.join(STATED)}"
        count = len(self.altered) + len(self.wrong)
        yield "all agrees" if self.agrees else f"{count} things do not agree"


def verify(capsule: PathLike) -> Verdict:
    """Check the files of a capsule against its list, and recompute its tables.

    The code in it is not run. Raises UserError for what is no capsule at all: no archive, one that
    is damaged, too large or leads out of its folder, or one without a list of its files.
    """
    with tempfile.TemporaryDirectory(prefix="capsule-") as temporary:
        folder = Path(temporary, "capsule")
        if Path(capsule).is_file() and not zipfile.is_zipfile(capsule):
            raise UserError(f"{capsule} is no capsule: it is no zip, or only a part of one")
        unpack(capsule, folder, max_bytes=MAX_BYTES, max_files=100_000)
        verdict = Verdict()
        _check_files(folder, capsule, verdict)
        try:
            verdict.about = dict(read_json(folder / ABOUT))
            _check_tables(folder, Path(temporary, "recomputed"), verdict)
        except DAMAGE as error:
            verdict.wrong.append(_damage("the capsule", error))
        return verdict


def main(capsule: PathLike) -> int:
    """Verify a capsule and print the verdict; 0 when all agrees."""
    try:
        verdict = verify(capsule)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(verdict.lines()))
    return 0 if verdict.agrees else 1


def _check_files(folder: Path, capsule: PathLike, verdict: Verdict) -> None:
    """Compare what is there with the list of hashes, and the list with its own digest."""
    try:
        contents = read_json(folder / CONTENTS, unique_keys=True)
        if contents["format"] != FORMAT:
            raise UserError(
                f"{capsule} has the format {contents['format']}; this Gallerist reads {FORMAT}"
            )
        listed, digest = dict(contents["files"]), str(contents["digest"])
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"{capsule} is no capsule: its {CONTENTS} cannot be read") from error
    found = {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / CONTENTS
    }
    for name in sorted({*listed, *found}):
        if listed.get(name) != found.get(name):
            stated, there = listed.get(name, "no such file"), found.get(name, "no such file")
            verdict.altered.append(Disagreement(name, str(stated), there, "SHA-256"))
    verdict.digest = digest_of(listed)
    if verdict.digest != digest:
        verdict.altered.append(Disagreement(CONTENTS, digest, verdict.digest, "digest"))


def _check_tables(folder: Path, target: Path, verdict: Verdict) -> None:
    protocol = Protocol.read(folder)
    truth = read_truth(folder)
    for part, manifest in zip(("gallery", "query"), truth, strict=True):
        stated = getattr(protocol, part)
        if manifest.digest != stated:
            verdict.wrong.append(Disagreement(TRUTH, stated, manifest.digest, f"digest of {part}"))
    found: dict[str, Recomputed] = {}
    for experiment in protocol.experiments:
        try:
            _check_ranking(folder, experiment, verdict)
            found[experiment] = evaluate_again(folder, experiment, protocol, truth, target)
        except DAMAGE as error:
            verdict.wrong.append(_damage(ranking_name(experiment), error))
    if len(found) == len(protocol.experiments):
        try:
            compare_again(folder, found, protocol, target)
        except DAMAGE as error:
            verdict.wrong.append(_damage(COMPARISON, error))
    for name, keys in table_names(protocol.experiments).items():
        if (target / name).exists():
            _compare(folder, target, name, keys, verdict)
        else:
            verdict.wrong.append(Disagreement(name, "a table", "that it cannot be recomputed"))


def _check_ranking(folder: Path, experiment: str, verdict: Verdict) -> None:
    name = ranking_name(experiment)
    for line, column, stated, wanted in faults_of_ranking(folder / name):
        place = f"line {line}, column {column}"
        verdict.wrong.append(Disagreement(name, stated, wanted, place))


def _compare(folder: Path, target: Path, name: str, keys: int, verdict: Verdict) -> None:
    """Compare a table cell by cell with the recomputed one."""
    try:
        stated = read_rows(folder / name)
    except UserError as error:
        verdict.wrong.append(_damage(name, error))
        return
    found = without_paths(read_rows(target / name))
    if stated[0] != found[0] or len(stated) != len(found):
        shapes = [f"{len(rows) - 1} rows of {', '.join(rows[0])}" for rows in (stated, found)]
        verdict.wrong.append(Disagreement(name, *shapes))
        return
    for line, (row, again) in enumerate(zip(stated[1:], found[1:], strict=True), start=2):
        place = f"line {line} ({', '.join(again[:keys])})"
        if len(row) != len(again):
            verdict.wrong.append(Disagreement(name, f"{len(row)} cells", f"{len(again)}", place))
            continue
        for column, cell, recomputed in zip(found[0], row, again, strict=True):
            if not _agree(cell, recomputed):
                where = f"{place}, column {column}"
                value = rounded(recomputed)
                verdict.wrong.append(Disagreement(name, cell, value, where, "recomputed"))
            elif name == COMPARISON and column in STATED:
                verdict.stated += 1
            else:
                verdict.recomputed += 1


def _agree(stated: str, recomputed: str) -> bool:
    """Whether a cell is the recomputed one, or its value rounded as capsules do.

    stated has to be spelled as a capsule spells it, so that no further digit passes.
    """
    if stated in (recomputed, rounded(recomputed)):
        return True
    if not has_many_digits(recomputed):
        return False
    try:
        value = float(stated)
    except ValueError:
        return False
    return repr(round(value, DECIMALS)) == stated and abs(value - float(recomputed)) <= _ROUNDING


def _damage(file: str, error: Exception) -> Disagreement:
    reason = str(error) if isinstance(error, ValueError) else repr(error)
    return Disagreement(file, "results", f"that it cannot be evaluated: {reason}")


def _origin(about: Mapping[str, Any]) -> str:
    computed = about.get("computed")
    if not isinstance(computed, Mapping):
        return "its origin is unknown"
    versions = computed.get("versions")
    version = versions.get("gallerist") if isinstance(versions, Mapping) else None
    changed = ", with changes" if computed.get("changed") else ""
    commit = computed.get("commit") or "unknown"
    return f"compared by Gallerist {version} (commit {commit}{changed}), {computed.get('finished')}"
