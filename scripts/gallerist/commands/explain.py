"""The command `gallerist explain`."""

from collections.abc import Sequence

import click


@click.command()
@click.argument("ranking")
@click.argument("truth", nargs=-1, required=True)
@click.option("--claimed", metavar="FIGURE", help="As it was published: 0.677 or 67.7.")
@click.option("--k", type=int, help="Where the metric looks to.  [default: 1, 5, 10 and all]")
@click.option("--metric", metavar="NAME", help="Such as mAP or precision.  [default: any]")
@click.option("--claims", metavar="FILE", help="CSV with the columns claimed, k, metric.")
def explain(
    ranking: str,
    truth: Sequence[str],
    claimed: str | None,
    k: int | None,
    metric: str | None,
    claims: str | None,
) -> None:
    """Find the protocols that give a published figure.

    RANKING is a ranking (CSV, TREC run, or the challenge's answer file), TRUTH what is relevant:
    as for `evaluate`, or JSON of the challenge or of the revisited Oxford and Paris.
    """
    from gallerist.challenge.judged_files import read_judged
    from gallerist.evaluation.protocol_report import as_family, read_claims
    from gallerist.evaluation.protocol_report import explain as report
    from gallerist.evaluation.protocol_search import Claim

    if (claimed is None) == (claims is None):
        raise click.UsageError("give either --claimed or --claims")
    if claims is not None and (k is not None or metric is not None):
        raise click.UsageError("with --claims, k and metric are columns of the file")
    wanted = (
        [Claim(claimed, k, as_family(metric) if metric else None)]
        if claimed is not None
        else read_claims(claims or "")
    )
    print(report(read_judged(ranking, truth), wanted))
