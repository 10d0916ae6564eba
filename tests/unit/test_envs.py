"""The locks: complete, hashed, free of addresses, and in step with each other and with conda's."""

import ast
import contextlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from checkout import CHECKOUT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ENVS = CHECKOUT / "envs"
LOCKS = (
    *("requirements.lock", "requirements-gpu.lock"),
    *("requirements-server.lock", "requirements-slurm.lock", "requirements-keras-hub.lock"),
    *("requirements-dev.lock", "requirements-uv.lock"),
)
STANDS_FOR = {"tensorflow": "tensorflow-cpu"}
"""A package that is asked for -> the one that is installed in its place."""

PYTHONS = ("3.11", "3.12", "3.13")


def text_of(name):
    return (ENVS / name).read_text(encoding="utf-8")


def logical_lines(text):
    """Lines of a requirements file, joined where they are continued, without comments."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def locked(name):
    """The requirements of a lock, read by `packaging` instead of by our own expression."""
    return [Requirement(line.partition(" --hash")[0]) for line in logical_lines(text_of(name))]


def wanted(name):
    """The direct requirements of a requirements*.in, those of the files it includes too."""
    found = []
    for line in logical_lines(text_of(name)):
        if line.startswith("-r "):
            found += wanted(line.removeprefix("-r ").strip())
        else:
            found.append(Requirement(line))
    return found


def on_linux(python):
    """What markers ask for, of a CPython there."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
    }


def versions(requirements, python="3.11"):
    """Name -> version of the pins that a CPython on Linux would install."""
    here = on_linux(python)
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in requirements
        if each.marker is None or each.marker.evaluate(here)
    }


def lock_module():
    return module_of("lock")


def module_of(name):
    specification = importlib.util.spec_from_file_location(name, ENVS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_conda_environment_is_the_one_that_the_lock_gives():
    expected = lock_module().conda_environment(text_of("requirements.lock"))
    assert text_of("gallerist.yaml") == expected, "run `make lock`"


def test_the_conda_environment_has_every_pin_of_the_lock_and_no_other():
    environment = yaml.safe_load(text_of("gallerist.yaml"))
    (pip,) = [each["pip"] for each in environment["dependencies"] if isinstance(each, dict)]
    conda = {
        (canonicalize_name(r.name), str(r.specifier), str(r.marker)) for r in map(Requirement, pip)
    }
    lock = {
        (canonicalize_name(r.name), str(r.specifier), str(r.marker))
        for r in locked("requirements.lock")
        if canonicalize_name(r.name) not in ("tensorflow", "tensorflow-cpu")
    }
    (tensorflow,) = [r for r in locked("requirements.lock") if r.name == "tensorflow"]
    # conda has pip install what packages need, and some need it by this name.
    assert conda == lock | {("tensorflow", str(tensorflow.specifier), "None")}


def test_the_conda_environment_admits_the_pythons_of_the_package():
    environment = yaml.safe_load(text_of("gallerist.yaml"))
    (python,) = [
        each.removeprefix("python ")
        for each in environment["dependencies"]
        if isinstance(each, str) and each.startswith("python ")
    ]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SpecifierSet(python) == SpecifierSet(project["requires-python"])
    assert "pip" in environment["dependencies"]


@pytest.mark.parametrize("name", [*LOCKS, "gallerist.yaml"])
def test_no_lock_names_an_index_a_host_or_a_path(name):
    for line in text_of(name).splitlines():
        assert "://" not in line
        assert "@" not in line
        assert not re.match(
            r"\s*(-i|-f|-e|--index-url|--extra-index-url|--find-links|--trusted)", line
        )
        assert not re.search(r"(^|\s)(/|\.\.?/|~)", line)


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_has_one_version_and_its_hashes(name):
    lines = logical_lines(text_of(name))
    assert lines
    for line in lines:
        pin, *hashes = line.split(" --hash=")
        (clause,) = Requirement(pin).specifier
        assert clause.operator == "=="
        assert "*" not in clause.version
        assert hashes, f"{pin} has no hash"
        for each in hashes:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip())


