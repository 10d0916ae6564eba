"""The command `gallerist browse`: where it listens, how soon, and what it says."""

import os
import re
import socket
import subprocess
import sys
import urllib.request

import pytest
from browsed import browsed
from checkout import SCRIPTS
from looking import served

from gallerist.commands.browse import PORT
from gallerist.evaluation.summary import BROWSE

HEAVY = ("tensorflow", "keras", "mlflow", "pandas", "sklearn", "matplotlib", "scipy", "cv2")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return browsed(tmp_path_factory.mktemp("commanded") / "results")


def run(folder, *words):
    program = "import sys; from gallerist.commands.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "browse", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_listens_on_this_machine_alone_and_says_where(results):
    with served(results) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        with urllib.request.urlopen(address) as answer:
            assert b"<title>Gallerist</title>" in answer.read()


def test_mlflow_leads_to_the_port_that_it_listens_on():
    assert f"http://127.0.0.1:{PORT}/" == BROWSE


def test_what_serves_the_page_loads_nothing_heavy():
    program = (
        f"import sys, gallerist.browse.app\nprint(sorted(set({HEAVY!r}) & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


def test_without_results_it_says_what_to_do(tmp_path):
    result = run(tmp_path, "--port", "0")
    assert result.returncode == 1
    assert "Run the workflow first: make run" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken_is_named(results):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run(results.root.parent, "--port", str(port))
    assert result.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in result.stderr
    assert f"--port {port + 1}" in result.stderr


def test_the_folder_is_written_and_named(results, tmp_path):
    result = run(results.root.parent, "--export", str(tmp_path / "page"), "--cores", "4")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(tmp_path / "page/index.html")
    assert (tmp_path / "page/index.html").is_file()
