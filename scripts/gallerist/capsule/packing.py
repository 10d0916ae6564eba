"""The results of a data set as one capsule."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist import CHECKOUT, LIBRARY
from gallerist.capsule.contents import (
    ABOUT,
    COMPARED,
    CONTENTS,
    COSTS,
    EXPERIMENTS,
    FORMAT,
    MAX_BYTES,
    OF_EXPERIMENT,
    PROTOCOL,
    TRUTH,
    Protocol,
    digest_of,
    ranking_name,
    read_rows,
    rounded,
    without_paths,
    write_truth,
)
from gallerist.data.manifest import Manifest
from gallerist.evaluation.compared import groups_of
from gallerist.io.errors import UserError
from gallerist.io.files import (
    PathLike,
    replacing,
    sha256_of_file,
    write_csv,
    write_json,
    write_text,
)
from gallerist.records.provenance import code_state, versions
from gallerist.records.record import Record, Scalar, read_record
from gallerist.workflow.dependencies import library_files
from gallerist.workflow.results import Results

_START = '''"""Recompute the comparison of this capsule: python CAPSULE, with numpy and scipy."""

import sys
from pathlib import Path

from gallerist.capsule.verification import main

sys.exit(main(Path(__file__).parent))
'''
_README = """\
A capsule of Gallerist: rankings, truth, and the comparison that follows from them.

Recompute every cell, with numpy and scipy and nothing else:  python FILE
The same with an installed Gallerist, which runs no code of the capsule:  gallerist verify FILE

contents.json     SHA-256 of every file, and the digest by which the capsule is cited
protocol.json     how the rankings were evaluated and compared
experiments.json  settings and costs of the experiments, as stated
about.json        what computed them, and which code lies here
truth.csv         pictures: id, class, part, original
rankings/         answers to every query, best first
queries/          metrics of every query
classes/          metrics of every class, with intervals
curves/           hit rate against k, precision against recall, hit rate against distractors
comparison/       all experiments: accuracies, intervals, paired tests
gallerist/        the code that recomputes them
"""
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file: equal contents give equal bytes."""

_ELSEWHERE = ("import_images.", "evaluate_retrieval.")
"""Parameters that say where pictures lie, and those that protocol.json holds."""


@dataclass(frozen=True)
class _Finished:
    """The records of a finished comparison, experiment by experiment in its order."""

    comparison: Record
    evaluations: Mapping[str, Record]
    rows: Mapping[str, Record]
    rankings: Mapping[str, str]


def pack(results: Results, capsule: PathLike) -> str:
    """Write the comparison of a data set and all it follows from; return its digest.

    Raises UserError when there is none yet, when a file is not the one that the comparison rests
    on, and when it is too large to be read again.
    """
    finished = _read_records(results)
    with tempfile.TemporaryDirectory(prefix="capsule-") as temporary:
        folder = Path(temporary)
        _write_data(results, finished, folder)
        _write_code(folder)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in paths)
        if size > MAX_BYTES:
            raise UserError(
                f"{capsule} would hold {size} bytes, and {MAX_BYTES} can be read again: lower "
                "search.depth, or compare fewer experiments"
            )
        hashes = {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in paths}
        digest = digest_of(hashes)
        write_json(folder / CONTENTS, {"format": FORMAT, "digest": digest, "files": hashes})
        _zip(folder, capsule)
    return digest


def _read_records(results: Results) -> _Finished:
    """Read them, and check that every file is the one that the next job read."""
    record = read_record(results.path("comparison/comparison.record.json"))
    start, end = results.file("evaluation/"), "/queries.csv"
    names = [
        path.removeprefix(start).removesuffix(end)
        for path in record.inputs
        if path.startswith(start) and path.endswith(end)
    ]
    evaluations, rows, rankings = {}, {}, {}
    for name in names:
        own = [f"evaluation/{name}/{file}" for file in ("queries.csv", "curves.csv")]
        _check_current(results, record, [*own, f"evaluation/{name}/experiment.record.json"])
        evaluations[name] = read_record(results.path(f"evaluation/{name}/evaluation.record.json"))
        rows[name] = read_record(results.path(f"evaluation/{name}/experiment.record.json"))
        start = results.file("rankings/")
        (rankings[name],) = (
            path.removeprefix(results.file(""))
            for path in evaluations[name].inputs
            if path.startswith(start) and path.endswith(".csv")
        )
        used = [rankings[name], *results.searched.values()]
        _check_current(results, evaluations[name], used)
    if not names:
        raise UserError(f"{results.file('comparison')} compares no experiment of this data set")
    return _Finished(record, evaluations, rows, rankings)