MACHINES = {
    ("Linux", "x86_64", (2, 28)): None,
    ("Linux", "x86_64", (2, 40)): None,
    ("Linux", "aarch64", (2, 35)): None,
    ("Darwin", "arm64", (14, 0)): None,
    ("Darwin", "arm64", (26, 1)): None,
    ("Darwin", "arm64", (13, 6)): "macOS on Apple silicon with 13.6",
    ("Darwin", "x86_64", (14, 0)): "macOS on x86_64",
    ("Linux", "x86_64", (2, 17)): "Linux on x86-64 with 2.17",
    ("Linux", "x86_64", ()): "Linux on x86-64 with another C library",
    ("Linux", "aarch64", (2, 31)): "with 2.31",
    ("Linux", "riscv64", (2, 40)): "Linux on riscv64",
    ("Windows", "AMD64", ()): "Use WSL",
    ("FreeBSD", "amd64", ()): "FreeBSD on amd64",
}
"""A machine -> what is said of it; nothing where the lock can be installed."""


@pytest.mark.parametrize("machine", MACHINES, ids=lambda each: " ".join(map(str, each)))
def test_a_machine_without_packages_is_refused_in_one_line_that_names_the_others(machine):
    refusal, expected = module_of("platforms").refusal(*machine), MACHINES[machine]
    assert (refusal is None) == (expected is None)
    if refusal:
        assert expected in refusal
        assert "macOS 14 or later on Apple silicon" in refusal
        assert "\n" not in refusal


def test_make_refuses_it_before_anything_is_installed(tmp_path):
    """A Python that says that it is on an Intel Mac."""
    for name in ("Makefile", "envs", "pyproject.toml"):
        source = CHECKOUT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, tmp_path / name)
    fake = tmp_path / "python"
    pretends = (
        "import platform; platform.system = lambda: 'Darwin';platform.machine = lambda: 'x86_64'"
    )
    (tmp_path / "sitecustomize.py").write_text(pretends)
    fake.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["make", "run", f"PYTHON={fake}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert said[0].startswith("Gallerist's packages do not come for macOS on x86_64.")
    assert not (tmp_path / ".venv").exists()


def test_the_readme_states_the_platforms():
    readme = " ".join((CHECKOUT / "README.md").read_text(encoding="utf-8").split())
    for (system, _), (name, least, *_) in module_of("platforms").PLATFORMS.items():
        assert name.partition(",")[0].removeprefix("macOS ") in readme
        version = str(least[0]) if system == "Darwin" else ".".join(map(str, least))
        assert f"macOS {version}" in readme or f"glibc {version}" in readme


@pytest.mark.slow
def test_the_lock_resolves_for_each_stated_platform_and_python():
    """Asked of the index, as pip is configured; nothing is installed."""
    script = [sys.executable, ENVS / "platforms.py", "--resolve"]
    done = subprocess.run(script, capture_output=True, text=True)
    if "resolves" not in done.stdout:
        pytest.skip("no package index can be asked")
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    assert [line for line in lines if not line.endswith(": resolves")] == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_no_python_gets_two_versions_of_a_package(name, python):
    names = [next(iter(one)) for each in locked(name) if (one := versions([each], python))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("source", "lock"),
    [
        ("requirements.in", "requirements.lock"),
        ("requirements-gpu.in", "requirements-gpu.lock"),
        ("requirements-server.in", "requirements-server.lock"),
        ("requirements-slurm.in", "requirements-slurm.lock"),
        ("requirements-keras-hub.in", "requirements-keras-hub.lock"),
        ("requirements-dev.in", "requirements-dev.lock"),
    ],
)
def test_every_direct_requirement_is_pinned_within_its_range(source, lock, python):
    pinned = versions(locked(lock), python)
    for requirement in wanted(source):
        if requirement.marker and not requirement.marker.evaluate(on_linux(python)):
            continue
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in {lock}: run `make lock`"
        assert requirement.specifier.contains(Version(version)), f"{requirement} is {version}"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("other", sorted({*LOCKS} - {"requirements.lock", "requirements-uv.lock"}))
def test_all_locks_agree_on_versions(other, python):
    run, more = (versions(locked(name), python) for name in ("requirements.lock", other))
    shared = run.keys() & more.keys()
    assert shared
    assert {name: more[name] for name in shared} == {name: run[name] for name in shared}


@pytest.mark.parametrize("part", ["requirements.lock", "requirements-server.lock"])
def test_the_development_lock_holds_all_of_another(part):
    """The tests run the workflow, and a server as a team would."""
    less, more = (versions(locked(name)) for name in (part, "requirements-dev.lock"))
    assert less.items() <= more.items()


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-server.lock", "requirements-dev.lock"]
)
def test_a_lock_leaves_out_nothing_that_its_packages_need(name):
    """By their own metadata; pip refuses to install with hashes what is not locked."""
    pinned = versions(locked(name))
    for package in pinned:
        with contextlib.suppress(metadata.PackageNotFoundError):
            for needed in map(Requirement, metadata.requires(package) or ()):
                if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                    name = canonicalize_name(needed.name)
                    assert {name, STANDS_FOR.get(name)} & pinned.keys(), f"{package} needs {needed}"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_builds_the_package_is_locked_because_nothing_is_fetched_for_the_build(python):
    pinned = versions(locked("requirements.lock"), python)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    for requirement in map(Requirement, project["build-system"]["requires"]):
        assert requirement.specifier.contains(Version(pinned[canonicalize_name(requirement.name)]))


