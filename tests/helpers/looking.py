"""A client and a server of `gallerist browse` for tests."""

import os
import subprocess
import sys
from contextlib import contextmanager

from checkout import SCRIPTS
from starlette.testclient import TestClient

from gallerist.browse.app import make_app


def client_of(results, **options):
    return TestClient(
        make_app(results.root, **options),
        base_url="http://127.0.0.1:5002",
        headers={"X-Gallerist": "1"},
        raise_server_exceptions=False,
    )


def printed_alone(program):
    """What a program prints in a process of its own, which has loaded nothing before."""
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.strip()


@contextmanager
def served(results):
    """The address of `gallerist browse` on these results, in a process of its own."""
    program = "import sys; from gallerist.commands.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "browse", "--port", "0"],
        cwd=results.root.parent,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().strip().partition("#")[0]
    finally:
        process.terminate()
        process.communicate(timeout=20)
