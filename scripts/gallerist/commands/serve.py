"""The command `gallerist serve`."""

import os
import re
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gallerist.commands import options

PORT = 5001


@options.command()
@options.with_configuration
@click.argument("model", required=False)
@click.option("--port", default=PORT)
def serve(config: dict[str, Any], model: str | None, port: int) -> None:
    """Answer requests with a registered model, on 127.0.0.1; by default with the champion.

    MODEL is what MLflow names a model by, such as models:/silhouettes/3, or the folder of one.
    """
    from gallerist.tracking.store import configured_store

    _require_free(port)
    store = configured_store(config, options.RESULTS).uri
    uri = model or f"models:/{config['dataset']['name']}@champion"
    _require_model(uri, store)
    # The server is a process of its own, in which the model's own copy of the library answers. It
    # starts programs by their names, which only an activated environment has on its PATH.
    here = Path(sys.executable).parent
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": store,
        "PATH": os.pathsep.join([str(here), os.environ.get("PATH", os.defpath)]),
    }
    for name in ("MLFLOW_REGISTRY_URI", "PYTHONPATH"):  # the registry is in the same store
        environment.pop(name, None)
    print(f"{uri} answers at http://127.0.0.1:{port}/invocations", flush=True)
    command = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "--model-uri", uri]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    os.execve(sys.executable, [sys.executable, *command, *address], environment)


def how_to_serve(dataset: str, configfiles: Sequence[str]) -> str:
    """The command that serves the champion of a data set from here, in whatever environment."""
    program = Path(sys.executable).with_name("gallerist")
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    words = [str(program), "serve", f"models:/{dataset}@champion"]
    return shlex.join([*words, *(["--configfile", *configfiles] if configfiles else [])])


def _require_free(port: int) -> None:
    """Raise ValueError where something else listens, before a model is loaded for nothing."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            reason = str(getattr(error, "strerror", None) or error).rstrip(".")
            raise ValueError(
                f"port {port} of 127.0.0.1 cannot be had: {reason}. Name another one with --port"
            ) from error


def _require_model(uri: str, store: str) -> None:
    """Raise ValueError, with what to do, unless there is such a model."""
    named = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    if not named:
        if not Path(uri, "MLmodel").is_file():
            raise ValueError(
                f"{uri} is no model: give models:/NAME@champion, models:/NAME/VERSION, or the "
                "folder of a model"
            )
        return
    from gallerist.tracking.client import require_version
    from gallerist.tracking.store import database_path

    database = database_path(store)
    if database is not None and not database.exists():  # MLflow would set up an empty one
        raise ValueError(f"{database} is not there yet. Run the workflow first: make run")
    require_version(store, *named.groups())
