"""Registering beside a stage: what is asked of `registry`, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gallerist.io.files import PathLike


@dataclass(frozen=True)
class Registered:
    """What became of one experiment.

    name, version: of the registered model. new: whether this call made the version.
    champion: whether it has the alias now. reason: of that, in a sentence. digest: see `Packed`.
    """

    experiment: str
    name: str
    version: str
    new: bool
    champion: bool
    reason: str
    digest: str


def register_beside(
    config: Mapping[str, Any], experiments: Sequence[str], root: PathLike
) -> list[Registered]:
    """Register by a process of its own: neither MLflow nor an extractor is loaded in this one.

    Raises RuntimeError with what that process said.
    """
    asked = {"config": config, "experiments": list(experiments), "root": os.fspath(root)}
    done = subprocess.run(
        [sys.executable, "-m", "gallerist.serving.registry"],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    if "registered" not in answer:
        reason = answer.get("refused") or f"it ended with {done.returncode}, as the log says"
        raise RuntimeError(f"the models could not be registered: {reason}")
    return [Registered(**each) for each in answer["registered"]]
