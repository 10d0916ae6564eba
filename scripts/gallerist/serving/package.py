"""An experiment as one MLflow model: its extractor, its gallery, and the code for both.

The model is `serving.pyfunc`, as code, over a folder in the layout of the results, so that it
extracts and searches with what the workflow does. It is code and data, nothing is pickled.
"""

import base64
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, get_type_hints

from gallerist import LIBRARY
from gallerist.data.manifest import Manifest
from gallerist.evaluation.threshold import threshold_of
from gallerist.io.files import PathLike, canonical_json, sha256_of_file, sha256_of_text, write_json
from gallerist.records.record import Record, read_record
from gallerist.serving.answers import Answers
from gallerist.serving.extractor import reading_of
from gallerist.serving.gallery import SETTINGS, example_picture
from gallerist.serving.licences import licences
from gallerist.serving.requests import FORMS
from gallerist.workflow.dependencies import imported_names, library_files
from gallerist.workflow.experiments import (
    Experiment,
    Experiments,
    check_searchable,
    extractor_files,
    verify_networks,
    with_members,
)
from gallerist.workflow.results import Results

CODE = LIBRARY / "serving" / "pyfunc.py"
GALLERY = "artifacts/gallery"
CONTENTS = "contents.json"

PER_QUERY = "evaluation/queries.csv"
"""Within the gallery's folder: what the experiment reaches for each query."""

_ONLY_FOR = {
    "features.network": "network",
    "features.views": "network",
    "features.descriptors": "descriptor",
    "features.fusion": "fusion",
    "features.vocabulary": "encoding",
    "features.reduction": "reduction",
    "search.approximate": "index",
    "search.faiss_index": "index",
    "search.kept_index": "index",
}
"""Module -> what an experiment has that needs it, with all that only it uses."""

_ALWAYS = ("mlflow", "pandas")


@dataclass(frozen=True)
class Packed:
    """An experiment ready to be saved as a model.

    folder: has artifacts/ and code/. digest: of every file in it, and of the requirements; equal
    for equal models. requirements: name==version. facts: what a reader wants to know of it.
    """

    folder: Path
    digest: str
    requirements: tuple[str, ...]
    facts: Mapping[str, Any]


