"""The command `gallerist unlock`."""

from pathlib import Path
from typing import Any

from gallerist.commands import options


@options.beside_snakemake()
@options.with_configuration
def unlock(config: dict[str, Any]) -> None:
    """Remove the lock of a workflow that was killed, never of a living one."""
    from gallerist.workflow.lock import remove_stale_locks

    if remove_stale_locks(Path.cwd(), options.RESULTS):
        print("removed the lock of a workflow that is no longer running")
