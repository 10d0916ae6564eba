"""What the screen shows of a run, from the messages that Snakemake gives its logger plugins."""

import io
import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

import snakemake_logger_plugin_gallerist as screen

QUIET = {"dryrun": False, "quiet": None, "verbose": False, "printshellcmds": False}
BESIDE = {"debug_dag": False, "nocolor": True, "stdout": False, "show_failed_logs": False}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(capsys):
    """What went to the standard error, which is no terminal here."""
    return lambda: capsys.readouterr().err


def handler(*, no_table=False, **asked):
    settings = SimpleNamespace(**(QUIET | BESIDE | asked))
    return screen.LogHandler(settings, screen.LogHandlerSettings(no_table))


def tell(to, event=None, text="", at=0.0, **fields):
    """Give a handler one message, as Snakemake does `at` seconds after the handler was made."""
    record = logging.makeLogRecord({"msg": text, "event": event, "levelno": logging.INFO, **fields})
    record.created = to.began + at
    to.emit(record)


def begin(to, number, rule, at, output=(), **wildcards):
    tell(
        *(to, "job_info", "", at),
        **{"jobid": number, "rule_name": rule, "wildcards": wildcards},
        **{"log": [f"logs/{rule}.log"], "output": list(output)},
    )


def two_jobs(to, table):
    tell(
        to, "run_info", stats={"search_gallery": 1, "compare_experiments": 1, "all": 1, "total": 3}
    )
    begin(to, 1, "search_gallery", 10, experiment="long")
    tell(to, "job_finished", at=14.2, job_id=1)
    begin(to, 2, "compare_experiments", 15, output=["a.csv", str(table)])
    tell(to, "job_finished", at=75, job_id=2)
    begin(to, 0, "all", 75)
    tell(to, "job_finished", at=75, job_id=0)
    tell(to, text="Complete log(s): /x/y.snakemake.log")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "comparison/comparison.md"
    path.parent.mkdir()
    path.write_text("| experiment | top-1 |\n", encoding="utf-8")
    return path


def test_a_job_is_one_line_and_the_end_is_the_total_and_the_table(shown, table):
    two_jobs(handler(), table)
    first, second, total, empty, last = shown().splitlines()
    assert re.fullmatch(r"1/2  search_gallery long +4\.2 s   less than a minute left", first)
    assert re.fullmatch(r"2/2  compare_experiments +1 min 0 s", second)
    assert re.fullmatch(r"2 of 2 jobs done in .*\. Log: /x/y\.snakemake\.log", total)
    assert (empty, last) == ("", "| experiment | top-1 |")


def test_make_which_prints_the_table_itself_can_leave_it_out(shown, table):
    two_jobs(handler(no_table=True), table)
    assert "top-1" not in shown()


def test_the_time_left_is_what_the_jobs_took_so_far_for_as_many_as_are_left(shown):
    to = handler()
    tell(to, "run_info", stats={"search_gallery": 10, "total": 10})
    begin(to, 1, "search_gallery", 50, experiment="long")
    tell(to, "job_finished", at=60, job_id=1)
    assert shown().rstrip().endswith("10 s   about 9 min left")


def test_no_control_character_reaches_a_file(shown, table):
    two_jobs(handler(), table)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", shown())


def test_a_terminal_shows_the_jobs_at_work_until_the_next_line(monkeypatch, table):
    monkeypatch.setattr(sys, "stderr", Terminal())
    two_jobs(handler(), table)
    assert "0/2  search_gallery long ...\r\r\x1b[K1/2  search_gallery long" in sys.stderr.getvalue()


def error_of(command):
    """The message by which Snakemake tells of a script's end."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        subprocess.run(command, shell=True, check=True)
    return f'RuleException:\nCalledProcessError in file "/x/Snakefile", line 6:\n{failed.value}'


def failing(to, command):
    tell(to, "run_info", stats={"train_network": 2, "total": 2})
    begin(to, 1, "train_network", 1, experiment="long")
    tell(to, "error", error_of(command))
    tell(to, "job_error", jobid=1)


def test_a_job_that_was_killed_is_named_with_its_log(shown):
    failing(handler(), "kill -9 $$")
    assert shown() == (
        "train_network long failed: killed by SIGKILL\n  All of it: logs/train_network.log\n"
    )


def test_a_script_that_has_reported_why_it_failed_is_not_reported_again(shown):
    failing(handler(), "exit 1")
    assert shown() == ""


def test_the_end_says_how_many_jobs_are_missing_and_shows_no_old_table(shown, table):
    to = handler()
    begin(to, 2, "compare_experiments", 15, output=[str(table)])
    failing(to, "exit 1")
    tell(to, text="Complete log(s): /x/y.snakemake.log")
    (line,) = shown().splitlines()
    assert re.fullmatch(
        r"0 of 2 jobs done in .*, 2 failed or were not begun\. Log: /x/y\.snakemake\.log", line
    )


@pytest.mark.parametrize(
    "text",
    [
        "Nothing to be done (all requested files are present and up to date).",
        "config/config.yaml: experiments.a: a warning",
        "Error: Directory cannot be locked.",
    ],
)
def test_warnings_errors_and_that_nothing_is_to_be_done_are_shown(shown, text):
    tell(handler(), text=text)
    assert shown() == f"{text}\n"


@pytest.mark.parametrize(
    "text", ["Building DAG of jobs...", "Select jobs to execute...", "Using shell: /usr/bin/bash"]
)
def test_what_snakemake_reports_of_itself_is_in_its_log_only(shown, text):
    tell(handler(), text=text)
    assert shown() == ""


@pytest.mark.parametrize("asked", ["dryrun", "verbose", "printshellcmds", "debug_dag"])
def test_whoever_asks_for_other_messages_gets_snakemakes_own(shown, asked):
    tell(handler(**{asked: True}), text="Building DAG of jobs...")
    assert shown() == "Building DAG of jobs...\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, text):
    assert screen.duration(seconds) == text
