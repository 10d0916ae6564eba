"""The command `gallerist ui`."""

import os
import shlex
import sys
from typing import Any

import click

from gallerist.commands import options

_OPENS_THE_UI = (
    "MLFLOW_GUNICORN_OPTS",
    "MLFLOW_UVICORN_OPTS",
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
)
"""Variables, meant for a server, by which a shell would open the UI to other machines or pages."""

PORT = 5000


@options.beside_snakemake()
@options.with_configuration
@click.option("--port", default=PORT)
def ui(config: dict[str, Any], port: int) -> None:
    """Open the MLflow UI on the store of the results, on 127.0.0.1."""
    from gallerist.tracking.experiment_page import CURRENT, address
    from gallerist.tracking.store import (
        configured_store,
        database_path,
        hide_passwords,
        holds_password,
        known_experiment,
    )

    store = configured_store(config, options.RESULTS).uri
    if store.startswith("http"):
        server = hide_passwords(store)
        raise ValueError(f"the runs are on a server; open {server} in a browser")
    database = database_path(store)
    if database is not None and not database.exists():  # MLflow would set up an empty one
        raise ValueError(f"{database} is not there yet. Run the workflow first: make run")
    command = _command(store, port)
    root, dataset = f"http://127.0.0.1:{port}", config["dataset"]["name"]
    identity = known_experiment(database, dataset) if database is not None else None
    print(f"{root}\n{hide_passwords(shlex.join(command))}")
    if identity is not None:
        print(f"table        {address(root, identity)}")
        print(f"charts       {address(root, identity, charts=True)}")
    print(f"Rows that were made again are hidden by the filter {CURRENT}", flush=True)
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # there are no jobs to do
        **{name: text for name, text in os.environ.items() if name not in _OPENS_THE_UI},
    }
    if holds_password(store):  # what is typed can be read by everybody on this machine
        environment["MLFLOW_BACKEND_STORE_URI"] = store
        command = [word for word in command if word not in ("--backend-store-uri", store)]
    os.execve(sys.executable, [sys.executable, "-m", *command], environment)


def how_to_open(store: str) -> str:
    """How to come to the UI of a store."""
    from gallerist.tracking.store import hide_passwords

    if store.startswith("http"):
        return hide_passwords(store)
    return f"make ui   ({hide_passwords(shlex.join(_command(store, PORT)))})"


def _command(store: str, port: int) -> list[str]:
    # One reader needs one worker: four, as by default, take 24 s to start and 2.5 GB.
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return ["mlflow", "ui", "--backend-store-uri", store, *address]
