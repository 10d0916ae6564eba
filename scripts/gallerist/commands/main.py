"""The command `gallerist`: query the system, see its results, judge any ranking, send answers."""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gallerist.config.completion import ConfigurationError, read
from gallerist.tracking.access import hide_passwords, holds_password
from gallerist.workflow.results import Results, ranking_name

if TYPE_CHECKING:
    from gallerist.serving.query import Answer

DEFAULT_CONFIG = "config/config.yaml"

_FORESEEN = (ValueError, RuntimeError, OSError)
"""Errors whose message says it all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it succeeded, 1 with one line on stderr when it did not."""
    options, further = _parser().parse_known_args(arguments)
    if further and options.command not in (_summary, _ui, _unlock):
        _parser().error(f"unknown: {' '.join(further)}")
    try:
        return _run(options)
    except ConfigurationError as error:
        lines = "\n".join(
            f"{', '.join(options.configfile)}: {problem}" for problem in error.problems
        )
        print(lines, file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except _FORESEEN as error:
        print(f"gallerist: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> int:
    """Run a command, with the configuration where it needs one; its exit status."""
    if options.command is _submit and options.experiment and options.configfile is None:
        options.configfile = [DEFAULT_CONFIG]
    if options.configfile is None:
        status = options.command(options)
    else:
        status = options.command(options, read(*options.configfile))
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gallerist", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, function: Any, text: str, *, configured: bool = True
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function, configfile=None)
        if not configured:
            return command
        command.add_argument(
            "--configfile", nargs="+", default=[DEFAULT_CONFIG], help=f"default: {DEFAULT_CONFIG}"
        )
        return command

    search = add("search", _search, "Rank the gallery for one picture.")
    search.add_argument("--experiment", required=True, help="whose features to use")
    search.add_argument("picture", nargs="?", help="any picture file")
    search.add_argument("--query", help="instead: a query of the data set, by file name or number")
    search.add_argument("--answers", type=int, default=10, help="default: %(default)s")
    search.add_argument("--output", help="where the picture of the answers goes")
    register = add("register", _register, "Register experiments as models that MLflow can serve.")
    register.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: the best")
    text = "let it be champion without a test, such as after a change of the data"
    register.add_argument("--crown", action="store_true", help=text)
    add("summary", _summary, "Print the table of accuracies and where everything is.")
    ui = add("ui", _ui, "Open the MLflow UI on the store of the results, on 127.0.0.1.")
    ui.add_argument("--port", type=int, default=5000, help="default: %(default)s")
    add("unlock", _unlock, "Remove the lock of a workflow that was killed, never of a living one.")
    _add_evaluate(add("evaluate", _evaluate, _EVALUATE, configured=False))
    _add_lint(add("lint", _lint, "Find every fault of an answer file.", configured=False))
    _add_submit(add("submit", _submit, _SUBMIT, configured=False))
    return parser


_EVALUATE = "Judge rankings of any tool, and compare them."


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    def listed(text: str) -> list[str]:
        return [each.strip() for each in text.split(",")]

    def numbers(text: str) -> list[int]:
        return [int(each) for each in text.split(",")]

    text = "rankings (CSV, TREC run) and what is right (CSV, qrels); known by their content"
    evaluate.add_argument("files", nargs="+", metavar="FILE", help=text)
    text = "such as mAP,nDCG@10, beside the hit rates"
    evaluate.add_argument("--metrics", type=listed, metavar="NAMES", help=text)
    text = "hit rates at these; default: 1,3,5,10"
    evaluate.add_argument("--k", type=numbers, dest="ks", metavar="NUMBERS", help=text)
    evaluate.add_argument("--seed", type=int, help="of the intervals; default: 99")
    evaluate.add_argument("--rounds", type=int, help="of the intervals; default: 10000")
    evaluate.add_argument("--json", metavar="FILE", help="write all figures")
    evaluate.add_argument("--queries", metavar="FILE", help="write a CSV of every query")
    evaluate.add_argument("--to-run", metavar="FILE", help="write the ranking as a TREC run")
    evaluate.add_argument("--to-qrels", metavar="FILE", help="write what is right as TREC qrels")


_RESULTS = "answers in the form of results.json"
_SUBMIT = "Send the answers of an experiment, or an answer file of any tool, to a server, once."


def _add_lint(lint: argparse.ArgumentParser) -> None:
    lint.add_argument("results", metavar="RESULTS", help=_RESULTS)
    _add_challenge(lint, required=True)


def _add_submit(submit: argparse.ArgumentParser) -> None:
    submit.add_argument("--experiment", help="whose answers; the configuration says where they go")
    submit.add_argument("--configfile", nargs="+", help=f"of it; default: {DEFAULT_CONFIG}")
    submit.add_argument("results", metavar="RESULTS", nargs="?", help=f"instead: {_RESULTS}")
    submit.add_argument("url", metavar="URL", nargs="?", help="of the server for RESULTS")
    _add_challenge(submit, required=False)
    submit.add_argument("--receipts", help="default: receipts, beside the answer file")
    submit.add_argument("--timeout", type=float, default=30, help="seconds; default: %(default)s")
    submit.add_argument("--attempts", type=int, default=5, help="default: %(default)s")
    submit.add_argument("--dry-run", action="store_true", help="check everything, send nothing")
    submit.add_argument("--again", action="store_true", help="send what was, or may be, answered")


def _add_challenge(command: argparse.ArgumentParser, *, required: bool) -> None:
    text = "of the pictures that RESULTS is about"
    command.add_argument("--gallery", required=required, metavar="FOLDER", help=text)
    command.add_argument("--query", required=required, metavar="FOLDER", help=text)
    command.add_argument("--k", type=int, help="answers a query in RESULTS; default: 10")


def _evaluate(options: argparse.Namespace) -> None:
    from gallerist.commands.evaluate import Task, evaluate_files

    wanted = {field.name: getattr(options, field.name) for field in fields(Task)}
    print(evaluate_files(Task(**{k: v for k, v in wanted.items() if v is not None})))


def _lint(options: argparse.Namespace) -> int:
    from gallerist.challenge.lint_command import fault_lines

    lines = fault_lines(options.results, options.gallery, options.query, _k(options))
    print("\n".join(lines or ["no fault"]))
    return int(bool(lines))


def _k(options: argparse.Namespace) -> int:
    return 10 if options.k is None else int(options.k)


def _submit(options: argparse.Namespace, config: dict[str, Any] | None = None) -> None:
    from gallerist.challenge.submit import Delivery, configured, send

    file = (options.results, options.url, options.gallery, options.query)
    if config is not None:
        if not options.experiment or any(file) or options.k is not None:
            raise ValueError("name either an --experiment of the configuration, or RESULTS and URL")
        delivery = configured(config, options.experiment)
    elif not all(file):
        raise ValueError("name an --experiment; or RESULTS and URL, with --gallery and --query")
    else:
        delivery = Delivery(*file, k=_k(options))
    receipt = send(
        delivery,
        receipts=options.receipts,
        timeout=options.timeout,
        attempts=options.attempts,
        again=options.again,
        dry_run=options.dry_run,
    )
    print(receipt.message)
    if receipt.body:
        print(receipt.body)


def _search(options: argparse.Namespace, config: dict[str, Any]) -> None:
    experiment = options.experiment
    if experiment not in config["experiments"]:
        known = ", ".join(config["experiments"])
        raise ValueError(f"no experiment is called {experiment}; there are: {known}")
    if (options.picture is None) == (options.query is None):
        raise ValueError("name either a picture file, or a query of the data set with --query")
    if options.answers < 1:
        raise ValueError(f"--answers is {options.answers}; it is at least 1")
    results = Results.of(config)
    picture, label, answers = _answered(options, config, results)
    print(f"{picture}  ({label or 'class unknown'}), experiment {experiment}")
    width = max((len(Path(answer.picture.path).name) for answer in answers), default=0)
    for answer in answers:
        name = Path(answer.picture.path).name.ljust(width)
        line = f"{answer.rank:4d} {answer.mark} {name}  {answer.distance:.4f}  "
        print(line + answer.picture.label)
    stem = f"{experiment}-{Path(picture).stem}"
    output = options.output or results.folder / "searches" / f"{stem}.png"
    _draw_answers(picture, label, answers, output, f"{config['dataset']['name']}, {experiment}")
    print(f"picture: {output}")


def _answered(
    options: argparse.Namespace, config: dict[str, Any], results: Results
) -> tuple[str, str | None, list["Answer"]]:
    """The picture that is searched for, its class where known, and its answers."""
    from gallerist.data.manifest import Manifest
    from gallerist.serving.query import find_query, search_file, search_query

    experiment = options.experiment
    settings = config["experiments"][experiment]
    if options.query is not None:
        query = find_query(Manifest.read(results.path("manifests/query.csv")), options.query)
        ranking = f"{ranking_name(experiment, settings)}.csv"
        answers = search_query(results, ranking, query, options.answers)
        return query.path, query.label, answers
    with _notices_withheld():
        label, answers = search_file(
            *(results, experiment, config["experiments"], options.picture, options.answers),
            threads=os.cpu_count() or 1,
            max_pixels=config["dataset"]["images"]["max_pixels"],
        )
    return str(options.picture), label, answers


def _draw_answers(
    picture: str, label: str | None, answers: Sequence["Answer"], output: Path, title: str
) -> None:
    from gallerist.figures.answer_strips import draw

    tiles = [
        (answer.picture.path, f"{answer.picture.label}\n{answer.distance:.3f}", answer.relevant)
        for answer in answers
    ]
    draw([(picture, f"{label or ''}\n{Path(picture).name}", tiles)], output, title=title)


@contextmanager
def _notices_withheld() -> Iterator[None]:
    """Keep off the terminal what TensorFlow prints below Python whenever it starts.

    Its own setting for that, TF_CPP_MIN_LOG_LEVEL, leaves half of it. An unforeseen error shows it.
    """
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as withheld:
        os.dup2(withheld.fileno(), 2)
        try:
            yield
        except Exception as error:
            if not isinstance(error, _FORESEEN):
                withheld.seek(0)
                os.write(terminal, withheld.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _register(options: argparse.Namespace, config: dict[str, Any]) -> None:
    if options.crown and len(options.experiments) > 1:
        raise ValueError("--crown is for one experiment: there is one champion")
    from gallerist.serving.registry import BEST, register
    from gallerist.tracking.tracker import refresh_configured

    refresh_configured(config, "results")
    for each in register(config, options.experiments or [BEST], crown=options.crown):
        state = "registered" if each.new else "registered already"
        print(f"{each.experiment}: {state}, {each.name} version {each.version}")
        print(each.reason)
    model = config["dataset"]["name"]
    serve = ["mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
    command = shlex.join([*serve, "--port", "5001", "--model-uri", f"models:/{model}@champion"])
    print(f"serve it     MLFLOW_TRACKING_URI={shlex.quote(_store(config))} {command}")


def _summary(options: argparse.Namespace, config: dict[str, Any]) -> None:
    from gallerist.tracking.tracker import refresh_configured

    results = Results.of(config)
    table = results.path("comparison/comparison.md")
    # The workflow does so too when it starts, but not when it finds nothing to do.
    refresh_configured(config, "results")
    print(table.read_text(encoding="utf-8"))
    print(f"comparison   {results.path('comparison/comparison.png')}")
    for experiment in config["experiments"]:
        folder = results.path(f"evaluation/{experiment}")
        print(f"pictures     {folder}/")
    default = options.configfile == [DEFAULT_CONFIG]
    configured = "" if default else f" --configfile {shlex.join(options.configfile)}"
    print(f"MLflow UI    {_ui_line(_store(config))}")
    some = next(iter(config["experiments"]))
    print(f"one query    .venv/bin/gallerist search{configured} --experiment {some} --query 1")


def _store(config: dict[str, Any]) -> str:
    from gallerist.tracking.store import resolve_uri

    return resolve_uri(config["tracking"]["uri"], "results")


_OPENS_THE_UI = (
    "MLFLOW_GUNICORN_OPTS",
    "MLFLOW_UVICORN_OPTS",
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
)
"""Variables, meant for a server, by which a shell would open the UI to other machines or pages."""


def _ui_line(store: str) -> str:
    """How to come to the UI of a store."""
    if store.startswith("http"):
        return hide_passwords(store)
    return f"make ui   ({hide_passwords(shlex.join(_ui_command(store, 5000)))})"


def _ui_command(store: str, port: int) -> list[str]:
    # One reader needs one worker: four, as by default, take 24 s to start and 2.5 GB.
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return ["mlflow", "ui", "--backend-store-uri", store, *address]


def _ui(options: argparse.Namespace, config: dict[str, Any]) -> None:
    from gallerist.tracking.experiment_page import CURRENT, address
    from gallerist.tracking.store import database_path, known_experiment

    store = _store(config)
    if store.startswith("http"):
        server = hide_passwords(store)
        raise ValueError(f"the runs are on a server; open {server} in a browser")
    database = database_path(store)
    if database is not None and not database.exists():  # MLflow would set up an empty one
        raise ValueError(f"{database} is not there yet. Run the workflow first: make run")
    command = _ui_command(store, options.port)
    root, dataset = f"http://127.0.0.1:{options.port}", config["dataset"]["name"]
    identity = known_experiment(database, dataset) if database is not None else None
    print(f"{root}\n{hide_passwords(shlex.join(command))}")
    if identity is not None:
        print(f"table        {address(root, identity)}")
        print(f"charts       {address(root, identity, charts=True)}")
    print(f"Rows that were made again are hidden by the filter {CURRENT}", flush=True)
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # there are no jobs to do
        **{name: text for name, text in os.environ.items() if name not in _OPENS_THE_UI},
    }
    if holds_password(store):  # what is typed can be read by everybody on this machine
        environment["MLFLOW_BACKEND_STORE_URI"] = store
        command = [word for word in command if word not in ("--backend-store-uri", store)]
    os.execve(sys.executable, [sys.executable, "-m", *command], environment)


def _unlock(options: argparse.Namespace, config: dict[str, Any]) -> None:
    from gallerist.workflow.lock import remove_stale_lock

    if remove_stale_lock(Path.cwd()):
        print("removed the lock of a workflow that is no longer running")


if __name__ == "__main__":
    sys.exit(main())
