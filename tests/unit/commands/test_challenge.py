"""gallerist lint and gallerist submit, with a server on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gallerist.challenge.answer_file import picture_names
from gallerist.challenge.submit import Receipt
from gallerist.commands.main import main
from gallerist.io.errors import UserError

GRADE = b'{"top1": 0.5}'


@pytest.fixture
def challenge(tmp_path, monkeypatch):
    """The folders of a challenge with a right answer file, and no configuration."""
    monkeypatch.chdir(tmp_path)
    for name in ("gallery/a.jpg", "gallery/b.PNG", "query/q.jpg", "query/.hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "query/readme.txt").touch()
    answer(tmp_path / "results.json", "a.jpg", "b.PNG")
    return tmp_path


def answer(path, *answers):
    path.write_text(json.dumps({"groupname": "g", "images": {"q.jpg": answers}}))


@pytest.fixture
def server():
    """(its address, the bodies that it got, the status of its answers)."""
    got, status = [], [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status[0])
            self.send_header("Content-Length", str(len(GRADE)))
            self.end_headers()
            self.wfile.write(GRADE)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/submit", got, status
        listening.shutdown()
        thread.join()


FOLDERS = ("--gallery", "gallery", "--query", "query", "--k", "2")


def test_a_flat_folder_is_listed_without_what_is_hidden_or_no_picture(challenge):
    assert picture_names("query") == ["q.jpg"]
    assert picture_names("gallery") == ["a.jpg", "b.PNG"]


def test_a_folder_that_is_not_flat_or_empty_or_missing_is_refused(challenge):
    (challenge / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no picture"):
        picture_names("empty")
    with pytest.raises(UserError, match=r"has folders of pictures, such as gallery/a\.jpg"):
        picture_names(challenge)
    with pytest.raises(UserError, match="no such folder"):
        picture_names("nowhere")


def test_a_right_answer_file_has_no_problem(challenge, capsys):
    assert main(["lint", "results.json", *FOLDERS]) == 0
    assert capsys.readouterr().out == "no problem\n"


def test_each_problem_is_on_a_line_of_its_own(challenge, capsys):
    answer(challenge / "results.json", "b.png", "q.jpg", "a.jpg")
    assert main(["lint", "results.json", *FOLDERS]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == [
        "answer_is_query",
        "answer_misspelt",
        "too_many",
    ]
    assert main(["lint", "nowhere.json", *FOLDERS]) == 1
    assert capsys.readouterr().out.startswith("unreadable: nowhere.json cannot be read")


def test_ten_answers_are_wanted_unless_another_number_is_given(challenge, capsys):
    assert main(["lint", "results.json", *FOLDERS[:4]]) == 1
    assert "2 answers of 10" in capsys.readouterr().out


def test_answers_are_sent_once_and_the_servers_answer_is_printed(challenge, server, capsys):
    url, got, _ = server
    assert main(["submit", "results.json", url, *FOLDERS]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert f"{url} answered HTTP 200" in printed[0]
    assert printed[-1] == GRADE.decode()
    assert got == [(challenge / "results.json").read_bytes()]
    (receipt,) = (challenge / "receipts").glob("*.json")
    assert Receipt.read(receipt).state == "answered"
    assert main(["submit", "results.json", url, *FOLDERS]) == 0
    assert capsys.readouterr().out.splitlines() == printed
    assert len(got) == 1
    assert main(["submit", "results.json", url, *FOLDERS, "--again"]) == 0
    assert len(got) == 2


def test_a_dry_run_sends_and_writes_nothing(challenge, server, capsys):
    url, got, _ = server
    before = sorted(challenge.rglob("*"))
    assert main(["submit", "results.json", url, *FOLDERS, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("Dry run: ")
    assert got == []
    assert sorted(challenge.rglob("*")) == before


def test_receipts_go_where_the_option_says(challenge, server):
    assert main(["submit", "results.json", server[0], *FOLDERS, "--receipts", "kept/here"]) == 0
    assert len(list((challenge / "kept/here").glob("*.json"))) == 1
    assert not (challenge / "receipts").exists()


def test_a_refusal_is_an_error_with_the_servers_words(challenge, server, capsys):
    url, got, status = server
    status[0] = 400
    assert main(["submit", "results.json", url, *FOLDERS, "--attempts", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "top1" in printed.err
    assert len(got) == 1


def test_a_file_with_problems_is_not_sent(challenge, server, capsys):
    url, got, _ = server
    answer(challenge / "results.json", "a.jpg")
    assert main(["submit", "results.json", url, *FOLDERS]) == 1
    assert "too_few" in capsys.readouterr().err
    assert got == []


def test_timeout_and_attempts_reach_the_client(challenge, server, capsys):
    for option, value in (("--timeout", "0"), ("--attempts", "0")):
        assert main(["submit", "results.json", server[0], *FOLDERS, option, value]) == 1
        assert "must be positive" in capsys.readouterr().err
    assert server[1] == []
