"""What every script of the workflow starts with; only this module knows Snakemake's object.

with stage(snakemake) as run:
    ...
    run.metrics(images=len(images))
"""

import atexit
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gallerist import LIBRARY
from gallerist.io.imports import without
from gallerist.io.memory import keep_freed_memory
from gallerist.records.history import History
from gallerist.records.made import verify_inputs
from gallerist.records.provenance import (
    InputHashes,
    host,
    keep_code_changes,
    keep_configuration,
    last_rule_graph,
    open_record,
)
from gallerist.records.record import Artifact, Scalar, flatten, scalar
from gallerist.workflow.begun import mark
from gallerist.workflow.log import explain, logging_to, stoppable
from gallerist.workflow.machine import MachineUse
from gallerist.workflow.run import Run

logger = logging.getLogger("gallerist")

RESULTS = "results"
"""The folder, below the working directory, that everything produced goes to."""

_ITEMS = ("pretrained", "trunk", "shard", "source")
"""Wildcards that say what a job is about where that is no experiment; or a parameter, `source`."""


@contextmanager
def stage(snakemake: Any) -> Iterator[Run]:
    """Run the body of a script as a stage: log file, signals and record.

    Within, all output goes to the rule's log file. When the body has ended well, the record is
    written to the output named `record`. When it has not, the traceback is in the log, a line for
    people is on standard error, and SystemExit(1) is raised. What is reported meanwhile, and how it
    ended, is in the history, from which `tracking.writer` shows it in MLflow: a stage only writes
    files.

    Begin it before importing anything heavy: what happens earlier is neither logged nor stoppable.
    Nothing comes after it: the process of a job that has ended well then ends at once.

    pandas cannot be imported within: scikit-learn and pyarrow would load it, for a quarter of a
    second of each job, to look for its tables, which nobody gives them.
    """
    done: list[str] = []
    if vars(sys.modules["__main__"]).get("snakemake") is snakemake:
        atexit.register(_end_process, done)
    log = str(snakemake.log[0]) if len(snakemake.log) else None
    keep_freed_memory()
    with logging_to(log) as terminal, stoppable(), without("pandas"):
        run = None
        title = _title(snakemake)
        try:
            logger.info(
                "%s on %s, pid %d, %s threads", title, host(), os.getpid(), snakemake.threads
            )
            run = _begin(snakemake, title, log)
            inputs = (str(path) for path in snakemake.input)
            verify_inputs(path for path in inputs if Path(path).parts[:1] == (RESULTS,))
            yield run
            run.finish(_named(snakemake.output).get("record"))
            done.append(title)
        except BaseException as error:
            traceback.print_exc()
            message = explain(error)
            # One short message where whoever started the stage sees it.
            where = f"\n  All of it: {log}" if log else ""
            text = f"{title} failed: {message}{where}\n"
            os.write(terminal, text.encode(errors="backslashreplace"))
            if run is not None:
                run.fail(message)
            raise SystemExit(1) from None


def _end_process(done: Sequence[str]) -> None:
    """End a job's process when it has exited and all is written, if the job was done.

    To let Python take down what it has loaded takes .3 s of a processor more with matplotlib, a
    second with TensorFlow, and changes nothing.
    """
    if done:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _begin(snakemake: Any, title: str, log: str | None) -> Run:
    """Start everything that goes on beside the body."""
    config, wildcards = snakemake.config, _about(snakemake)
    params = _named(snakemake.params)
    # No setting, by which one would compare runs: what tells which code it was.
    code = {"code": str(params.pop("code"))} if "code" in params else {}
    results = Path(RESULTS, config["dataset"]["name"])
    history = History(results)
    opening = open_record(
        stage=_rule(snakemake),
        dataset=str(config["dataset"]["name"]),
        experiment=wildcards.get("experiment"),
        item=next((wildcards[name] for name in _ITEMS if name in wildcards), None),
        part=wildcards.get("part"),
        title=title,
        parameters=_parameters(params),
        tags={"threads": str(snakemake.threads), **code, **_purpose(snakemake)},
    )
    setup: list[Path | None] = []
    # A rule that keeps no record leaves nothing else either.
    if record := _named(snakemake.output).get("record"):
        mark(results, record)
        if opening.git_commit and opening.git_dirty:
            changes = keep_code_changes(results, opening.git_commit, LIBRARY)
            if changes is not None:
                opening = replace(opening, artifacts=(Artifact(str(changes)),))
        setup = [keep_configuration(results, config), last_rule_graph(results)]

    def report(second: int, use: Mapping[str, float]) -> None:
        history.add(opening, machine_use={name: [(second, each)] for name, each in use.items()})

    return Run(
        opening,
        inputs=InputHashes(map(str, snakemake.input)),
        machine=MachineUse(report),
        log=log,
        row_artifacts=[Artifact(str(path)) for path in setup if path is not None],
        history=history,
        params=params,
        outputs=_files(snakemake.output),
    )


def _title(snakemake: Any) -> str:
    """The stage as people would call it: train_network resnet152."""
    wildcards = _about(snakemake)
    chosen = [wildcards[name] for name in ("experiment", *_ITEMS, "part") if wildcards.get(name)]
    return " ".join(map(str, [_rule(snakemake), *chosen]))


def _about(snakemake: Any) -> dict[str, Any]:
    """What the job is about, by name: its wildcards, and the source whose parts have one job."""
    params = _named(snakemake.params)
    source = {"source": params["source"]} if "source" in params else {}
    return _named(snakemake.wildcards) | source


def _rule(snakemake: Any) -> str:
    """The rule's name; of rules that differ in their files only, the name that they share."""
    return str(snakemake.rule).partition("__")[0]


def _purpose(snakemake: Any) -> dict[str, str]:
    """What the first line of the rule's script says after its name, as a tag."""
    path = Path(getattr(snakemake, "scriptdir", "")) / f"{_rule(snakemake)}.py"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.match(r'"""[^:"]*: ([^"]+?)(\n\n|""")', text)
    return {"purpose": " ".join(found[1].split())} if found else {}


def _named(values: Any) -> dict[str, Any]:
    """The named values of one of Snakemake's lists, or of anything that has attributes."""
    if hasattr(values, "items"):
        # Without Snakemake's own subclasses of str, which should not travel further.
        plain = {name: str(value) for name, value in values.items() if isinstance(value, str)}
        return dict(values.items()) | plain
    return dict(vars(values)) if hasattr(values, "__dict__") else {}


def _files(values: Any) -> list[str]:
    """The paths of one of Snakemake's lists, each of whose names stands for one or for several."""
    lists = ([each] if isinstance(each, str) else each for each in _named(values).values())
    return [str(path) for paths in lists for path in paths]


def _parameters(params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Parameters of a rule, flat. A text that holds a JSON object stands for what is in it.

    The keys of one called `settings` are the parameters themselves; others lend their name.
    """
    flat: dict[str, Scalar] = {}
    for name, value in params.items():
        if isinstance(value, str) and value.startswith("{"):
            with suppress(json.JSONDecodeError):
                value = json.loads(value)
        if isinstance(value, Mapping):
            flat |= flatten(value, "" if name == "settings" else name)
        else:
            flat[name] = scalar(value)
    return flat
