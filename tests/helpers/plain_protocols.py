"""A protocol's figure in plain loops over lists, query by query: what the arrays are tested by."""

from math import log2

DISTRACTOR = "distractor"


def figure(world, protocol, family, k):
    """The figure of a ranking. world: see `tests/unit/evaluation/test_protocol_scores.py`."""
    values = {}
    for query, listed in world["ranking"].items():
        label = _label(world, protocol, query)
        right = {
            name for name in world["gallery"] if _is_right(world, protocol, query, label, name)
        }
        kept, right = _answers(world, protocol, query, list(listed), right)
        total = len(right)
        marks = [name in right for name, _ in kept]
        values[query] = _value(marks, total, protocol, family, k) if total else None
    return _mean(world, protocol, values)


def _label(world, protocol, query):
    if world["labels"] is None:
        return None
    if protocol.keys == "queries":
        return world["labels"][query]
    position = sorted(world["ranking"]).index(query)
    return world["gallery"][sorted(world["gallery"])[position]]


def _is_right(world, protocol, query, label, name):
    if label is None:
        return name in world["right"][query]
    if label == DISTRACTOR and protocol.distractors == "match nothing":
        return False
    return world["gallery"][name] == label


def _answers(world, protocol, query, listed, right):
    """What is left of the answers, as (name, distance), and of the right pictures."""
    same_file = world["labels"] is not None
    if (
        protocol.own == "in"
        and same_file
        and query in world["gallery"]
        and query not in [name for name, _ in listed]
    ):
        listed.insert(0, (query, float("-inf")))
    orders = {
        "as ranked": lambda name: 0,
        "right first": lambda name: name not in right,
        "right last": lambda name: name in right,
        "by id": lambda name: name,
    }
    if protocol.ties == "by id, falling":
        listed = sorted(sorted(listed, reverse=True), key=lambda each: each[1])
    else:
        listed = sorted(listed, key=lambda each: (each[1], orders[protocol.ties](each[0])))
    if protocol.depth is not None:
        listed = listed[: protocol.depth]
    original = world["original"]

    def is_own(name):
        if protocol.own == "in":
            return False
        copies = protocol.own == "out, with its copies"
        return name == query or (copies and original[name] == original[query])

    listed = [each for each in listed if not is_own(each[0])]
    right = {name for name in right if not is_own(name)}
    if protocol.junk == "out" and world["labels"] is None:
        listed = [each for each in listed if each[0] not in world["junk"][query]]
    if protocol.copies == "one":
        kept, seen = [], set()
        for name, distance in listed:
            if original[name] not in seen:
                kept.append((original[name], distance))
                seen.add(original[name])
        return kept, {original[name] for name in right}
    return listed, right


def _value(marks, total, protocol, family, k):
    ranks = [rank for rank, mark in enumerate(marks, start=1) if mark]
    cut = total if k == "R" else (10**9 if k is None else k)
    within = [rank for rank in ranks if rank <= cut]
    if family == "hit rate":
        return 1.0 if within else 0.0
    if family == "recall":
        return len(within) / total
    if family == "MRR":
        return 1 / within[0] if within else 0.0
    if family == "nDCG":
        ideal = sum(1 / log2(1 + rank) for rank in range(1, min(cut, total) + 1))
        return sum(1 / log2(1 + rank) for rank in within) / ideal
    if family == "precision":
        if protocol.divisor == "min(k, R)":
            return len(within) / min(cut, total)
        if protocol.divisor == "k":
            return len(within) / cut
        last = min(cut, ranks[-1]) if ranks else 1
        return sum(rank <= last for rank in ranks) / last
    area = 0.0
    for number, rank in enumerate(within, start=1):
        after = number / rank
        before = 1.0 if rank == 1 else (number - 1) / (rank - 1)
        area += after if protocol.integration == "steps" else (before + after) / 2
    if protocol.divisor == "hits":
        return area / max(1, len(within))
    return area / (total if protocol.divisor == "R" else min(cut, total))


def _mean(world, protocol, values):
    queries = list(values)
    if protocol.unanswerable == "left out":
        queries = [query for query in queries if values[query] is not None]
    if not queries:
        return 0.0
    filled = list(queries)
    while protocol.batch is not None and len(filled) % protocol.batch:
        filled.append(queries[(len(filled)) % len(queries)])
    groups = {}
    for number, query in enumerate(filled):
        group = {
            "queries": number,
            "classes": world["labels"] and world["labels"][query],
            "originals": world["original"][query],
        }[protocol.average]
        groups.setdefault(group, []).append(values[query] or 0.0)
    means = [sum(each) / len(each) for each in groups.values()]
    return sum(means) / len(means)
