"""Which library modules a stage waits on, and which heavy packages a module may load."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Set
from pathlib import Path

import pytest
from checkout import CHECKOUT, LIBRARY, SCRIPTS

from gallerist.workflow.dependencies import (
    DRAWN_BY_SOME,
    RECORD_KEEPING,
    code_digest,
    library_files,
)

STAGES = sorted(SCRIPTS.glob("*.py"))
RULES = [CHECKOUT / "Snakefile", *(CHECKOUT / "rules").glob("*.smk")]
MODULES = sorted(
    ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
    for path in LIBRARY.rglob("*.py")
    if path.stem != "__init__"
)

ORDER = [
    *("io", "settings", "records", "tracking", "workflow", "data", "networks", "training"),
    *("features", "search", "evaluation", "capsule", "figures", "challenge", "serving"),
    *("config", "browse", "commands"),
]
"""A package imports itself and those before it."""

STARTED_BY_NAME = {
    "commands.main": "the command gallerist, an entry point of the installed package",
    "config.reference": "writes config/README.md when a developer asks for it",
    "serving.pyfunc": "the code of a registered model, which MLflow runs from a copy",
    "tracking.writer": "the process beside a workflow that writes to MLflow",
}
"""Modules that nothing imports, and who uses them."""

HEAVY = {
    "tensorflow": {
        *("networks.feature_map", "networks.architectures", "networks.efficientnet_lite2"),
        *("networks.export", "networks.heads", "networks.keras_encoder"),
        *("networks.frozen_graph", "networks.graph_cut", "networks.pooling"),
        *("networks.tensorflow_inference", "networks.trunk"),
        *("training.adam", "training.batch_norm", "training.loop", "training.metric_losses"),
        *("training.objective", "training.passes", "training.state"),
    },
    "matplotlib": {
        *("figures.classes", "figures.comparison", "figures.feature_map"),
        *("figures.risk_coverage", "figures.rule_graph", "figures.training_curves"),
    },
    "mlflow": {"serving.pyfunc"},
}
"""Package that takes seconds to load -> the modules whose work needs it as soon as imported."""

RANKING = [
    name for name in MODULES
    if name.startswith(("search.", "evaluation.", "figures.")) and name != "figures.grad_cam"
]  # fmt: skip
"""What jobs of a second consist of, in which a second's import would be half of the work."""

LIGHT = [name for name in MODULES if not any(name in users for users in HEAVY.values())]


def names(files) -> list[str]:
    return [file.stem for file in files]


def dotted(files) -> set[str]:
    return {".".join(file.relative_to(LIBRARY).with_suffix("").parts) for file in files}


def of_script(script: str, left_out: Set[str] = frozenset()) -> set[str]:
    without = RECORD_KEEPING | left_out
    return dotted(library_files(SCRIPTS / f"{script}.py", LIBRARY, without=without))


