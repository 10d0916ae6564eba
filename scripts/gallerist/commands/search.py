"""The command `gallerist search`."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gallerist.commands import options

if TYPE_CHECKING:
    from gallerist.serving.pictures import Answer


@options.command()
@options.with_configuration
@options.experiment_option("Whose features to use.", required=True)
@click.argument("picture", required=False)
@click.option("--query", metavar="NAME", help="Of the data set, by file name or number.")
@click.option("--answers", "count", default=10, help="How many to list.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to draw the answers.")
def search(
    config: dict[str, Any],
    experiment: str,
    picture: str | None,
    query: str | None,
    count: int,
    output: Path | None,
) -> None:
    """Rank the gallery for one picture.

    PICTURE is any picture file; a query of the data set is asked for with --query.
    """
    from gallerist.workflow.experiments import require_experiment

    require_experiment(experiment, config["experiments"])
    if (picture is None) == (query is None):
        raise ValueError("name either a picture file, or a query of the data set with --query")
    if count < 1:
        raise ValueError(f"--answers is {count}; it is at least 1")
    path, label, answers = _answers(config, experiment, picture, query, count)
    print(f"{path}  ({label or 'class unknown'}), experiment {experiment}")
    notice, sure = _sureness(config, experiment, answers)
    print(notice, end="")
    width = max((len(Path(answer.picture.path).name) for answer in answers), default=0)
    for answer in answers:
        name = Path(answer.picture.path).name.ljust(width)
        line = f"{answer.rank:4d} {answer.mark} {name}  {answer.distance:.4f}  "
        print(line + answer.picture.label + sure)
    dataset = config["dataset"]["name"]
    output = output or _default_output(dataset, experiment, path)
    _draw(path, label, answers, output, f"{dataset}, {experiment}", config)
    print(f"picture: {output}")


def _answers(
    config: dict[str, Any], experiment: str, picture: str | None, query: str | None, count: int
) -> tuple[str, str | None, list["Answer"]]:
    """The picture that is searched for, its class where known, and its answers."""
    from gallerist.data.manifest import Manifest
    from gallerist.serving.extractor import reading_of
    from gallerist.serving.pictures import KnownPictures
    from gallerist.serving.query import find_query, search_file, search_query
    from gallerist.workflow.experiments import Experiment
    from gallerist.workflow.results import Results

    results = Results.of(config, options.RESULTS)
    experiments = config["experiments"]
    known = KnownPictures.read(results, stated=bool(config["dataset"].get("truth")))
    if query is not None:
        found = find_query(Manifest(known.queries.values()), query)
        ranking = f"{Experiment.of(experiment, experiments[experiment]).ranking}.csv"
        return found.path, found.label, search_query(results, ranking, found, count, known)
    assert picture is not None
    with _without_startup_messages():
        label, answers = search_file(
            *(results, experiment, experiments, picture, count),
            threads=os.cpu_count() or 1,
            known=known,
            **reading_of(config),
        )
    return picture, label, answers


def _sureness(
    config: dict[str, Any], experiment: str, answers: Sequence["Answer"]
) -> tuple[str, str]:
    """What is said before the answers, and behind each, where the threshold refuses them."""
    from gallerist.evaluation.threshold import threshold_of
    from gallerist.workflow.results import Results

    threshold = threshold_of(Results.of(config, options.RESULTS), experiment)
    if threshold is None:
        return "", ""
    if threshold.below is None:
        return f"{threshold}\n", ""
    refused = threshold.refuses(answers[0].distance if answers else inf)
    return (f"{refused}\n", "  not sure") if refused else ("", "")


def _default_output(dataset: str, experiment: str, picture: str) -> Path:
    """Where the answers are drawn: two pictures of one name, in two folders, are told apart."""
    from gallerist.io.files import sha256_of_text

    path = Path(picture)
    digest = sha256_of_text(str(path.resolve()))[:8]
    stem = path.stem.encode()[:150].decode(errors="ignore")  # a file's name ends at 255 bytes
    return Path(options.RESULTS, dataset, "searches", experiment, f"{stem}-{digest}.png")


def _draw(
    picture: str, label: str | None, answers: Sequence["Answer"], output: Path, title: str,
    config: Mapping[str, Any],
) -> None:  # fmt: skip
    from gallerist.figures.answer_strips import draw
    from gallerist.serving.extractor import reading_of

    tiles = [
        (answer.picture.path, f"{answer.picture.label}\n{answer.distance:.3f}", answer.relevant)
        for answer in answers
    ]
    draw(
        [(picture, f"{label or ''}\n{Path(picture).name}", tiles)],
        output,
        title=title,
        **reading_of(config),
    )


@contextmanager
def _without_startup_messages() -> Iterator[None]:
    """Keep off the terminal what TensorFlow prints below Python whenever it starts.

    Its own setting for that, TF_CPP_MIN_LOG_LEVEL, leaves half of it. An unforeseen error shows it.
    """
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as withheld:
        os.dup2(withheld.fileno(), 2)
        try:
            yield
        except Exception as error:
            if not isinstance(error, options.FORESEEN):
                withheld.seek(0)
                os.write(terminal, withheld.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
