"""The command `gallerist sync`."""

from typing import Any

from gallerist.commands import options


@options.command()
@options.with_configuration
def sync(config: dict[str, Any]) -> int:
    """Bring MLflow what it lacks of the results.

    A workflow does so when it starts. The status is 1 where MLflow cannot be reached.
    """
    from gallerist.tracking.sync import format_logged, refresh_configured

    logged = refresh_configured(config, options.RESULTS)
    if logged is not None:
        print(format_logged(logged, config["dataset"]["name"]))
    return int(logged is None)
