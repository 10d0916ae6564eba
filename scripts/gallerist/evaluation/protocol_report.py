"""What `gallerist explain` says: the protocols that give a claim, and every choice by itself."""

from collections.abc import Sequence

from gallerist.evaluation.judged_ranking import JudgedRanking
from gallerist.evaluation.protocol_search import (
    DEPARTURES,
    Claim,
    Explanation,
    Scored,
    Search,
    common_choices,
)
from gallerist.evaluation.protocols import FAMILIES, Family, describe, reason
from gallerist.evaluation.trec_files import number, table
from gallerist.io.errors import UserError, first_of
from gallerist.io.files import PathLike

_MOST = 10
"""Rows of a table of protocols."""


def read_claims(path: PathLike) -> list[Claim]:
    """Read claims: CSV with the column claimed and perhaps k and metric, a row a figure.

    Raises UserError naming the line.
    """
    claims = []
    for place, (claimed,), (k, metric) in table(path, ("claimed",), ("k", "metric")):
        try:
            family = as_family(metric) if metric else None
            claims.append(Claim(claimed, int(number(k, "k", place, int)) if k else None, family))
        except UserError as error:
            text = str(error)
            raise UserError(text if text.startswith(place) else f"{place}: {text}") from error
    if not claims:
        raise UserError(f"{path} has no claim below its header")
    return claims


def as_family(name: str) -> Family:
    """A metric by its name without k. Raises UserError."""
    for family in FAMILIES:
        if name.strip().casefold() == family.casefold():
            return family
    raise UserError(f"{name!r} is no metric; give k apart. Known: {', '.join(FAMILIES)}")


def explain(judged: JudgedRanking, claims: Sequence[Claim]) -> str:
    """The report for a reader, claim by claim, and what all claims have in common."""
    search = Search(judged)
    found = [search.explain(claim) for claim in claims]
    sections = [_counts(judged)]
    for each in found:
        sections.append(_section(each))
        if len(found) == 1:
            sections.append(_single_choices(search, each))
    if len(found) > 1:
        sections.append(_common(found))
    return "\n\n".join(sections)


def _counts(judged: JudgedRanking) -> str:
    shortest, longest = int(judged.lengths.min()), int(judged.lengths.max())
    answers = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
    pictures = len(judged.gallery)
    lines = [f"{len(judged.queries)} queries with {answers} answers each; {pictures} pictures"]
    if shortest < pictures - 1:
        lines.append("what the ranking does not list counts as not found")
    return "\n".join(lines)


def _section(found: Explanation) -> str:
    claim, giving, possible = found.claim, found.giving, found.possible
    at = "" if claim.k is None else f" at {claim.k}"
    lines = [f"claimed {claim.text}, {claim.family or 'any metric'}{at}"]
    if giving:
        lines.append(
            f"given by {len(giving)} of {len(found.tried)} protocols; by chance alone, a number "
            f"near it would be given by {found.by_chance:.1f}"
        )
        lines += _protocols(found, giving[:_MOST])
        if len(giving) > _MOST:
            lines.append(f"and {len(giving) - _MOST} more, with as many departures or more")
    else:
        lines.append(
            f"given by none of {len(found.tried)} protocols with up to {DEPARTURES} departures; "
            "the nearest:"
        )
        lines += _protocols(found, found.tried[: _MOST // 2])
    if possible and not any(each.defensible for each in giving):
        lines.append("possible, by an order that is not known (mean, and standard deviation):")
        lines += _protocols(found, possible[: _MOST // 2])
    return "\n".join(lines)


def _protocols(found: Explanation, rows: Sequence[Scored]) -> list[str]:
    cells = [("figure", "from claim", "metric", "defensible", "departures from the default")]
    for each in rows:
        chance = f" ({each.figure.deviation:.4f})" if each.figure.deviation else ""
        cells.append(
            (
                f"{each.figure.value:.4f}{chance}",
                f"{each.figure.value - found.claim.value:+.4f}",
                _metric(each),
                "yes" if each.defensible else "no",
                _departures(each),
            )
        )
    return _aligned(cells)


def _single_choices(search: Search, found: Explanation) -> str:
    """Every choice by itself, of the metric of the nearest protocol."""
    nearest = (found.giving or found.possible or found.tried)[0]
    base, *rows = search.single_choices(nearest.measure, nearest.protocol.setup)

    def moved(each: Scored) -> float:
        return each.figure.value - base.figure.value

    cells = [
        ("figure", "moved by", "gives it", "defensible", "choice", "why"),
        *(
            (
                f"{each.figure.value:.4f}",
                f"{moved(each):+.4f}",
                "no" if found.claim.distance(each.figure.value) else "yes",
                "yes" if each.defensible else "no",
                _departures(each),
                "; ".join(reason(*one).why for one in each.departures.items()),
            )
            for each in sorted(rows, key=lambda one: -abs(moved(one)))
            if moved(each)
        ),
    ]
    lines = [f"{_metric(base)} by the default: {base.figure.value:.4f}; one choice at a time:"]
    lines += _aligned(cells)
    still = [_departures(each) for each in rows if not moved(each)]
    if still:
        lines.append(f"without effect by themselves: {'; '.join(still)}")
    return "\n".join(lines)


def _common(found: Sequence[Explanation]) -> str:
    unexplained = [each.claim.text for each in found if not each.giving]
    if unexplained:
        return f"no protocol gives {first_of(unexplained)}, so none gives all claims"
    shared = common_choices(found)
    if not shared:
        return "no choices give all claims at once: they are of several protocols or rankings"
    rows = (", ".join(sorted(describe(*one) for one in each)) or "the default" for each in shared)
    head = "all claims at once are given by (divisor and integration as above):"
    return "\n".join([head, *(f"  {row}" for row in rows)])


def _metric(each: Scored) -> str:
    setup = each.protocol.setup
    return f"{each.measure} ({setup})" if setup else str(each.measure)


def _departures(each: Scored) -> str:
    return ", ".join(describe(*one) for one in each.departures.items()) or "none"


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
