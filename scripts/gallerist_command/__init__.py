"""The command `gallerist`, with the library of the checkout that it was installed from.

It is a package of its own because PYTHONPATH goes before what is installed: another `gallerist` in
it would be imported.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run one command: see `gallerist.commands.main`."""
    beside = Path(sys.prefix).parent / "scripts"  # of the checkout whose .venv this is
    found = beside if (beside / "gallerist").is_dir() else Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(found))
    from gallerist.commands.main import command

    return command()
