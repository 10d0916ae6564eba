"""Where a result comes from: the code, the packages, the machine, the process, the inputs.

What of it is to be read lies below a data set's results in a folder named by its content:
`origin/<digest>/<name>`, the configuration, changes of the code, the rules. So the jobs of a
workflow share the files, they stay what they were, and MLflow can be given them again.
"""

import hashlib
import logging
import os
import platform
import socket
import subprocess
import threading
import tomllib
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from gallerist import CHECKOUT, LIBRARY
from gallerist.io.addresses import shown_url
from gallerist.io.files import PathLike, canonical_json, replacing, sha256_of_file, write_text
from gallerist.records.record import Record, now

logger = logging.getLogger("gallerist")

PACKAGES = (
    "snakemake",
    "tensorflow",
    "tensorflow-cpu",
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

_FOLDER = "origin"
_PICTURE = "workflow.png"
_DIFF_LIMIT = 1_000_000
"""Bytes of a difference that are kept."""

_NAMED = 100
"""Files without a history that are named."""

_CONFIGURATIONS = (":(top,exclude)config", ":(top,exclude)*.yaml", ":(top,exclude)*.yml")
"""Where people write what no result shows: remarks, and passwords that were tried."""

_WHOLE = ("--full-name", "--directory", "--no-empty-directory", ":/")
"""Of the whole checkout; a folder that git does not follow is one name, and is not searched."""

_GIT_TIMEOUT = 10.0


def open_record(stage: str, dataset: str, title: str, **further: Any) -> Record:
    """The record of an execution that begins: by what code, on which machine, in which process.

    further: other fields of the record, which come before what is found here.
    """
    commit, dirty = code_state(LIBRARY)
    found = {
        "execution": uuid.uuid4().hex,
        "started": now(),
        "versions": versions(),
        "git_commit": commit,
        "git_dirty": dirty,
        "host": host(),
        "pid": os.getpid(),
        "process_started": process_started(os.getpid()),
    }
    return Record(stage=stage, dataset=dataset, title=title, **{**found, **further})


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed, without importing any."""
    found = {"python": platform.python_version()}
    project = CHECKOUT / "pyproject.toml"
    if project.is_file():  # which an installed package may not be of
        found["gallerist"] = tomllib.loads(project.read_text("utf-8"))["project"]["version"]
    for package in ("gallerist", *PACKAGES):
        with suppress(metadata.PackageNotFoundError):
            # The same TensorFlow, without what GPUs need.
            found.setdefault(
                package.replace("tensorflow-cpu", "tensorflow"), metadata.version(package)
            )
    return found


def code_state(folder: PathLike) -> tuple[str | None, bool | None]:
    """The commit of the git checkout that holds `folder`, and whether tracked files differ from it.

    None for what is not known: outside git, or without git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None, None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit.decode().strip(), None if changes is None else bool(changes)


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
        self._thread = threading.Thread(target=self._run, args=(list(paths),), daemon=True)
        self._thread.start()

    def _run(self, paths: list[PathLike]) -> None:
        for path in paths:
            try:
                if Path(path).is_file():
                    self._hashes[str(path)] = sha256_of_file(path)
            except OSError as error:
                logger.warning("%s: its hash is missing from the record: %s", path, error)

    def result(self, timeout: float | None = None) -> dict[str, str]:
        """The hashes, in the order of the paths, waiting at most `timeout` seconds for them."""
        self._thread.join(timeout)
        return dict(self._hashes)


def keep_configuration(results: PathLike, config: Mapping[str, Any]) -> Path:
    """The completed configuration as `config.yaml`, to be read and to be run again.

    results: the folder of the data set. What lets somebody in is left out of addresses.
    """
    shown = _without_secrets(config)
    place = _place(results, canonical_json(shown).encode(), "config.yaml")
    if not place.exists():
        write_text(place, yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100))
    return place


def _without_secrets(value: Any) -> Any:
    """A value of the configuration as it may be kept among the results, and shown."""
    if isinstance(value, Mapping):
        return {name: _without_secrets(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(inner) for inner in value]
    return shown_url(value) if isinstance(value, str) else value


def keep_code_changes(results: PathLike, commit: str, folder: PathLike) -> Path | None:
    """What the checkout that holds `folder` differs in from `commit`, as `code.diff`.

    `git apply` takes it, where no address in it had a password. Configurations are left out, for
    their comments are nobody else's; `config.yaml` has what they say. Files that git does not
    follow are named, of binary ones only that they differ; it is cut after a megabyte, and says so.
    None when git does not answer.
    """
    difference = _git(
        folder,
        *("diff", commit, "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative"),
        *("--src-prefix=a/", "--dst-prefix=b/", "--", ":(top)", *_CONFIGURATIONS),
    )
    if difference is None:
        return None
    text = difference.decode(errors="surrogateescape")
    difference = shown_url(text).encode(errors="surrogateescape")
    lines = [f"What the code differed in from commit {commit}, without configurations."]
    if len(difference) > _DIFF_LIMIT:
        lines.append(f"CUT: only the first {_DIFF_LIMIT} bytes of it are here.")
    others = _git(folder, "ls-files", "--others", "--exclude-standard", *_WHOLE) or b""
    names = others.decode(errors="replace").splitlines()
    lines += [f"Not followed by git: {name}" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        lines.append(f"Not followed by git: {len(names) - _NAMED} more")
    head = "".join(f"# {line}\n" for line in lines).encode()
    content = head + difference[:_DIFF_LIMIT]
    place = _place(results, content, "code.diff")
    if not place.exists():
        with replacing(place) as temporary:
            temporary.write_bytes(content)
    return place


def keep_rule_graph(
    results: PathLike, graph: Mapping[str, Any], title: str, draw: Callable[..., None]
) -> Path:
    """The rules of the workflow that begins as `workflow.png`; drawn if it was not yet.

    draw: `figures.rule_graph.draw`, which takes `graph`. It becomes what `last_rule_graph` gives.
    """
    place = _place(results, canonical_json([title, graph]).encode(), _PICTURE)
    if place.exists():
        os.utime(place)
    else:
        draw(graph, place, title=title)
    return place


def last_rule_graph(results: PathLike) -> Path | None:
    """The picture that was kept last; None when none was."""
    kept = Path(results, _FOLDER).glob(f"*/{_PICTURE}")
    return max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)


def _place(results: PathLike, content: bytes, name: str) -> Path:
    return Path(results, _FOLDER, hashlib.sha256(content).hexdigest()[:16], name)


def _git(folder: PathLike, *arguments: str) -> bytes | None:
    """What git answers; None when it cannot, or not soon.

    Without its lock a status beside a person's commit neither waits nor makes that commit fail.
    """
    try:
        return subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