def dotted_imports(script: str) -> set[str]:
    """The modules that a script imports itself, functions in it aside."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inner = {id(node) for function in functions for node in ast.walk(function)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {str(n.module).removeprefix("gallerist.") for n in found if id(n) not in inner}


def packages(modules) -> set[str]:
    return {name.split(".")[0] for name in modules}


def package(folder: Path, **sources: str) -> Path:
    """A made-up library `toys` of modules with these sources."""
    (folder / "toys").mkdir()
    for name, source in sources.items():
        (folder / "toys" / f"{name}.py").write_text(source)
    return folder / "toys"


def script(folder: Path, source: str) -> Path:
    path = folder / "script.py"
    path.write_text(source)
    return path


def test_modules_are_found_through_each_other_and_in_circles(tmp_path):
    library = package(
        tmp_path,
        a="from toys.b import thing",
        b="import toys.c",
        c="from toys import a",
        other="from toys import a",
    )
    start = script(tmp_path, "from toys.a import x")
    assert names(library_files(start, library)) == ["a", "b", "c"]


def test_every_way_to_import_a_module_is_seen(tmp_path):
    library = package(tmp_path, **dict.fromkeys("abcdefg", ""))
    start = script(
        tmp_path,
        "import os, toys.a\n"
        "import toys.b as renamed\n"
        "from toys import c, d as other\n"
        "from toys.e import *\n"
        "def later():\n    from toys.f import x\n"
        "if False:\n    import toys.g\n",
    )
    assert names(library_files(start, library)) == list("abcdefg")


def test_what_only_looks_like_the_library_is_left_out(tmp_path):
    library = package(tmp_path, a="", b="")
    start = script(
        tmp_path,
        "import toyshop.a, a\nfrom toysx.b import y\nfrom toys import __version__\n"
        "text = 'from toys.a import x'  # import toys.b\n",
    )
    assert library_files(start, library) == []


def test_modules_of_packages_are_found_by_every_way_to_import_them(tmp_path):
    library = package(tmp_path)
    for name in ("a", "b", "c", "d", "not_used"):
        path = library / name / "deep" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text("")
        (library / name / "__init__.py").write_text("import toys.not_used.deep.not_used")
    start = script(
        tmp_path,
        "import toys.a.deep.a\n"
        "from toys.b.deep import b\n"
        "from toys.c.deep.c import thing\n"
        "def later():\n    from toys.d.deep.d import thing\n",
    )
    assert names(library_files(start, library)) == list("abcd")
    assert names(library_files(start, library, without={"a", "b.deep", "c.deep.c"})) == ["d"]


def test_the_digest_is_another_when_a_file_of_them_is_another_and_no_other(tmp_path):
    sources = {"a": "from toys import b", "b": "1", "other": "1"}
    edits = {"a": "from toys import b\n", "b": "2", "other": "2"}

    def digest(folder, text="from toys.a import x", **changed):
        folder.mkdir()
        library = package(folder, **{**sources, **changed})
        return code_digest(script(folder, text), library)

    kept = digest(tmp_path / "kept")
    assert digest(tmp_path / "moved") == kept
    assert digest(tmp_path / "script", "from toys.a import y") != kept
    found = {name: digest(tmp_path / name, **{name: text}) for name, text in edits.items()}
    assert {name for name, each in found.items() if each != kept} == {"a", "b"}


def test_record_keeping_is_left_out_with_all_that_only_it_uses(tmp_path):
    library = package(tmp_path, only_for_records="", work="from toys import shared", shared="")
    for name in RECORD_KEEPING:
        (library / name).mkdir()
        (library / name / "x.py").write_text("from toys import only_for_records, shared")
    imports = "".join(f"from toys.{name} import x\n" for name in RECORD_KEEPING)
    start = script(tmp_path, imports + "from toys.work import y\n")
    assert names(library_files(start, library)) == ["shared", "work"]


def test_the_library_is_imported_by_its_full_name_only():
    """`library_files` sees no relative imports, nor names put together at run time."""
    for file in [*LIBRARY.rglob("*.py"), *SCRIPTS.glob("*.py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level
        ], file
        assert "import_module" not in file.read_text(encoding="utf-8"), file


def imports(name: str) -> set[str]:
    """Modules of the library that one of its modules names itself."""
    path = LIBRARY / f"{name.replace('.', '/')}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    named |= {each.rpartition(".")[0] for each in named}
    return {name for name in MODULES if f"gallerist.{name}" in named}


def test_a_package_imports_only_those_before_it():
    against = {
        (name, other)
        for name in MODULES
        for other in imports(name)
        if ORDER.index(other.split(".")[0]) > ORDER.index(name.split(".")[0])
    }
    assert not against


def test_no_stage_knows_of_the_view_of_its_records():
    """It only writes files: no process of a job is to load MLflow, or to wait for it."""
    for name in (name for name in MODULES if name.startswith(("workflow.", "records."))):
        assert not any(other.startswith("tracking.") for other in imports(name)), name


def test_a_package_says_what_it_is_and_what_it_may_import_and_nothing_else():
    for path in LIBRARY.rglob("*/__init__.py"):
        text = path.read_text(encoding="utf-8")
        assert [type(node) for node in ast.parse(text).body] == [ast.Expr], path
        assert "import" in text, path


def test_contributing_lists_the_packages_in_order_with_what_they_may_import():
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| package |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = {cells[1].strip(" `"): cells[3] for cells in (line.split("|") for line in table)}
    assert list(rows) == ORDER
    heavy = {"TensorFlow": {"tensorflow", "keras"}, "MLflow": {"mlflow"}}
    heavy |= {name: {name} for name in ("pandas", "matplotlib")}
    for place, (package, allowed) in enumerate(rows.items()):
        modules = [name for name in MODULES if name.split(".")[0] == package]
        above = ORDER[:place] if "all above" in allowed else re.findall(r"`(\w+)`", allowed)
        for name in modules:
            assert packages(imports(name)) <= {package, *above}, name
        found = set().union(*map(imported_packages, modules)) if modules else set()
        assert {name for name in heavy if found & heavy[name]} == {
            name for name in heavy if name in allowed
        }, package
        if "all above" not in allowed:
            init = (LIBRARY / package / "__init__.py").read_text(encoding="utf-8")
            stated = init.partition(" may import ")[2].partition(";")[0]
            assert set(re.findall(r"\w+", stated)) & set(ORDER) == set(above), package


def test_the_picture_of_the_house_has_every_package():
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = text.partition("## The house")[2].split("```")[1]
    assert set(ORDER) <= set(re.findall(r"\w+", picture))


def test_every_module_is_reached_from_a_script_a_rule_or_a_command(tmp_path):
    """What is not is dead, or waited on by nobody when it should be: no edit would repeat a job."""
    rules = tmp_path / "rules.py"
    lines = [line.strip() for path in RULES for line in path.read_text("utf-8").splitlines()]
    rules.write_text("\n".join(line for line in lines if line.startswith("from gallerist.")))
    started = [LIBRARY / f"{name.replace('.', '/')}.py" for name in STARTED_BY_NAME]
    starts = [*SCRIPTS.glob("*.py"), rules, *started]
    imported = {file for start in starts for file in library_files(start, LIBRARY, without=set())}
    assert set(MODULES) - dotted(imported) == set(STARTED_BY_NAME)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_is_short_and_says_first_which_rule_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert text.startswith(f'"""Rule {path.stem}: ')


