"""The command `gallerist` as a whole: its help, version, completion, configuration and statuses."""

import os
import re
import resource
import subprocess
import sys

import pytest
import yaml
from checkout import CHECKOUT, LIBRARY, SCRIPTS

from gallerist.commands.main import GROUPS, gallerist, main
from gallerist.commands.search import _default_output

NAMES = [command.name for commands in GROUPS.values() for command in commands]
FILES = ["--configfile", "config/config.yaml", "more.yaml"]
HEAVY = {"tensorflow", "keras", "mlflow", "pandas", "sklearn", "matplotlib", "scipy", "cv2"}


def python(program, *arguments, **variables):
    """Run a program with the library of this checkout; its output is text."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def gallerist_process(*arguments, **variables):
    """Run the command in a process of its own."""
    program = "import sys; from gallerist.commands.main import main; sys.exit(main())"
    return python(program, *arguments, **variables)


def processor_seconds(*arguments):
    """The processor time of one command, start of Python included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    gallerist_process(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A folder with config/config.yaml and a table of accuracies."""
    monkeypatch.chdir(tmp_path)
    for name in ("training", "validation/gallery", "validation/query"):
        (tmp_path / "pictures" / name / "ant").mkdir(parents=True)
    config = {
        "dataset": {"name": "mine", "folder": "pictures"},
        "experiments": {"hog": {"descriptor": "hog"}, "hot": {"descriptor": "hu_moments"}},
    }
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def test_help_names_every_command_once_below_a_heading():
    said = gallerist_process("--help").stdout
    headings = re.findall(r"^([A-Z][\w ]+):$", said, re.MULTILINE)
    assert [heading for heading in headings if heading != "Options"] == list(GROUPS)
    assert re.findall(r"^  (\w+)  ", said, re.MULTILINE) == NAMES


def test_a_module_holds_each_command_and_says_what_it_does():
    for name in NAMES:
        text = (LIBRARY / f"commands/{name}.py").read_text(encoding="utf-8")
        assert f"\ndef {name}(" in text
        assert gallerist.commands[name].help


def test_help_loads_nothing_heavy_and_comes_at_once():
    program = (
        "import sys\nfrom gallerist.commands.main import main\n"
        f"main(['--help'])\nprint(sorted({HEAVY | {'numpy', 'yaml'}!r} & sys.modules.keys()))"
    )
    assert python(program).stdout.splitlines()[-1] == "[]"
    assert min(processor_seconds("--help") for _ in range(3)) < 0.4


def test_the_summary_loads_nothing_heavy(configured):
    for name in ("comparison/comparison.png", "evaluation/hog", "evaluation/hot"):
        (configured / "results/mine" / name).mkdir(parents=True)
    (configured / "results/mine/comparison/comparison.md").write_text("| experiment |\n")
    program = (
        "import sys, gallerist.tracking.sync as tracker\n"
        "tracker.refresh_configured = lambda *_: 0  # otherwise a process of its own\n"
        "from gallerist.commands.main import main\n"
        f"status = main(['summary'])\nprint(status, sorted({HEAVY!r} & sys.modules.keys()))"
    )
    lines = python(program).stdout.splitlines()
    assert lines[0] == "| experiment |"
    assert lines[-1] == "0 []"


def test_the_version_comes_with_the_commit():
    said = gallerist_process("--version").stdout
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.+)"', project, re.MULTILINE)
    assert re.fullmatch(
        rf"gallerist {re.escape(version)} \(commit ([0-9a-f]{{40}}|unknown)(, with changes)?\)\n",
        said,
    )


def test_pictures_of_one_name_are_not_drawn_over_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("cat/1.png", "dog/1.png", "dog/1.jpg", f"dog/{'é' * 200}.png")
    drawn = [_default_output("animals", "hog", name) for name in names]
    drawn.append(_default_output("animals", "hog-1", "cat/1.png"))
    assert len(set(drawn)) == len(drawn)
    assert _default_output("animals", "hog", str(tmp_path / "cat/1.png")) == drawn[0]
    assert drawn[0].parent.as_posix() == "results/animals/searches/hog"
    assert drawn[0].name.startswith("1-")
    assert all(len(path.name.encode()) < 200 for path in drawn)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_for_the_shell(shell):
    assert "gallerist" in gallerist_process(_GALLERIST_COMPLETE=f"{shell}_source").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["su"], ["submit", "summary"]),
        (["search", "--exp"], ["--experiment"]),
        (["search", "--experiment", "ho"], ["hog", "hot"]),
        (["search", *FILES, "--experiment", "n"], ["new-image_size64", "new-image_size96"]),
        (["register", "hot", "hog"], ["hog"]),
        (["search", "--configfile", "nowhere.yaml", "--experiment", ""], []),
    ],
)
def test_commands_options_and_experiments_are_completed(configured, words, expected):
    more = {"experiments": {"new": {"descriptor": "hog", "image_size": [64, 96]}}}
    (configured / "more.yaml").write_text(yaml.safe_dump(more))
    result = gallerist_process(
        _GALLERIST_COMPLETE="zsh_complete",
        COMP_WORDS=" ".join(["gallerist", *words]),
        COMP_CWORD=str(len(words)),
    )
    assert result.stdout.splitlines()[1::3] == expected


def test_what_snakemake_understands_is_left_alone_where_make_gives_it(configured, capsys):
    arguments = [
        "--cores",
        "4",
        "-j4",
        "-n",
        "--config",
        "a=b",
        "--configfile",
        "config/config.yaml",
    ]
    for command in ("summary", "ui"):
        assert main([command, *arguments]) == 1
        assert "is not there yet. Run the workflow first" in capsys.readouterr().err
    assert main(["unlock", *arguments]) == 0
    for command in (["sync"], ["register"], ["search", "--experiment", "hot"], ["submit"]):
        with pytest.raises(SystemExit, match="2"):
            main([*command, *arguments])


def test_later_files_of_the_configuration_are_laid_over_earlier_ones(configured, capsys):
    (configured / "other.yaml").write_text("dataset: {name: other}\n")
    assert main(["summary", "--configfile", "config/config.yaml", "other.yaml"]) == 1
    assert "results/other/comparison" in capsys.readouterr().err
    assert main(["summary", "--configfile", "other.yaml", "nowhere.yaml", "--cores", "2"]) == 1
    assert capsys.readouterr().err == "there is no file nowhere.yaml\n"


def test_arguments_that_are_not_understood_end_with_status_2(capsys):
    for arguments, said in (
        (["sumary"], "Did you mean 'summary'?"),
        (["search"], "Missing option '--experiment'"),
        (["unlock", "--configfile"], "requires an argument"),
        (["evaluate", "a", "--k", "one"], "'one' is no list of whole numbers, such as 1,3,5"),
        ([], "Usage: gallerist"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert said in capsys.readouterr().err


def test_who_reads_the_output_may_stop_and_whoever_types_may_interrupt(monkeypatch):
    for error, status in ((BrokenPipeError, 0), (KeyboardInterrupt, 130)):

        def interrupted(*arguments, error=error):
            raise error

        monkeypatch.setattr("gallerist.evaluation.external_evaluation.evaluate_files", interrupted)
        with open(os.devnull, "w") as output:  # noqa: PTH123
            monkeypatch.setattr(sys, "stdout", output)
            assert main(["evaluate", "ranking.csv"]) == status
        monkeypatch.undo()


def test_sync_says_what_mlflow_lacked_and_fails_where_it_cannot_be_reached(
    configured, monkeypatch, capsys
):
    outcomes = ((3, 0, "3 runs of mine"), (0, 0, "every run of mine"), (None, 1, ""))
    for logged, status, said in outcomes:
        monkeypatch.setattr(
            "gallerist.tracking.sync.refresh_configured", lambda *_, logged=logged: logged
        )
        assert main(["sync"]) == status
        assert said in capsys.readouterr().out
