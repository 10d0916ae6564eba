"""The command `gallerist`, as somebody types it beside a finished run, or too early."""

import contextlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from found_pictures import pixels, read_rows
from PIL import Image
from tiny_workflow import COMMANDS, Workflow, wait_for

ANSWER = re.compile(r"^ *(\d+) ([ox ]) (.+?) +(\d\.\d{4})  (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def typed(finished_workflow, tmp_path_factory):
    """A copy of the finished workflow to type commands in."""
    return finished_workflow.copy(tmp_path_factory.mktemp("typed") / "my gallery")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A workflow that has not been run."""
    return Workflow(tmp_path_factory.mktemp("untouched") / "gallerist")


def search(workflow, *arguments, experiment="long", check=True):
    return workflow.gallerist("search", "--experiment", experiment, *arguments, check=check)


def refusal(workflow, *arguments, experiment="long"):
    """The one line that a search ends with when it fails."""
    result = search(workflow, *arguments, experiment=experiment, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    (line,) = result.stdout.splitlines()
    return line


def answers(result):
    """(rank, mark, file name, distance, class) of every line with an answer."""
    found = [match.groups() for match in ANSWER.finditer(result.stdout)]
    return [(int(rank), mark, name, float(away), label) for rank, mark, name, away, label in found]


def pictured(result, workflow):
    """The size of the picture that a search says it has drawn."""
    (path,) = re.findall(r"^picture: (.+)$", result.stdout, re.MULTILINE)
    with Image.open(workflow.folder / path) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


def stored(workflow, query, experiment="long"):
    """The answers to a query by the ranking that the workflow stored."""
    gallery = {row["id"]: row for row in read_rows(workflow.results / "manifests/gallery.csv")}
    ranking = read_rows(workflow.results / f"rankings/{experiment}.csv")
    return [
        (
            int(row["rank"]),
            "o" if gallery[row["gallery_id"]]["label"] == query["label"] else "x",
            Path(gallery[row["gallery_id"]]["path"]).name,
            pytest.approx(float(row["distance"]), abs=1e-4),
            gallery[row["gallery_id"]]["label"],
        )
        for row in ranking
        if row["query_id"] == query["id"]
    ]


def queries(workflow):
    return read_rows(workflow.results / "manifests/query.csv")


@pytest.mark.parametrize("experiment", ["long", "short"])
def test_a_query_by_number_gets_the_answers_of_the_ranking(typed, experiment):
    result = search(typed, "--query", "1", experiment=experiment)
    query = queries(typed)[0]
    assert answers(result) == stored(typed, query, experiment)
    heading = f"{query['path']}  ({query['label']}), experiment {experiment}"
    assert result.stdout.splitlines()[0] == heading
    width, height = pictured(result, typed)
    assert width > 3 * height  # one row: the query and nine answers


def test_a_query_by_file_name_gets_the_answers_of_the_ranking(typed, tmp_path):
    query = queries(typed)[3]
    picture = tmp_path / "deep/inside/answers.png"
    result = search(
        typed, "--query", Path(query["path"]).name, "--answers", "3", "--output", str(picture)
    )
    assert answers(result) == stored(typed, query)[:3]
    assert pictured(result, typed)[0] > 300
    assert picture.is_file()


def test_more_answers_than_there_are_pictures_are_all_of_them(typed):
    assert len(answers(search(typed, "--query", "2", "--answers", "1000"))) == 9


def test_an_unknown_query_is_refused_with_an_example(typed):
    line = refusal(typed, "--query", "unicorn.png")
    assert "no query is called unicorn.png" in line
    assert queries(typed)[0]["path"] in line
    assert "queries 1 to 6" in refusal(typed, "--query", "7")
    assert "queries 1 to 6" in refusal(typed, "--query", "0")


def test_a_picture_from_outside_is_ranked_without_marks_of_relevance(typed, tmp_path):
    picture = tmp_path / "from outside é.webp"
    Image.fromarray(pixels("outside", 7, 90, 300)).save(picture)
    result = search(typed, str(picture), "--answers", "5")
    assert result.stdout.splitlines()[0] == f"{picture}  (class unknown), experiment long"
    found = answers(result)
    assert [rank for rank, *_ in found] == [1, 2, 3, 4, 5]
    assert {mark for _, mark, *_ in found} == {" "}
    distances = [distance for *_, distance, _ in found]
    assert distances == sorted(distances)
    assert {
        Path(row["path"]).name for row in read_rows(typed.results / "manifests/gallery.csv")
    } >= {name for _, _, name, *_ in found}
    assert pictured(result, typed)


def test_a_picture_file_that_is_a_query_is_known_and_ranked_alike(typed, tmp_path):
    query = queries(typed)[4]
    picture = tmp_path / "renamed.jpg"
    shutil.copy(typed.folder / query["path"], picture)
    result = search(typed, str(picture))
    assert f"{picture}  ({query['label']}), experiment long" in result.stdout
    assert answers(result) == stored(typed, query)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "empty file"),
        ("page.png", b"<html>not found</html>", "an HTML page"),
        ("cut.jpg", b"\xff\xd8\xff", "truncated"),
    ],
)
def test_a_bad_picture_file_is_refused_with_its_reason(typed, tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    line = refusal(typed, str(tmp_path / name))
    assert line.startswith(f"gallerist: {tmp_path / name}: ")
    assert reason in line


def test_a_picture_file_that_is_not_there_is_refused(typed):
    assert refusal(typed, "nowhere.png") == "gallerist: nowhere.png: no such file"
    assert "a folder, not a file" in refusal(typed, "pictures")


def test_an_unknown_experiment_is_refused_with_those_that_there_are(typed):
    line = refusal(typed, "--query", "1", experiment="resnet")
    assert line == "gallerist: no experiment is called resnet; there are: long, short"


def test_a_search_wants_one_picture_or_one_query(typed):
    for arguments in ([], ["a.png", "--query", "1"]):
        assert "name either a picture file, or a query" in refusal(typed, *arguments)
    assert "--answers is 0; it is at least 1" in refusal(typed, "--query", "1", "--answers", "0")


def test_before_any_run_every_command_says_to_run_first(untouched):
    picture = "pictures/validation/query/discs/discs_0.jpg"
    for arguments in (
        ["search", "--experiment", "long", "--query", "1"],
        ["search", "--experiment", "long", picture],
        ["summary"],
        ["ui"],
    ):
        result = untouched.gallerist(*arguments, check=False)
        assert result.returncode == 1
        assert "is not there yet. Run the workflow first: make run" in result.stdout
        assert "Traceback" not in result.stdout
    assert not (untouched.folder / "results").exists()


def test_a_configuration_that_is_wrong_or_missing_is_named(typed):
    result = typed.gallerist("summary", "--configfile", "nowhere.yaml", check=False)
    assert result.returncode == 1
    assert result.stdout == "there is no file nowhere.yaml\n"
    wrong = typed.folder / "wrong.yaml"
    wrong.write_text("dataset: {name: tiny, folder: pictures}\nexperiments: {a: {network: odd}}\n")
    result = typed.gallerist("summary", "--configfile", "wrong.yaml", check=False)
    assert result.returncode == 1
    assert result.stdout.startswith("wrong.yaml: experiments.a.network: ")


def test_without_a_command_the_commands_are_listed(typed):
    result = typed.gallerist(check=False)
    assert result.returncode == 2
    assert "Usage: gallerist" in result.stdout
    for command in ("search", "summary", "ui", "unlock"):
        assert command in typed.gallerist("--help").stdout


def test_the_summary_prints_the_table_and_where_everything_is(typed):
    said = typed.gallerist("summary").stdout
    assert (typed.results / "comparison/comparison.md").read_text(encoding="utf-8") in said
    places = re.findall(r"^(?:comparison|pictures) +(.+)$", said, re.MULTILINE)
    paths = [path for place in places for path in place.split("  ")]
    assert len(paths) == 3
    for path in paths:
        assert (typed.folder / path).exists()


def test_the_commands_of_the_summary_can_be_typed(typed):
    said = typed.gallerist("summary").stdout
    (command,) = re.findall(r"^one query +\S*/gallerist (.+)$", said, re.MULTILINE)
    assert len(answers(typed.gallerist(*shlex.split(command)))) == 9
    (command,) = re.findall(r"^MLflow UI +make ui +\((.+)\)$", said, re.MULTILINE)
    words = shlex.split(command)
    assert words[:2] == ["mlflow", "ui"]
    store = words[words.index("--backend-store-uri") + 1]
    assert Path(store.removeprefix("sqlite:///")) == typed.folder / "results/mlflow/mlflow.db"
    assert words[words.index("--host") + 1] == "127.0.0.1"


def test_nothing_is_unlocked_where_nothing_is_locked(typed):
    assert typed.gallerist("unlock").stdout == ""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def opened_ui(workflow, port, **variables):
    process = subprocess.Popen(
        [COMMANDS / "gallerist", "ui", "--port", str(port)],
        cwd=workflow.folder,
        env=workflow.environment(**variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family = []
    try:
        yield process
        family = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        _, alive = psutil.wait_procs(family, timeout=60)
        for survivor in alive:
            survivor.kill()
        assert not alive, "the server outlives the command that started it"


def fetched(address):
    """The body of a page; None as long as nobody answers."""
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read()
    return None


def test_the_ui_shows_the_runs_on_this_machine_alone(typed):
    port, another = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    meant_for_a_server = {
        "MLFLOW_HOST": "0.0.0.0",
        "MLFLOW_PORT": str(another),
        "MLFLOW_GUNICORN_OPTS": f"-b 0.0.0.0:{another}",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
        "UVICORN_HOST": "0.0.0.0",
    }
    with opened_ui(typed, port, **meant_for_a_server) as process:
        page = wait_for(lambda: process.poll() is not None or fetched(address), seconds=150)
        assert b"<title>MLflow</title>" in page

        (row,) = typed.tracked_runs("tiny", "tags.`gallerist.experiment` = 'long'")
        picture = f"{address}/get-artifact?run_uuid={row.info.run_id}&path=pictures/worst.png"
        original = typed.results / "evaluation/long/worst.png"
        assert fetched(picture) == original.read_bytes()

        # A page of somebody else's that has its name lead here.
        foreign = urllib.request.Request(address, headers={"Host": "evil.example.org"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(foreign, timeout=30)

        listening = {
            connection.laddr
            for member in [
                psutil.Process(process.pid),
                *psutil.Process(process.pid).children(recursive=True),
            ]
            for connection in member.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert ("127.0.0.1", port) in listening
        assert {ip for ip, _ in listening} == {"127.0.0.1"}
    assert fetched(address) is None


def test_the_ui_leaves_a_server_of_others_to_its_own_page(typed):
    environment = {"MLFLOW_TRACKING_URI": "http://mlflow.example.org:5000"}
    result = typed.gallerist("ui", env=environment, check=False)
    assert result.returncode == 1
    assert "open http://mlflow.example.org:5000 in a browser" in result.stdout


def test_no_command_repeats_the_password_of_a_server(typed):
    (typed.folder / "impatient.yaml").write_text("tracking: {patience: 1}\n", encoding="utf-8")
    files = ("--configfile", "config/config.yaml", "impatient.yaml")
    address = f"127.0.0.1:{free_port()}"
    environment = {"MLFLOW_TRACKING_URI": f"http://me:s3cret@{address}"}
    summary = typed.gallerist("summary", *files, env=environment).stdout
    assert f"MLflow UI    http://me:***@{address}\n" in summary
    refused = typed.gallerist("ui", env=environment, check=False).stdout
    assert f"open http://me:***@{address} in a browser" in refused
    assert "s3cret" not in summary + refused


def test_the_list_of_processes_shows_no_password_of_a_database(typed):
    uri = f"postgresql://me:s3cret@127.0.0.1:{free_port()}/runs"
    with opened_ui(typed, free_port(), MLFLOW_TRACKING_URI=uri) as process:
        running = psutil.Process(process.pid)
        command = wait_for(lambda: "mlflow" in running.cmdline() and running.cmdline())
        assert command[command.index("mlflow") + 1] == "ui"
        assert "s3cret" not in " ".join(command)
        assert running.environ()["MLFLOW_BACKEND_STORE_URI"] == uri
