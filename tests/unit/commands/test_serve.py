"""gallerist serve: the command that is printed, and what is refused before a server starts."""

import os
import socket
import sys
from pathlib import Path

import pytest

from gallerist.commands import serve
from gallerist.commands.main import main
from gallerist.commands.serve import how_to_serve

CONFIG = "dataset: {name: tiny, embedded: {}}\nexperiments: {hog: {descriptor: hog}}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    Path("own.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def refusal(capsys, *words):
    assert main(["serve", *words, "--configfile", "own.yaml"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_port_that_is_taken_is_named(here, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"port {port} of 127.0.0.1 cannot be had" in refusal(capsys, "--port", port)
    assert "--port" in refusal(capsys, "--port", "99999")


def test_what_is_no_model_is_named_with_the_forms_there_are(here, capsys):
    assert "nothing is no model: give models:/NAME@champion" in refusal(capsys, "nothing")


def test_without_a_store_none_is_set_up(here, capsys):
    assert "mlflow.db is not there yet. Run the workflow first" in refusal(capsys)
    assert not Path("results").exists()


def test_the_server_has_the_programs_of_its_environment_and_the_models_own_library(
    here, capsys, monkeypatch
):
    started = {}

    def instead(program, words, environment):
        started.update(program=program, words=words, environment=environment)

    Path("kept").mkdir()
    Path("kept/MLmodel").write_text("", encoding="utf-8")
    monkeypatch.setattr(serve.os, "execve", instead)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
    assert main(["serve", "kept", "--port", "0", "--configfile", "own.yaml"]) == 0
    assert started["program"] == sys.executable
    assert started["environment"]["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert not {"PYTHONPATH", "MLFLOW_REGISTRY_URI"} & started["environment"].keys()
    assert started["environment"]["MLFLOW_TRACKING_URI"].endswith("results/mlflow/mlflow.db")
    assert started["words"][started["words"].index("--model-uri") + 1] == "kept"


def test_the_printed_command_names_the_program_and_the_configuration(here):
    words = how_to_serve("tiny", ["own.yaml"]).split()
    assert Path(words[0]).name == "gallerist"
    assert Path(words[0]).is_file()
    assert words[1:] == ["serve", "models:/tiny@champion", "--configfile", "own.yaml"]
