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
    from gallerist.challenge.lint import problem_lines

    lines = problem_lines(results, gallery, query, k)
    print("\n".join(lines or ["no fault"]))
    return int(bool(lines))
