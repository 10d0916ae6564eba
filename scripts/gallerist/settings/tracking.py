"""Section `tracking`: where MLflow shows the results."""

from gallerist.settings.base import NonNegative, Settings, key
from gallerist.settings.texts import Text


class Tracking(Settings):
    """Where MLflow shows the results. The files under `results/` are complete without it."""

    uri: Text | None = key(None, expects="null or an address", example="http://127.0.0.1:5000")
    """MLflow tracking address. `null`: the environment variable MLFLOW_TRACKING_URI, else an SQLite
    file under `results/`."""
    patience: NonNegative = key(30.0, "seconds")
    """How long the end of a workflow waits for MLflow to show the rest: an SQLite file has two
    minutes at least. Jobs never wait for it. What it lacks then is logged by the next workflow or
    `gallerist sync`."""
