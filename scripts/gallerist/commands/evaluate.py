"""The command `gallerist evaluate`."""

from typing import Any

import click


def _words(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def _numbers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of whole numbers, such as 1,3,5") from None


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--metrics", type=_words, metavar="NAMES", help="Such as mAP,nDCG@10.")
@click.option("--k", "ks", type=_numbers, metavar="LIST", help="Hit rates.  [default: 1,3,5,10]")
@click.option("--seed", type=int, help="Of the intervals.  [default: 99]")
@click.option("--rounds", type=int, help="Of the intervals.  [default: 10000]")
@click.option("--json", metavar="FILE", help="Write all figures.")
@click.option("--queries", metavar="FILE", help="Write a CSV of every query.")
@click.option("--to-run", metavar="FILE", help="Write the ranking as a TREC run.")
@click.option("--to-qrels", metavar="FILE", help="Write what is relevant as TREC qrels.")
def evaluate(**given: Any) -> None:
    """Evaluate rankings of any tool, and compare them.

    FILES are rankings (CSV or TREC run) and what is relevant (CSV or TREC qrels), in any order:
    each is known by its content.
    """
    from gallerist.evaluation.external_evaluation import Task, evaluate_files

    print(evaluate_files(Task(**{k: v for k, v in given.items() if v is not None})))
