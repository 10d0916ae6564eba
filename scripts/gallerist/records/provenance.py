"""Where a result comes from: the code, the packages, the machine, the process, the inputs."""

import logging
import os
import platform
import socket
import subprocess
import threading
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from gallerist import CHECKOUT
from gallerist.io.files import PathLike, sha256_of_file

logger = logging.getLogger("gallerist")

PACKAGES = (
    "snakemake",
    "tensorflow",
    "keras",
    "numpy",
    "pandas",
    "scikit-learn",
    "matplotlib",
    "mlflow",
    "pillow",
    "opencv-python-headless",
    "openvino",
    "faiss-cpu",
    "mahotas",
    "scikit-image",
    "scipy",
    "ImageHash",
)
"""The packages whose version may change a result or a picture of one."""

_SAME_PROCESS = 5.0
"""Seconds by which two readings of one process's start may differ when the clock is set."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed, without importing any."""
    found = {"python": platform.python_version()}
    if own := _own_version():
        found["gallerist"] = own
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _own_version() -> str | None:
    """Gallerist's version: of the checkout this file is in, else of the installed package."""
    try:
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
        if project["project"]["name"] == "gallerist":
            return str(project["project"]["version"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        return metadata.version("gallerist")
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class CodeState:
    """The git commit of the code, and whether tracked files differ from it. None: not known."""

    commit: str | None
    dirty: bool | None


def code_state(folder: PathLike) -> CodeState:
    """The state of the git checkout that holds `folder`; unknown outside git or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return CodeState(None, None)
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return CodeState(commit, None if changes is None else bool(changes))


def _git(folder: PathLike, *arguments: str) -> str | None:
    # Without the lock a status beside a person's commit neither waits nor makes that commit fail.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def host() -> str:
    """The name this machine goes by."""
    return socket.gethostname()


def process_started(pid: int) -> float | None:
    """When process `pid` started, in seconds since the epoch; None when it is gone or a zombie."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return 0.0


def may_be_running(pid: int, started: float) -> bool:
    """Whether the process `pid` that started then still runs, or cannot be told from it.

    A later process with the same pid has started at another time.
    """
    found = process_started(pid)
    return found is not None and (found == 0 or abs(found - started) <= _SAME_PROCESS)


class InputHashes:
    """SHA-256 of every input file, computed on a thread while the stage is at work.

    Folders are left out: their content is the business of a manifest.
    """

    def __init__(self, paths: Iterable[PathLike]) -> None:
        """Start hashing `paths`."""
        self._hashes: dict[str, str] = {}
        self._paths = [str(path) for path in paths]
        self._thread = threading.Thread(target=self._run, name="input hashes", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for path in self._paths:
            try:
                if Path(path).is_file():
                    self._hashes[path] = sha256_of_file(path)
            except OSError as error:
                logger.warning("%s: its hash is missing from the record: %s", path, error)

    def result(self, timeout: float | None = None) -> dict[str, str]:
        """The hashes, in the order of the paths, waiting at most `timeout` seconds for them."""
        self._thread.join(timeout)
        return dict(self._hashes)