def test_the_search_waits_on_no_network():
    found = of_script("search_gallery")
    assert {"search.exact", "features.store", "search.ranking", "io.files"} <= found
    assert not packages(found) & {"networks", "training", "evaluation", "capsule", "figures"}
    assert not found & {"features.network", "data.decoding"}


def test_only_an_evaluation_that_has_them_waits_on_maps_and_curves_of_training_and_of_risk():
    drawn = of_script("evaluate_retrieval") - of_script("evaluate_retrieval", DRAWN_BY_SOME)
    risk = {"abstaining", "abstaining_report", "risk_coverage", "threshold"}
    assert drawn == {
        *("figures.training_curves", "training.history", "figures.risk_coverage"),
        *(f"evaluation.{name}" for name in risk),
        *("figures.feature_map", "features.store", "io.row_file"),
    }


def test_only_an_import_that_draws_waits_on_what_is_embedded():
    drawn = of_script("import_images") - of_script("import_images", DRAWN_BY_SOME)
    assert {"challenge.embedded", "challenge.drawing", "data.silhouettes"} <= drawn
    assert not packages(of_script("import_images", DRAWN_BY_SOME)) & {"challenge"}


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_script_imports_by_itself_what_only_some_of_its_jobs_draw(path):
    """Such a module is left out of what a rule waits on, unless the rule names it."""
    assert of_script(path.stem) & DRAWN_BY_SOME <= dotted_imports(path.stem)


def test_the_evaluation_waits_on_no_search_and_no_network():
    found = of_script("evaluate_retrieval", DRAWN_BY_SOME)
    assert {"search.ranking", "data.manifest"} <= found
    assert not packages(found) & {"networks", "training", "features"}
    assert not found & {"search.exact", "data.preprocessing"}


def test_training_waits_on_how_pictures_are_read():
    found = of_script("train_network")
    assert {"data.decoding", "data.preprocessing", "data.manifest", "io.files"} <= found
    assert {"training.loop", "networks.architectures"} <= found
    assert not packages(found) & {"search", "evaluation", "capsule", "figures"}
    assert "data.augmentation" not in found


def test_extraction_waits_on_how_pictures_are_read_and_not_on_training():
    found = of_script("extract_features")
    assert {"features.network", "networks.architectures", "features.store"} <= found
    assert {"data.decoding", "data.preprocessing"} <= found
    assert not packages(found) & {"search", "evaluation", "capsule", "figures", "training"}
    assert "data.augmentation" not in found


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_no_stage_waits_on_its_record_keeping_or_on_the_command_line(path):
    found = packages(of_script(path.stem))
    assert not found & (RECORD_KEEPING | {"config", "browse", "commands"})


def imported_packages(name: str) -> set[str]:
    """Every package that a module imports anywhere in its text."""
    tree = ast.parse((LIBRARY / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    modules = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module.split(".")[0] for module in modules}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_knows_snakemake_and_only_tracking_and_registry_know_mlflow(name):
    found = imported_packages(name)
    assert "snakemake" not in found
    registry = {"serving.registry", "serving.package", "serving.pyfunc"}
    assert "mlflow" not in found or name.startswith("tracking.") or name in registry


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (LIGHT, {"tensorflow", "keras", "pandas", "matplotlib", "mlflow", "snakemake"}),
        (HEAVY["matplotlib"], {"tensorflow", "keras", "pandas", "mlflow"}),
        (RANKING, {"pandas", "scipy.stats", "sklearn"}),
    ],
    ids=["light", "pictures", "ranking"],
)
def test_importing_a_module_loads_no_heavy_package_that_it_does_not_work_with(modules, forbidden):
    """One after the other in one process: the first module to load one is named."""
    program = (
        "import importlib, sys\n"
        f"for name in {sorted(modules)!r}:\n"
        "    importlib.import_module(f'gallerist.{name}')\n"
        f"    loaded = sorted(set({sorted(forbidden)!r}) & sys.modules.keys())\n"
        "    if loaded: sys.exit(f'{name} loads {loaded}')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_only_stages_that_compute_with_a_network_can_load_tensorflow():
    """Those that only run one do so for a GPU: what they import themselves is light, see above."""
    stages = {path.stem for path in SCRIPTS.glob("*.py")}
    computing = {stage for stage in stages if of_script(stage) & HEAVY["tensorflow"]}
    running = {"extract_trunk", "extract_features", "encode_images", "explain_experiment"}
    building = {"fetch_weights", "export_trunk", "import_keras", "train_network"}
    assert computing == building | running
    for stage in running:
        assert not dotted_imports(stage) & HEAVY["tensorflow"], stage
