"""Where results come from, as files to read: the configuration, changes of the code, the rules.

They lie below a data set's results in a folder named by their content: `origin/<digest>/<name>`. So
the jobs of a workflow share them, they stay what they were, and MLflow can be given them again.
"""

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gallerist.io.files import PathLike, canonical_json, replacing

_FOLDER = "origin"
_PICTURE = "workflow.png"
_DIFF_LIMIT = 1_000_000
"""Bytes of a difference that are kept."""

_NAMED = 100
"""Files without a history that are named."""

_WHOLE = ("--full-name", "--directory", "--no-empty-directory", ":/")
"""Of the whole checkout; a folder that git does not follow is one name, and is not searched."""

_PATIENCE = 10.0


def keep_configuration(results: PathLike, config: Mapping[str, Any]) -> Path:
    """The completed configuration as `config.yaml`, to be read and to be run again.

    results: the folder of the data set. Passwords in addresses are left out.
    """
    place = _place(results, canonical_json(config).encode(), "config.yaml")
    if not place.exists():
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)
        _write(place, re.sub(r"(?<=://)[^/@\s]+@", "***@", text).encode())
    return place


def keep_code_changes(results: PathLike, commit: str, folder: PathLike) -> Path | None:
    """What the checkout that holds `folder` differs in from `commit`, as `code.diff`.

    `git apply` takes it. Files that git does not follow are named, of binary ones only that they
    differ; it is cut after a megabyte, and says so. None when git does not answer.
    """
    difference = _git(
        folder,
        *("diff", commit, "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative"),
        *("--src-prefix=a/", "--dst-prefix=b/"),
    )
    if difference is None:
        return None
    told = [f"What the code differed in from commit {commit}."]
    if len(difference) > _DIFF_LIMIT:
        told.append(f"CUT: only the first {_DIFF_LIMIT} bytes of it are here.")
    others = _git(folder, "ls-files", "--others", "--exclude-standard", *_WHOLE) or b""
    names = others.decode(errors="replace").splitlines()
    told += [f"Not followed by git: {name}" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        told.append(f"Not followed by git: {len(names) - _NAMED} more")
    head = "".join(f"# {line}\n" for line in told).encode()
    content = head + difference[:_DIFF_LIMIT]
    place = _place(results, content, "code.diff")
    if not place.exists():
        _write(place, content)
    return place


def keep_rule_graph(results: PathLike, graph: Mapping[str, Sequence[str]], title: str) -> Path:
    """The rules of the workflow that begins as `workflow.png`; drawn if it was not yet.

    graph: as of `rule_graph.draw`. It becomes what `last_rule_graph` gives.
    """
    place = _place(results, canonical_json([title, graph]).encode(), _PICTURE)
    if place.exists():
        os.utime(place)
    else:
        from gallerist.figures.rule_graph import draw

        draw(graph, place, title=title)
    return place


def last_rule_graph(results: PathLike) -> Path | None:
    """The picture that was kept last; None when none was."""
    kept = Path(results, _FOLDER).glob(f"*/{_PICTURE}")
    return max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)


def _place(results: PathLike, content: bytes, name: str) -> Path:
    return Path(results, _FOLDER, hashlib.sha256(content).hexdigest()[:16], name)


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _git(folder: PathLike, *arguments: str) -> bytes | None:
    """What git answers, cut after one byte more than is kept; None when it cannot, or not soon."""
    try:
        process = subprocess.Popen(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # see provenance.py
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    impatience = threading.Timer(_PATIENCE, process.kill)
    impatience.start()
    with process:
        assert process.stdout is not None
        answer = process.stdout.read(_DIFF_LIMIT + 1)
        if len(answer) > _DIFF_LIMIT:
            process.kill()
    impatience.cancel()
    return answer if process.returncode == 0 or len(answer) > _DIFF_LIMIT else None
