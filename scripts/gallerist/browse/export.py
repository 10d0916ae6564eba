"""The page as a folder that opens from the disk, without a server: to be handed in, or kept."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gallerist.browse import overview
from gallerist.browse.app import PAGE
from gallerist.browse.data_sets import DataSet
from gallerist.browse.doubts import shown_doubts
from gallerist.browse.finished import data_set_names
from gallerist.browse.query_table import query_table
from gallerist.browse.searching import ranked_answers
from gallerist.browse.site import Site
from gallerist.browse.thumbnails import SUFFIX
from gallerist.data.decoding import BadImage
from gallerist.io.errors import UserError
from gallerist.io.files import write_text

SHOWN = 1000
"""Queries of a data set whose pictures and answers are in the folder."""

ANSWERS = 10
"""Answers a query."""

DOUBTS = 100
"""Doubtful labels of a data set, the surest, that are in the folder."""

BUNDLE = "page/gallerist.js"
_START = "main.js"

POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; "
    "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
)

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


def export_page(root: Path, folder: Path, *, first: str | None = None) -> Path:
    """Write the page of all data sets; returns the file to open.

    A folder that holds an earlier export is replaced. first: the data set that it opens on, where
    there are several. Raises UserError where there is nothing to show, or the folder has other
    files.
    """
    site = Site(root)
    names = data_set_names(root)
    _empty(folder)
    (folder / "page").mkdir(parents=True)
    for name in ("style.css", "icon.svg"):
        shutil.copyfile(PAGE / name, folder / "page" / name)
    write_text(folder / BUNDLE, bundle(PAGE))
    names.sort(key=lambda name: name != first)
    listed = {each["name"]: each for each in site.index()["data_sets"]}
    _write(folder, "index", {"data_sets": [listed[name] for name in names]})
    for name in names:
        _export_data_set(site, site.data_sets.get(name), folder)
    write_text(folder / "index.html", _index())
    return folder / "index.html"


def _empty(folder: Path) -> None:
    """Make room, and remove nothing but what was exported before."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder to export to")
    if any(folder.iterdir()):
        if not (folder / BUNDLE).is_file():
            raise UserError(f"{folder} holds other files: name a new folder to export to")
        shutil.rmtree(folder)


def _index() -> str:
    """The page with its scripts in one file: from the disk, browsers load no modules."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    text = text.replace('<html lang="en">', '<html lang="en" data-form="folder">')
    script = '<script type="module" src="page/main.js"></script>'
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return text.replace(script, f'{policy}\n<script defer src="{BUNDLE}"></script>')


def bundle(page: Path) -> str:
    """The modules of the page as one script, each as a function that gives what it exports."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            text = (page / name).read_text(encoding="utf-8")
            for _, needed in _IMPORT.findall(text):
                visit(needed)
            order.append(name)

    visit(_START)
    parts = [_as_function(name, (page / name).read_text(encoding="utf-8")) for name in order]
    return '"use strict";\n(() => {\nconst modules = {};\n' + "".join(parts) + "})();\n"


def _as_function(name: str, text: str) -> str:
    exported = [each for _, each in _EXPORT.findall(text)]
    text = _IMPORT.sub(_as_constants, text)
    text = _EXPORT.sub(r"\1", text)
    return f'modules["{name}"] = (() => {{\n{text}return {{ {", ".join(exported)} }};\n}})();\n'


def _as_constants(found: re.Match[str]) -> str:
    names = found[1].replace(" as ", ": ")
    return f'const {{{names}}} = modules["{found[2]}"];\n'


def _write(folder: Path, path: str, value: Any) -> None:
    """Write what the page asks for as a script, which may be loaded from the disk."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    # Line separators of Unicode end no line of JSON, but did of JavaScript.
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    write_text(folder / "data" / f"{path}.js", f"gallerist({json.dumps(path)},{text});\n")


def _export_data_set(site: Site, data: DataSet, folder: Path) -> None:
    name = data.name
    _write(folder, f"{name}/overview", overview.overview(data))
    table = query_table(data)
    rows = _chosen(table["experiments"], len(table["ids"]))
    if len(rows) < len(table["ids"]):
        table["shown"] = rows
    _write(folder, f"{name}/queries", table)
    for experiment in data.experiments:
        page = overview.experiment_page(data, experiment)
        _write(folder, f"{name}/experiment/{experiment}", page)
        for drawn in page["figures"]:
            target = folder / "figures" / name / experiment / drawn["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(overview.figure(data, experiment, drawn["file"]), target)
    doubts = shown_doubts(data, DOUBTS)
    _write(folder, f"{name}/doubts", doubts)
    listed = [each for one in doubts["doubts"] for each in (one["picture"], *one["neighbours"])]
    pictures = {each["id"] for each in listed}
    for row in rows:
        query = table["ids"][row]
        found = ranked_answers(data, query, data.experiments, ANSWERS)
        _write(folder, f"{name}/query/{query}", found)
        pictures.add(query)
        pictures.update(answer["id"] for each in found["answers"].values() for answer in each)
    _copy_thumbnails(site, data, sorted(pictures), folder / "thumbnails" / name)


def _chosen(experiments: Mapping[str, Mapping[str, Sequence[Any]]], count: int) -> list[int]:
    """The rows whose pictures are in the folder, all if they are few enough.

    Of more, one half are those that the experiments answer worst; the others are spread evenly.
    """
    if count <= SHOWN:
        return list(range(count))
    columns = [column["score"] for column in experiments.values()]
    order = sorted(range(count), key=lambda row: sum(column[row] for column in columns))
    worst, others = order[: SHOWN // 2], order[SHOWN // 2 :]
    step = len(others) / (SHOWN - len(worst))
    spread = [others[int(number * step)] for number in range(SHOWN - len(worst))]
    return sorted({*worst, *spread})


def _copy_thumbnails(site: Site, data: DataSet, pictures: Sequence[str], folder: Path) -> None:
    """Write the thumbnails; a picture that is gone is left out, as the page shows it."""
    folder.mkdir(parents=True)
    thumbnails = site.thumbnails(data)

    def copy(identifier: str) -> None:
        try:
            content = thumbnails.get(data.picture(identifier))
        except BadImage:
            return
        (folder / f"{identifier}.{SUFFIX}").write_bytes(content)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(copy, pictures))
