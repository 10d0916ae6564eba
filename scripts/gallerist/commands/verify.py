"""The command `gallerist verify`."""

import click


@click.command()
@click.argument("capsule")
def verify(capsule: str) -> None:
    """Recompute every figure of a capsule, and name what does not agree.

    Only what is installed here runs, never the code in the capsule. The status is 0 when all
    agrees, and 1 when anything does not.
    """
    from gallerist.capsule import verification

    verdict = verification.verify(capsule)
    print("\n".join(verdict.lines()))
    if not verdict.agrees:
        raise click.exceptions.Exit(1)
