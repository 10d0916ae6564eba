"""What the environment of whoever starts Gallerist decides, and what it must not.

The address of a server, a proxy, a cache, a card, a number of threads: those are settings. What
would change a result, or let something fail that has nothing to do with it, is set here, at one
place, for a process and for all that it starts. The workflow and the commands begin with it.
"""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

KERAS_CACHE = "GALLERIST_KERAS_CACHE"
"""The variable that says where the user's Keras has its downloads, for `networks.weights`."""

SET = {
    "MPLBACKEND": "agg",  # figures are written, never shown
    "MATPLOTLIBRC": os.devnull,  # a style of the home's would draw them otherwise
    "KERAS_BACKEND": "tensorflow",
    "PYTHONNOUSERSITE": "1",  # conda's Python would take packages of the home before its own
}
"""Variables that have one value here."""

REMOVED = (
    # A shell somebody used MLflow in would claim our runs, or their metrics, or our models.
    *("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"),
    *("MLFLOW_ACTIVE_MODEL_ID", "_MLFLOW_ACTIVE_MODEL_ID", "MLFLOW_REGISTRY_URI"),
    "TF_USE_LEGACY_KERAS",
    "PYTHONWARNINGS",  # of "error" every job would fail of a package's warning
    # Of a hook of git, which would answer for another repository.
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"),
)
"""Variables that are gone here."""


def settle(scripts: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let this process, and all that it starts, depend on nothing that is not a setting.

    scripts: the folder of the library, which comes before whatever else is called `gallerist`; an
    installed one can be that of another checkout.
    """
    environment.update(SET)
    for name in REMOVED:
        environment.pop(name, None)
    environment.setdefault(KERAS_CACHE, environment.get("KERAS_HOME", "~/.keras"))
    # Keras reads settings there, the type of numbers among them.
    environment["KERAS_HOME"] = str(scripts / "gallerist" / "networks")
    others = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    ours = str(scripts)
    environment["PYTHONPATH"] = os.pathsep.join([ours, *(each for each in others if each != ours)])
    sys.path[:] = [ours, *(each for each in sys.path if each != ours)]
