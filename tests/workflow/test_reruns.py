"""Which jobs are done again after which edit: exactly those whose result it can change."""

import os
import re
import shutil

import pytest
import yaml
from tiny_workflow import draw_picture, outputs_of

TRAINING = "pictures/training/discs/another.png"
GALLERY = "pictures/validation/gallery/discs/discs_0.jpg"
QUERY = "pictures/validation/query/discs/discs_0.jpg"


def of(experiment, *rules):
    return {f"{rule} {experiment}" for rule in rules}


def each(*rules):
    return of("long", *rules) | of("short", *rules)


def extract(part):
    return {f"extract_features long {part}", f"extract_features short {part}"}


def chain(experiment):
    """All that one experiment has for itself."""
    return of(
        experiment,
        "train_network",
        "plot_training",
        "extract_features",
        "search_gallery",
        "evaluate_retrieval",
    ) - {f"extract_features {experiment}"} | {
        f"extract_features {experiment} gallery",
        f"extract_features {experiment} query",
    }


COMPARE = {"compare_experiments"}
EVALUATE = each("evaluate_retrieval") | COMPARE
SEARCH = each("search_gallery") | EVALUATE
TRAIN = chain("long") | chain("short") | COMPARE
SPLIT = {"split_images", "augment_images", "report_leaks"} | TRAIN
IMPORT = {"import_images originals", "import_images gallery", "import_images query"}
EVERYTHING = IMPORT | SPLIT

# ------------------------------------------------------------------------------- edits, by name

EDITS = {}


def edit(expected, *, slow=False):
    """Register an edit of a finished workflow with the jobs that it calls for."""

    def register(function):
        marks = [pytest.mark.slow] if slow else []
        name = function.__name__.replace("_", " ")
        EDITS[name] = pytest.param(function, expected, id=name, marks=marks)
        return function

    return register


def change_code(*names):
    """An edit that changes what the code of a library file says, though not what it does."""

    def change(workflow):
        for name in names:
            path = workflow.folder / "scripts" / "gallerist" / f"{name}.py"
            path.write_text(path.read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")

    return change
