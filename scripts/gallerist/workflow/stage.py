"""What every script of the workflow starts with; only this module knows Snakemake's object.

with stage(snakemake) as run:
    ...
    run.metrics(images=len(images))
"""

import ast
import json
import logging
import os
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gallerist import LIBRARY
from gallerist.records.history import History
from gallerist.records.provenance import (
    CodeState,
    InputHashes,
    code_state,
    host,
    keep_code_changes,
    keep_configuration,
    last_rule_graph,
    process_started,
    versions,
)
from gallerist.records.record import Artifact, Record, Scalar, flatten, now, scalar
from gallerist.workflow.log import explain, logging_to, stoppable
from gallerist.workflow.machine import MachineUse
from gallerist.workflow.run import Run

logger = logging.getLogger("gallerist")

RESULTS = "results"
"""The folder, below the working directory, that everything produced goes to."""

_ITEMS = ("pretrained", "trunk")
"""Wildcards that say what a job is about where that is no experiment."""


@contextmanager
def stage(snakemake: Any) -> Iterator[Run]:
    """Run the body of a script as a stage: log file, signals and record.

    Within, all output goes to the rule's log file. When the body has ended well, the record is
    written to the output named `record`. When it has not, the traceback is in the log, a line for
    people is on standard error, and SystemExit(1) is raised. What is reported meanwhile, and how it
    ended, is in the history, from which `tracking.writer` shows it in MLflow: a stage only writes
    files.

    Begin it before importing anything heavy: what happens earlier is neither logged nor stoppable.
    """
    log = str(snakemake.log[0]) if len(snakemake.log) else None
    with logging_to(log) as terminal, stoppable():
        run = None
        title = _title(snakemake)
        try:
            logger.info(
                "%s on %s, pid %d, %s threads", title, host(), os.getpid(), snakemake.threads
            )
            run = _begin(snakemake, title, log)
            yield run
            run.finish(_named(snakemake.output).get("record"))
        except BaseException as error:
            traceback.print_exc()
            message = explain(error)
            _print_failure(terminal, title, message, log)
            if run is not None:
                run.fail(message)
            raise SystemExit(1) from None


def _begin(snakemake: Any, title: str, log: str | None) -> Run:
    """Start everything that goes on beside the body."""
    wildcards = _named(snakemake.wildcards)
    code = code_state(LIBRARY)
    # A rule that keeps no record leaves nothing else either.
    recorded = "record" in _named(snakemake.output)
    opening = Record(
        stage=str(snakemake.rule),
        dataset=str(snakemake.config["dataset"]["name"]),
        experiment=wildcards.get("experiment"),
        item=next((wildcards[name] for name in _ITEMS if name in wildcards), None),
        part=wildcards.get("part"),
        execution=uuid.uuid4().hex,
        title=title,
        started=now(),
        parameters=_parameters(_named(snakemake.params)),
        versions=versions(),
        git_commit=code.commit,
        git_dirty=code.dirty,
        host=host(),
        pid=os.getpid(),
        process_started=process_started(os.getpid()),
        tags={"threads": str(snakemake.threads), **_purpose(snakemake)},
        artifacts=_code_changes(snakemake.config, code) if recorded else (),
    )
    history = History.of(_results(snakemake.config))
    return Run(
        opening,
        inputs=InputHashes(map(str, snakemake.input)),
        machine=MachineUse(
            lambda second, use: history.add(opening, machine_use=_points(second, use))
        ),
        log=log,
        row_artifacts=_setup(snakemake.config) if recorded else (),
        history=history,
        params=_named(snakemake.params),
    )


def _points(second: int, use: Mapping[str, float]) -> dict[str, list[tuple[int, float]]]:
    return {name: [(second, value)] for name, value in use.items()}


def _code_changes(config: Mapping[str, Any], code: CodeState) -> tuple[Artifact, ...]:
    """The code as it differs from its commit."""
    if code.commit is None or not code.dirty:
        return ()
    kept = keep_code_changes(_results(config), code.commit, LIBRARY)
    return () if kept is None else (Artifact(str(kept)),)


def _setup(config: Mapping[str, Any]) -> tuple[Artifact, ...]:
    """The configuration, and the rules of the workflow that this job belongs to."""
    picture = last_rule_graph(_results(config))
    kept = [keep_configuration(_results(config), config), *([picture] if picture else [])]
    return tuple(Artifact(str(path)) for path in kept)


def _results(config: Mapping[str, Any]) -> Path:
    return Path(RESULTS, config["dataset"]["name"])


def _title(snakemake: Any) -> str:
    """The stage as people would call it: train_network resnet152."""
    wildcards = _named(snakemake.wildcards)
    chosen = [wildcards[name] for name in ("experiment", *_ITEMS, "part") if wildcards.get(name)]
    return " ".join(map(str, [snakemake.rule, *chosen]))


def _purpose(snakemake: Any) -> dict[str, str]:
    """What the first line of the rule's script says after its name, as a tag."""
    path = Path(getattr(snakemake, "scriptdir", "")) / f"{snakemake.rule}.py"
    try:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (OSError, SyntaxError):
        return {}
    _, _, purpose = text.partition("\n\n")[0].partition(": ")
    return {"purpose": " ".join(purpose.split())} if purpose else {}


def _named(values: Any) -> dict[str, Any]:
    """The named values of one of Snakemake's lists, or of anything that has attributes."""
    if hasattr(values, "items"):
        return {str(name): _plain(value) for name, value in values.items()}
    return dict(vars(values)) if hasattr(values, "__dict__") else {}


def _plain(value: Any) -> Any:
    """Without Snakemake's own subclasses of str, which should not travel further."""
    return str(value) if isinstance(value, str) else value


def _parameters(params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Parameters of a rule, flat. A text that holds a JSON object stands for what is in it.

    The keys of one called `settings` are the parameters themselves; others lend their name.
    """
    flat: dict[str, Scalar] = {}
    for name, value in params.items():
        inner = _json_object(value)
        if inner is None:
            flat[name] = scalar(value)
        else:
            flat |= flatten(inner, "" if name == "settings" else name)
    return flat


def _json_object(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str) and value.startswith("{"):
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            return None
        return parsed if isinstance(parsed, dict) else None
    return None


def _print_failure(terminal: int, title: str, message: str, log: str | None) -> None:
    """One short message where whoever started the stage sees it."""
    where = f"\n  All of it: {log}" if log else ""
    os.write(terminal, f"{title} failed: {message}{where}\n".encode(errors="backslashreplace"))
