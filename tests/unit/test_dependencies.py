"""Which library modules a stage waits on, and which heavy packages a module may load."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gallerist
from gallerist.dependencies import RECORD_KEEPING, library_files, use_library_in

LIBRARY = Path(gallerist.__file__).parent
SCRIPTS = LIBRARY.parent
STAGES = sorted(
    path for path in SCRIPTS.glob("*.py") if path.stem not in ("sync_tracking", "prune_runs")
)
"""All scripts but those that make no result."""
MODULES = sorted(path.stem for path in LIBRARY.glob("*.py") if path.stem != "__init__")

HEAVY = {
    "tensorflow": {
        *("describer", "engine", "frozen_graph", "fused_adam", "gem", "graph_cut", "network"),
        *(
            "network_sizes",
            "pixel_scaling",
            "rmac",
            "runtime",
            "similarity_map",
            "training",
            "training_state",
            "trunk",
        ),
    },
    "pandas": {"comparison", "remarks"},
    "matplotlib": {
        *("answer_strips", "class_bars", "curve_plots", "evaluation_pictures"),
        *("feature_map", "key_point_pictures"),
        *("match_pictures", "palette", "plots", "rule_graph", "similarity_pictures"),
    },
    "mlflow": {"searchable_pyfunc"},
}
"""Package that takes seconds to load -> the modules whose work needs it as soon as imported."""

LIGHT = [name for name in MODULES if not any(name in users for users in HEAVY.values())]


def names(files) -> list[str]:
    return [file.stem for file in files]


def of_script(script: str) -> set[str]:
    return set(names(library_files(SCRIPTS / f"{script}.py", LIBRARY)))


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


def test_record_keeping_is_left_out_with_all_that_only_it_uses(tmp_path):
    library = package(
        tmp_path,
        **dict.fromkeys(RECORD_KEEPING, "from toys import only_for_records, shared"),
        only_for_records="",
        work="from toys import shared",
        shared="",
    )
    imports = "".join(f"from toys.{name} import x\n" for name in RECORD_KEEPING)
    start = script(tmp_path, imports + "from toys.work import y\n")
    assert names(library_files(start, library)) == ["shared", "work"]


def test_the_library_is_imported_by_its_full_name_only():
    """`library_files` sees no relative imports, nor names put together at run time."""
    for file in [*LIBRARY.glob("*.py"), *SCRIPTS.glob("*.py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level
        ], file
        assert "import_module" not in file.read_text(encoding="utf-8"), file


def test_the_search_waits_on_no_network():
    found = of_script("search_gallery")
    assert {"search", "features", "ranking", "files"} <= found
    assert not found & {"network", "backbones", "training", "describer", "images", "evaluation"}


def test_the_curves_wait_on_no_network():
    found = of_script("plot_training")
    assert {"plots", "training_history"} <= found
    assert not found & {"network", "backbones", "training", "describer", "search"}


def test_the_evaluation_waits_on_no_search_and_no_network():
    found = of_script("evaluate_retrieval")
    assert {"evaluation", "ranking", "manifest"} <= found
    assert not found & {"search", "features", "network", "training", "describer", "preprocessing"}


def test_training_waits_on_how_pictures_are_read():
    found = of_script("train_network")
    assert {"training", "network", "images", "preprocessing", "manifest", "files"} <= found
    assert not found & {"search", "evaluation", "plots", "augmentation"}


def test_extraction_waits_on_how_pictures_are_read_and_not_on_training():
    found = of_script("extract_features")
    assert {"describer", "network", "images", "preprocessing", "features"} <= found
    assert not found & {"search", "evaluation", "plots", "augmentation", "training"}


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_no_stage_waits_on_its_record_keeping_or_on_the_command_line(path):
    found = of_script(path.stem)
    assert not found & RECORD_KEEPING
    assert not [name for name in found if name.startswith(("tracking", "stage", "configuration"))]
    assert not found & {"cli", "single_search", "layout", "dependencies"}


def imported_packages(name: str) -> set[str]:
    """Every package that a module imports anywhere in its text."""
    tree = ast.parse((LIBRARY / f"{name}.py").read_text(encoding="utf-8"))
    modules = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module.split(".")[0] for module in modules}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_knows_snakemake_and_only_tracking_and_registry_know_mlflow(name):
    packages = imported_packages(name)
    assert "snakemake" not in packages
    registry = {"registration", "saved_model", "searchable_pyfunc"}
    assert "mlflow" not in packages or name.startswith("tracking_") or name in registry


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (LIGHT, {"tensorflow", "keras", "pandas", "matplotlib", "mlflow", "snakemake"}),
        (HEAVY["pandas"], {"tensorflow", "keras", "matplotlib", "mlflow"}),
        (HEAVY["matplotlib"], {"tensorflow", "keras", "pandas", "mlflow"}),
    ],
    ids=["light", "tables", "pictures"],
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


def test_only_stages_that_compute_with_a_network_load_tensorflow():
    stages = {path.stem for path in SCRIPTS.glob("*.py")}
    computing = {stage for stage in stages if of_script(stage) & HEAVY["tensorflow"]}
    assert computing == {"train_network", "extract_trunk", "extract_features", "draw_similarity"}


def test_processes_import_the_library_that_they_were_told_to(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    package = tmp_path / "gallerist"
    package.mkdir()
    (package / "__init__.py").write_text("ORIGIN = 'this checkout'\n", encoding="utf-8")
    use_library_in(tmp_path)
    program = "import gallerist; print(gallerist.ORIGIN)"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() == "this checkout"
    assert os.environ["PYTHONPATH"].endswith(f"{os.pathsep}elsewhere")