def _check_current(results: Results, record: Record, names: list[str]) -> None:
    for name in names:
        if record.inputs.get(results.file(name)) != sha256_of_file(results.path(name)):
            raise UserError(
                f"{results.file(name)} is not the file that {record.title} read: the results are "
                "out of date. Run the workflow first: make run"
            )


def _write_data(results: Results, finished: _Finished, folder: Path) -> None:
    gallery, queries = (
        Manifest.read(results.path(manifest)) for manifest in results.searched.values()
    )
    write_truth(folder / TRUTH, gallery, queries)
    protocol = _protocol(finished, gallery, queries)
    write_json(folder / PROTOCOL, protocol.to_json())
    write_json(folder / EXPERIMENTS, {name: _facts(row) for name, row in finished.rows.items()})
    write_json(folder / ABOUT, _origin(finished.comparison))
    write_text(folder / "README.txt", _README)
    for name in COMPARED:
        _copy_table(results.path(name), folder / name)
    for experiment, ranking in finished.rankings.items():
        _copy(results.path(ranking), folder / ranking_name(experiment))
        for kind in OF_EXPERIMENT:
            source = results.path(f"evaluation/{experiment}/{kind}.csv")
            _copy_table(source, folder / kind / f"{experiment}.csv")


def _protocol(finished: _Finished, gallery: Manifest, queries: Manifest) -> Protocol:
    """How the rankings were evaluated, by the records of those jobs."""
    asked = {name: dict(each.parameters) for name, each in finished.evaluations.items()}
    by_distance = {name: bool(each["by_distance"]) for name, each in asked.items()}
    compared = dict(finished.comparison.parameters)
    first, *_ = asked.values()
    alike = ("k", "metrics", "depth", "confidence", "bootstrap_rounds", "seed")
    for name, each in asked.items():
        for key in (*alike, "asking"):
            stated = each.get(key)  # records of before there were protocols have no asking
            if stated != first.get(key) or compared.get(key, stated) != stated:
                raise UserError(
                    f"{name} was evaluated with another {key} than others: run the workflow first"
                )
    values: dict[str, Any] = {key: first[key] for key in alike}
    values |= {key: tuple(json.loads(values[key])) for key in ("k", "metrics")}
    values["asking"] = json.loads(str(first.get("asking", "null")))
    return Protocol(
        experiments=tuple(finished.rows),
        by_distance=by_distance,
        decided_by=str(compared["decided_by"]),
        groups=groups_of(finished.comparison),
        gallery=gallery.digest,
        query=queries.digest,
        **values,
    )


def _facts(row: Record) -> dict[str, Any]:
    """What an experiment is and costs, without where anything lay."""
    return {
        "weights": row.tags["weights"],
        "costs": {name: row.metrics[name] for name in COSTS},
        "parameters": {
            name: value
            for name, value in row.parameters.items()
            if not name.startswith(_ELSEWHERE) and not _is_path(value)
        },
    }


def _is_path(value: Scalar) -> bool:
    return isinstance(value, str) and ("/" in value or "\\" in value)


def _origin(record: Record) -> dict[str, Any]:
    commit, changed = code_state(CHECKOUT)
    return {
        "dataset": record.dataset,
        "computed": {
            "finished": record.finished,
            "commit": record.git_commit,
            "changed": record.git_dirty,
            "versions": dict(record.versions),
        },
        "code": {"gallerist": versions()["gallerist"], "commit": commit, "changed": changed},
    }


def _write_code(folder: Path) -> None:
    """Copy the modules that a verification runs through, and what starts it."""
    start = LIBRARY / "capsule" / "verification.py"
    modules = {start, *library_files(start, LIBRARY, without=frozenset())}
    packages = {LIBRARY, *(module.parent for module in modules)}
    for file in (*modules, *(package / "__init__.py" for package in packages)):
        _copy(file, folder / "gallerist" / file.relative_to(LIBRARY))
    write_text(folder / "__main__.py", _START)
    licence = CHECKOUT / "LICENSE"
    if licence.is_file():
        _copy(licence, folder / "gallerist" / "LICENSE")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_table(source: Path, target: Path) -> None:
    header, *rows = without_paths(read_rows(source))
    write_csv(target, header, ([rounded(cell) for cell in row] for row in rows))


def _zip(folder: Path, capsule: PathLike) -> None:
    with replacing(capsule) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system, member.external_attr = 3, 0o644 << 16
            with path.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)