def pack(results: Results, config: Mapping[str, Any], experiment: str, folder: PathLike) -> Packed:
    """Copy what an experiment's gallery needs to answer by itself, and hash it.

    config: complete. folder: empty or absent.
    Raises NotSearchable, and UserError naming what has not been made.
    """
    settings = config["experiments"][experiment]
    check_searchable(experiment, settings)
    verify_networks(results, experiment, config["experiments"])
    folder = Path(folder)
    used = with_members(experiment, config["experiments"])
    code = _copy_code(used.values(), folder / "code" / "gallerist")
    _copy_results(results, experiment, used, folder / GALLERY)
    requirements = _requirements([CODE, *code])
    facts = _facts(results, config, experiment, used)
    threshold = threshold_of(results, experiment)
    held = {
        "experiment": experiment,
        "experiments": used,
        "depth": config["search"]["depth"],
        "engine": config["compute"]["engine"],
        "reading": reading_of(config),
        "requirements": requirements,
        "facts": facts,
        "threshold": threshold.as_json() if threshold else None,
    }
    write_json(folder / GALLERY / SETTINGS, held)
    contents = {
        file.relative_to(folder).as_posix(): sha256_of_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    contents[CODE.name] = sha256_of_file(CODE)
    write_json(folder / GALLERY / CONTENTS, contents)
    return Packed(folder, sha256_of_text(canonical_json(contents)), requirements, facts)


def _copy_results(results: Results, experiment: str, used: Experiments, target: Path) -> None:
    for name in extractor_files(experiment, used):
        _copy(results.path(name), target / name)
    _copy(results.path(f"evaluation/{experiment}/queries.csv"), target / PER_QUERY)
    gallery = Manifest.read(results.path("manifests/gallery.csv"))
    # Where the pictures lay is nobody's business; their folder's name may be their class.
    common = os.path.commonpath([Path(path).parent for path in gallery.paths])
    named = [replace(picture, path=os.path.relpath(picture.path, common)) for picture in gallery]
    Manifest(tuple(named)).write(target / "manifests/gallery.csv")


def _copy_code(used: Iterable[Mapping[str, Any]], target: Path) -> list[Path]:
    """The modules that these experiments need; the library itself may hold many more."""
    has = {key for settings in used for key, value in settings.items() if value}
    has |= {"index" for settings in used if settings.get("search", {}).get("index")}
    without = {module for module, key in _ONLY_FOR.items() if key not in has}
    files = library_files(CODE, LIBRARY, without=without)
    folders = {folder for file in files for folder in file.parents}
    files += [
        folder / "__init__.py" for folder in sorted(folders) if folder.is_relative_to(LIBRARY)
    ]
    for file in files:
        _copy(file, target / file.relative_to(LIBRARY))
    return files


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _requirements(code: Sequence[Path]) -> tuple[str, ...]:
    """The packages that these modules import, as they are installed here."""
    distributions = packages_distributions()
    imported = {name.split(".")[0] for file in code for name in imported_names(file)}
    names = {
        root if root in distributions[root] else distributions[root][0]
        for root in {*imported, *_ALWAYS} - sys.stdlib_module_names - {"gallerist"}
        if root in distributions
    }
    return tuple(f"{name}=={version(name)}" for name in sorted(names, key=str.lower))


def experiment_record(results: Results, experiment: str) -> Record:
    """The record of an experiment's row in the comparison, which is its run in MLflow."""
    return read_record(results.path(f"evaluation/{experiment}/experiment.record.json"))


def _facts(
    results: Results,
    config: Mapping[str, Any],
    experiment: str,
    used: Experiments,
) -> dict[str, Any]:
    networks = [
        (settings, read_record(results.path(f"{record}.record.json")).tags["weights"])
        for name, settings in used.items()
        if (record := Experiment.of(name, settings).network_record)
    ]
    queries = Manifest.read(results.path(results.searched["query"]))
    gallery = Manifest.read(results.path("manifests/gallery.csv"))
    return {
        "dataset": config["dataset"]["name"],
        "experiment": experiment,
        "gallery_digest": gallery.digest,
        "gallery_images": len(gallery),
        "query_digest": queries.digest,
        "weights": str(experiment_record(results, experiment).tags["weights"]),
        "licences": licences(networks, embedded="embedded" in config["dataset"]),
    }


def save(packed: Packed, path: PathLike) -> None:
    """Write it as MLflow has its models: signature, example, environment and all.

    path: must not exist yet. Imports MLflow.
    """
    import mlflow
    import pandas as pd

    example = pd.DataFrame({"base64": [base64.b64encode(example_picture()).decode()]})
    mlflow.pyfunc.save_model(
        os.fspath(path),
        python_model=os.fspath(CODE),
        code_paths=[os.fspath(packed.folder / "code" / "gallerist")],
        artifacts={"gallery": os.fspath(packed.folder / GALLERY)},
        signature=_signature(),
        input_example=(example, {"answers": 3}),
        pip_requirements=list(packed.requirements),
        metadata={**packed.facts, "digest": packed.digest},
    )
    for cached in Path(path).rglob("__pycache__"):
        shutil.rmtree(cached)


def _signature() -> Any:
    """The columns that a model takes and gives, and its parameter."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array

    types = {
        list[str]: Array(DataType.string),
        list[float]: Array(DataType.double),
        str: DataType.string,
    }
    return ModelSignature(
        # What is no picture reaches `requests`, which says so; MLflow would end in a stack trace.
        inputs=Schema([ColSpec(AnyType(), form, required=False) for form in FORMS]),
        outputs=Schema(
            [ColSpec(types[kind], name) for name, kind in get_type_hints(Answers).items()]
        ),
        params=ParamSchema([ParamSpec("answers", DataType.long, 10)]),
    )
