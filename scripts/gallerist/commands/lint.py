"""The command `gallerist lint`."""

import click


@click.command()
@click.argument("results")
@click.option("--gallery", required=True, metavar="FOLDER", help="Of the gallery's pictures.")
@click.option("--query", required=True, metavar="FOLDER", help="Of the query pictures.")
@click.option("--k", default=10, help="Answers a query.")
def lint(results: str, gallery: str, query: str, k: int) -> int:
    """Find every problem of an answer file.

    RESULTS has the form of results.json. The status is 1 where there is a problem.
    """
    from gallerist.challenge import lint
    from gallerist.challenge.answer_file import picture_names

    found = lint.lint(results, picture_names(gallery), picture_names(query), k)
    print(lint.format_problems(found) or "no problem")
    return int(bool(found))
