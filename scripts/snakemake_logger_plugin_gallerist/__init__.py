"""What a run shows on the screen: a line a job, how far it is, failures, and the table at the end.

Snakemake finds this package by its name, and loads it before anything else of a workflow: what
Snakemake itself needs of the machine is looked after here. `logger: gallerist` in profiles/default
chooses its lines; all else that Snakemake says is in its log, .snakemake/log/. A dry run, --quiet,
--verbose and whatever else asks for other messages get Snakemake's own.
"""

import logging
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_gallerist.machine import find_obstacles, keep_cache_in

CHECKOUT = Path(__file__).resolve().parents[2]

keep_cache_in(Path.cwd())

IN_THE_LOG_ONLY = re.compile(
    r"host: |Building DAG of jobs|Using shell: |Conda environments: ignored|Elapsed time: "
    r"|Select jobs to execute|Assuming unrestricted shared filesystem|Shutting down, this might"
    r"|(WorkflowError:\n)?At least one job did not complete|Exiting because a job execution failed"
)
"""Messages that say nothing to somebody who reads the lines of the jobs."""

ENDED = re.compile(r"CalledProcessError in .*(?:died with <Signals\.(\w+)|(exit status \d+))", re.S)
TABLE = re.compile(r".*/comparison/comparison\.md")
CLEAR = "\r\x1b[K"
"""To the beginning of the line, and nothing in it."""


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """What --logger-gallerist-... sets."""

    no_table: bool = field(
        default=False, metadata={"help": "do not print the table of accuracies at the end"}
    )


@dataclass
class Job:
    """A job at work. `started`: Unix time; `log`: its log's path, empty where it has none."""

    title: str
    started: float
    log: str