def test_a_marker_reaches_the_conda_environment_whole():
    lock = (
        "alpha==1.0 \\\n    --hash=sha256:00\n"
        "beta==2.1 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
    )
    assert lock_module().pins(lock) == ["alpha==1.0", "beta==2.1 ; python_full_version < '3.12'"]
    environment = yaml.safe_load(lock_module().conda_environment(lock))
    assert environment["dependencies"][-1]["pip"] == [
        "alpha==1.0",
        "beta==2.1; python_full_version < '3.12'",
    ]


def test_the_library_imports_nothing_that_the_run_lock_lacks():
    packages = {
        "yaml": "pyyaml",
        "PIL": "pillow",
        "cv2": "opencv-python-headless",
        "sklearn": "scikit-learn",
        "skimage": "scikit-image",
        "faiss": "faiss-cpu",
    }
    pinned = versions(locked("requirements.lock"))
    optional = {"keras_hub"}  # named, with what installs it, where it is wanted and missing
    own = optional | {"gallerist", "snakemake_logger_plugin_gallerist", *sys.stdlib_module_names}
    for source in (CHECKOUT / "scripts").rglob("*.py"):
        for name in imported(source) - own:
            package = canonicalize_name(packages.get(name, STANDS_FOR.get(name, name)))
            assert package in pinned, f"{source.name} imports {name}"


def imported(source):
    """The top-level names of all modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
    return names


PIP_LISTS = """\
:env:.default-timeout='180'
:env:.extra-index-url='https://one.example/simple https://two.example/simple'
global.cert='/etc/ca.pem'
global.index-url='https://global.example/simple'
install.find-links='/wheels'
install.index-url='https://install.example/simple'
"""


def test_uv_is_told_of_every_index_that_pip_is_configured_with():
    install = module_of("install")
    settings = install.pip_settings(PIP_LISTS)
    assert install.uv_arguments(settings) == [
        *("--index-strategy", "unsafe-best-match"),
        *("--default-index", "https://install.example/simple"),
        *("--extra-index-url", "https://one.example/simple"),
        *("--extra-index-url", "https://two.example/simple"),
        *("--find-links", "/wheels"),
    ]


def test_uv_is_told_how_pip_reaches_an_index_unless_the_user_tells_uv(monkeypatch):
    install = module_of("install")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "7")
    given = install.uv_environment(install.pip_settings(PIP_LISTS))
    assert (given["SSL_CERT_FILE"], given["UV_HTTP_TIMEOUT"]) == ("/etc/ca.pem", "7")


def test_pip_which_lists_nothing_leaves_uv_at_its_defaults():
    install = module_of("install")
    assert install.uv_arguments(install.pip_settings("")) == [
        *("--index-strategy", "unsafe-best-match"),
    ]


def test_pip_installs_what_uv_does_not_manage(monkeypatch, tmp_path):
    """A uv that cannot be brought: the lock that pip would bring it by is not there."""
    install = module_of("install")
    monkeypatch.setattr(install, "UV_LOCK", tmp_path / "none.lock")
    assert not install.install_with_uv(["--dry-run", "pip"])
