"""Edits of a finished workflow, each with exactly the jobs whose result it can change.

A job is named by its rule and its wildcards. All edits are dry-run; those marked `really` are run
too, in the slow tests.
"""

import contextlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiny_workflow import draw_picture

GALLERY_PICTURE = "pictures/validation/gallery/discs/discs_0.jpg"
QUERY_PICTURE = "pictures/validation/query/discs/discs_0.jpg"


def each(*rules):
    """Jobs of both experiments."""
    return {f"{rule} {experiment}" for rule in rules for experiment in ("long", "short")}


EXTRACTION = {f"extract_features {experiment}" for experiment in ("long", "short")}


def chain(experiment):
    """All that one experiment has for itself."""
    rules = "train_network", "extract_features", "search_gallery"
    return {f"{rule} {experiment}" for rule in (*rules, "evaluate_retrieval")}


COMPARE = {"compare_experiments"}
EVALUATE = each("evaluate_retrieval") | COMPARE
SEARCH = each("search_gallery") | EVALUATE
EXTRACT = EXTRACTION | SEARCH
TRAIN = each("train_network") | EXTRACT
AUGMENT = {"augment_images"} | TRAIN
LEAKS = {"report_leaks"} | COMPARE
SPLIT = {"split_images"} | AUGMENT | LEAKS
IMPORT = {"import_images originals", "import_images gallery", "import_images query"}
EVERYTHING = IMPORT | SPLIT
NOTHING = frozenset()

EDITS = []
REALLY = []
QUIET = {}
"""Group -> the edits of it, after all of which nothing is to be done either."""


def calls_for(expected, *, really=False):
    """Register an edit with the jobs that are to follow."""

    def register(change):
        name = change.__name__.replace("_", " ")
        case = pytest.param(change, frozenset(expected), id=name)
        EDITS.append(case)
        if really:
            REALLY.append(case)
        return change

    return register


def calls_for_nothing(group):
    """Register an edit after which nothing is to be done. None of its group hides another."""

    def register(change):
        QUIET.setdefault(group, []).append(change)
        return calls_for(NOTHING)(change)

    return register


@contextlib.contextmanager
def dry_runs(workflow, changes, folders, quiet=()):
    """Name -> a future of the jobs that a change calls for, each in a copy of the workflow.

    changes: name -> a function that edits a workflow. folders: pytest's tmp_path_factory.
    quiet: lists of changes that are to call for nothing. Those of a list share a copy and a plan;
    each has one of its own only where that plan has jobs, which says whose they are.
    """

    def jobs_after(*edits):
        edited = workflow.copy(folders.mktemp("edited") / "gallerist")
        for change in edits:
            change(edited)
        return edited.dry_run()

    def jobs_if_any(together, change):
        return together.result() and jobs_after(change)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        together = {}
        for edits in quiet:
            asked_for = [change for change in edits if change in changes.values()]
            together |= dict.fromkeys(asked_for, pool.submit(jobs_after, *asked_for))
        yield {
            name: pool.submit(jobs_if_any, together[change], change)
            if change in together
            else pool.submit(jobs_after, change)
            for name, change in changes.items()
        }