class LogHandler(LogHandlerBase):  # type: ignore[misc]
    """Writes to standard error; where that is a terminal, the last line names the jobs at work."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Begin with no job; or end, with a line for each thing that is in the way."""
        if obstacles := list(find_obstacles(CHECKOUT, Path.cwd())):
            sys.exit("\n".join(obstacles))
        self.jobs: dict[int, Job] = {}
        self.reasons: deque[str] = deque()
        self.done = self.total = 0
        self.began = time.time()
        self.table: Path | None = None
        self.terminal = sys.stderr.isatty()
        self.at_work = ""
        asked = self.common_settings
        others = (asked.dryrun, asked.quiet, asked.verbose, asked.printshellcmds, asked.debug_dag)
        self.own = snakemakes_own(asked) if any(others) else None

    def emit(self, record: logging.LogRecord) -> None:
        """Show one message of Snakemake, if it is one to show."""
        if problems := self.problems_of_configuration(record):
            self.write("\n".join(problems))
            return
        if self.own:
            self.own.handle(record)
            return
        show = getattr(self, f"on_{getattr(record, 'event', None) or 'message'}", None)
        try:
            self.write(show(record) if show else "")
        except Exception:
            self.handleError(record)

    def problems_of_configuration(self, record: logging.LogRecord) -> list[str]:
        """What is wrong with a configuration's file, where that may be why Snakemake gave up.

        Of a file that it cannot read it says nothing but Python's own error, without its name.
        """
        if self.total or record.levelno < logging.ERROR:
            return []
        from gallerist.config.reading import Unreadable, load

        problems: list[str] = []
        for path in configuration_files(sys.argv[1:]):
            try:
                load(path)
            except Unreadable as error:
                problems += error.problems
        return problems

    def on_run_info(self, record: Any) -> str:
        """Before the first job. Rule `all` does nothing, and is not counted."""
        self.total = record.stats["total"] - record.stats.get("all", 0)
        return ""

    def on_job_info(self, record: Any) -> str:
        """A job begins."""
        if record.rule_name == "all":
            return ""
        title = " ".join([record.rule_name, *map(str, record.wildcards.values())])
        self.jobs[record.jobid] = Job(title, record.created, ", ".join(record.log))
        self.table = next(map(Path, filter(TABLE.fullmatch, record.output)), self.table)
        return ""

    def on_job_finished(self, record: Any) -> str:
        """A job has ended well: its line."""
        job = self.jobs.pop(record.job_id, None)
        if job is None:
            return ""
        self.done += 1
        left = (record.created - self.began) / self.done * (self.total - self.done)
        number = f"{self.done:{len(str(self.total))}}/{self.total}"
        took = duration(record.created - job.started)
        return f"{number}  {job.title:<48} {took:>9}   {time_left(left)}".rstrip()

    def on_error(self, record: Any) -> str:
        """An error of Snakemake itself, or the end of a job, whose name comes with on_job_error."""
        ended = ENDED.search(record.getMessage())
        if not ended:
            return self.on_message(record)
        self.reasons.append(f"killed by {ended[1]}" if ended[1] else ended[2])
        return ""

    def on_job_error(self, record: Any) -> str:
        """A job has failed. One that could end with status 1 has said why, and named its log."""
        job = self.jobs.pop(record.jobid)
        reason = self.reasons.popleft() if self.reasons else "see the log"
        if reason == "exit status 1":
            return ""
        return f"{job.title} failed: {reason}" + (f"\n  All of it: {job.log}" if job.log else "")

    def on_message(self, record: logging.LogRecord) -> str:
        """Warnings, errors, what is said when nothing is to be done; at the end the total."""
        text = record.getMessage()
        if text.startswith("Complete log(s): "):
            return self.summary(text.partition(": ")[2])
        return "" if IN_THE_LOG_ONLY.match(text) else text

    def summary(self, log: str) -> str:
        """How much was done, and the table if it was made in this run."""
        self.jobs.clear()
        counts = f"{self.done} of {self.total} jobs done in {duration(time.time() - self.began)}"
        if self.done < self.total:
            counts += f", {self.total - self.done} failed or were not begun"
        elif self.table and not getattr(self.settings, "no_table", False):
            return f"{counts}. Log: {log}\n\n{self.table.read_text(encoding='utf-8').rstrip()}"
        return f"{counts}. Log: {log}"

    def write(self, text: str) -> None:
        """Write lines for good; then on a terminal the jobs at work, until the next message."""
        at_work = ""
        if self.terminal and self.jobs:
            titles = ", ".join(job.title for job in self.jobs.values())
            at_work = f"{self.done}/{self.total}  {titles} ..."
            at_work = at_work[: shutil.get_terminal_size().columns - 1] + "\r"
        if text or at_work != self.at_work:
            cleared = CLEAR if self.at_work else ""
            sys.stderr.write(cleared + (f"{text}\n" if text else "") + at_work)
            sys.stderr.flush()
        self.at_work = at_work


def configuration_files(words: Sequence[str]) -> list[str]:
    """The configurations that the words of a command name; else the default one."""
    files, inside = [], False
    for word in words:
        option, is_joined, value = word.partition("=")
        if option in ("--configfile", "--configfiles"):
            inside = not is_joined
            files += [value] if is_joined else []
        elif word.startswith("-"):
            inside = False
        elif inside:
            files.append(word)
    return files or ["config/config.yaml"]


def snakemakes_own(asked: Any) -> ColorizingTextHandler:
    """The handler that Snakemake has without this package, for what was asked for."""
    return ColorizingTextHandler(
        nocolor=asked.nocolor,
        stream=sys.stdout if asked.stdout else sys.stderr,
        formatter=DefaultFormatter(asked.quiet, asked.show_failed_logs),
        filter=DefaultFilter(
            asked.quiet, asked.debug_dag, asked.verbose, asked.dryrun, asked.printshellcmds
        ),
    )


def duration(seconds: float) -> str:
    """4.2 s, 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def time_left(seconds: float) -> str:
    """How long the rest will take if it goes on like this; nothing when nothing is left."""
    if seconds <= 0:
        return ""
    return "less than a minute left" if seconds < 60 else f"about {round(seconds / 60)} min left"