def change_code(workflow, path):
    """Change what a file of Python says, though not what it does."""
    file = workflow.folder / "scripts" / path
    file.write_text(file.read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")


def change_code_of(workflow, package):
    """Change every module of a package of the library."""
    scripts = workflow.folder / "scripts"
    for path in (scripts / "gallerist" / package).rglob("*.py"):
        change_code(workflow, path.relative_to(scripts))


# ---------------------------------------------------------------------------------------- pictures


@calls_for({"import_images originals"} | SPLIT, really=True)
def a_training_picture_is_added(workflow):
    draw_picture(workflow.folder / "pictures/training/discs/another.png", "discs", 1001)


@calls_for({"import_images gallery"} | LEAKS | EXTRACTION | SEARCH)
def a_gallery_picture_is_replaced_by_another(workflow):
    draw_picture(workflow.folder / GALLERY_PICTURE, "discs", 1002)


@calls_for({"import_images gallery"} | LEAKS | EXTRACTION | SEARCH)
def a_gallery_picture_is_renamed(workflow):
    path = workflow.folder / GALLERY_PICTURE
    path.rename(path.with_stem("renamed"))


@calls_for({"import_images query"} | LEAKS | EXTRACTION | SEARCH, really=True)
def a_query_picture_is_removed(workflow):
    (workflow.folder / QUERY_PICTURE).unlink()


@calls_for_nothing("pictures and configuration")
def every_picture_is_touched(workflow):
    for path in workflow.folder.glob("pictures/**/*.*"):
        path.touch()


@calls_for_nothing("pictures and configuration")
def a_file_manager_leaves_its_files_among_the_pictures(workflow):
    for name in ("Thumbs.db", ".DS_Store"):
        (workflow.folder / "pictures/training/discs" / name).write_bytes(b"\0")


# ----------------------------------------------------------------------------------- configuration


@calls_for(EVALUATE, really=True)
def the_ks_are_changed(workflow):
    workflow.edit_config("evaluation.k", [1, 2])


@calls_for(EVALUATE)
def fewer_of_the_worst_queries_are_drawn(workflow):
    workflow.edit_config("evaluation.strips_drawn", 1)


@calls_for(SEARCH, really=True)
def the_search_keeps_fewer_answers(workflow):
    workflow.edit_config("search.depth", 5)


@calls_for(SEARCH)
def the_pictures_of_the_gallery_search_each_other(workflow):
    workflow.edit_config("evaluation.protocol", "leave_one_out")


@calls_for(chain("short") | COMPARE, really=True)
def one_experiment_is_trained_for_more_epochs(workflow):
    workflow.edit_config("experiments.short.epochs", 3)


@calls_for(chain("short") | COMPARE)
def one_experiment_leaves_the_copies_out(workflow):
    workflow.edit_config("experiments.short.augmented", False)


@calls_for(AUGMENT)
def more_copies_are_drawn(workflow):
    workflow.edit_config("augmentation.copies", 2)


@calls_for(TRAIN, really=True)
def augmentation_is_turned_off(workflow):
    workflow.edit_config("augmentation.copies", 0)


@calls_for(SPLIT)
def the_split_is_drawn_with_another_seed(workflow):
    workflow.edit_config("dataset.split.seed", 100)


@calls_for(LEAKS, really=True)
def near_duplicates_may_differ_more(workflow):
    workflow.edit_config("dataset.near_duplicate_distance", 6)


@calls_for(EVERYTHING)
def smaller_pictures_are_refused(workflow):
    workflow.edit_config("dataset.images.min_side", 16)


@calls_for(chain("third") | COMPARE, really=True)
def an_experiment_is_added(workflow):
    settings = workflow.read_config()["experiments"]["short"]
    workflow.edit_config("experiments.third", {**settings, "seed": 7})


@calls_for(COMPARE, really=True)
def an_experiment_is_removed(workflow):
    workflow.remove_config("experiments.short")


@calls_for(chain("brief") | COMPARE)
def an_experiment_is_renamed(workflow):
    settings = workflow.read_config()["experiments"]["short"]
    workflow.remove_config("experiments.short")
    workflow.edit_config("experiments.brief", settings)


@calls_for_nothing("pictures and configuration")
def the_keys_of_the_configuration_are_put_in_another_order(workflow):
    def reverse(value):
        if not isinstance(value, dict):
            return value
        return {key: reverse(value[key]) for key in reversed(value)}

    workflow.write_config(reverse(workflow.read_config()))


@calls_for_nothing("pictures and configuration")
def defaults_are_written_down(workflow):
    workflow.edit_config("augmentation.rotation", 40)
    workflow.edit_config("experiments.long.early_stopping", {"patience": 5, "min_delta": 0.0})
    workflow.edit_config("evaluation.queries_drawn", [])
    workflow.edit_config("dataset.extend", None)


@calls_for_nothing("pictures and configuration")
def the_tracking_store_is_moved(workflow):
    workflow.edit_config("tracking.uri", f"sqlite:///{workflow.folder}/elsewhere.db")


@calls_for_nothing("pictures and configuration")
def more_patience_with_mlflow_is_asked_for(workflow):
    workflow.edit_config("tracking.patience", 60)


@calls_for_nothing("pictures and configuration")
def a_comment_is_added_to_the_configuration(workflow):
    # The last of its group: other edits would write the file without it.
    text = workflow.config_file.read_text(encoding="utf-8")
    workflow.config_file.write_text(f"# our experiment\n{text}", encoding="utf-8")


# -------------------------------------------------------------------------------------------- code


@calls_for(EVERYTHING)
def importing_is_edited(workflow):
    change_code(workflow, "gallerist/data/importing.py")


@calls_for(SPLIT)
def split_is_edited(workflow):
    change_code(workflow, "gallerist/data/splitting.py")


@calls_for(AUGMENT)
def augmentation_is_edited(workflow):
    change_code(workflow, "gallerist/data/augmentation.py")


@calls_for(AUGMENT)
def warping_is_edited(workflow):
    change_code(workflow, "gallerist/data/warping.py")


@calls_for(TRAIN)
def training_is_edited(workflow):
    change_code(workflow, "gallerist/training/loop.py")


@calls_for(EXTRACT)
def network_extractor_is_edited(workflow):
    change_code(workflow, "gallerist/features/network.py")


@calls_for(SEARCH, really=True)
def search_is_edited(workflow):
    change_code(workflow, "gallerist/search/exact.py")


@calls_for(EVALUATE)
def relevance_is_edited(workflow):
    change_code(workflow, "gallerist/evaluation/relevance.py")


@calls_for(LEAKS)
def near_duplicates_is_edited(workflow):
    change_code(workflow, "gallerist/data/near_duplicates.py")


@calls_for(EVALUATE)
def style_of_figures_is_edited(workflow):
    change_code(workflow, "gallerist/figures/style.py")


@calls_for(EVALUATE)
def training_curves_is_edited(workflow):
    change_code(workflow, "gallerist/figures/training_curves.py")


@calls_for(EVALUATE)
def figures_of_classes_is_edited(workflow):
    change_code(workflow, "gallerist/figures/classes.py")


@calls_for(COMPARE)
def figures_of_the_comparison_is_edited(workflow):
    change_code(workflow, "gallerist/figures/comparison.py")


@calls_for(COMPARE)
def comparison_page_is_edited(workflow):
    change_code(workflow, "gallerist/evaluation/comparison_page.py")


@calls_for_nothing("code")
def the_code_of_other_sources_and_of_the_command_line_is_edited(workflow):
    for name in ("data/silhouettes", "data/archive", "data/download", "data/pool", "serving/query"):
        change_code(workflow, f"gallerist/{name}.py")
    change_code_of(workflow, "commands")


@calls_for_nothing("code")
def the_code_that_keeps_records_is_edited(workflow):
    for package in ("records", "tracking", "workflow"):
        change_code_of(workflow, package)


@calls_for(SEARCH)
def a_script_is_edited(workflow):
    change_code(workflow, "search_gallery.py")


@calls_for_nothing("code")
def the_library_and_the_rules_are_touched(workflow):
    for pattern in ("scripts/gallerist/**/*.py", "rules/*.smk", "Snakefile", "config/*"):
        for path in workflow.folder.glob(pattern):
            path.touch()


@calls_for_nothing("code")
def scripts_are_touched(workflow):
    """As git does on the way to another branch and back."""
    for path in workflow.folder.glob("scripts/*.py"):
        path.touch()


@calls_for_nothing("code")
def rules_get_comments(workflow):
    for path in (workflow.folder / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        path.write_text(f"# A comment.\n{text}\n# Another one.\n", encoding="utf-8")
    workflow.edit_text(
        "rules/train.smk",
        "    threads: of_training",
        "    # As many as it likes.\n    threads: processors(6)",
    )


@calls_for_nothing("code")
def the_documents_are_edited(workflow):
    for name in ("README.md", "Makefile", "pyproject.toml", "report/curves.rst"):
        with (workflow.folder / name).open("a", encoding="utf-8") as file:
            file.write("\n# More.\n")


# ----------------------------------------------------------------------------------------- results


@calls_for(
    {"evaluate_retrieval long"} | COMPARE,
    really=True,
)
def a_picture_of_answers_is_deleted(workflow):
    (workflow.results / "evaluation/long/worst.png").unlink()


@calls_for(COMPARE)
def the_comparison_is_deleted(workflow):
    shutil.rmtree(workflow.results / "comparison")


@calls_for_nothing("results")
def what_nothing_needs_any_more_is_deleted_to_save_space(workflow):
    for name in ("models", "features"):
        shutil.rmtree(workflow.results / name)


@calls_for_nothing("results")
def logs_and_benchmarks_are_deleted(workflow):
    shutil.rmtree(workflow.results / "logs")
    shutil.rmtree(workflow.results / "benchmarks")


@calls_for_nothing("results")
def the_tracking_store_is_deleted(workflow):
    shutil.rmtree(workflow.folder / "results/mlflow")


@calls_for_nothing("results")
def the_memory_of_the_pictures_is_deleted(workflow):
    # There is none where the pictures were too young to be remembered.
    shutil.rmtree(workflow.results / "fingerprints", ignore_errors=True)


@calls_for_nothing("results")
def all_is_moved_to_another_folder(workflow):
    workflow.folder = workflow.folder.rename(workflow.folder.with_name("moved"))
