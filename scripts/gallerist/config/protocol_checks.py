"""What does not go with the pictures of a gallery that search each other."""

from collections.abc import Iterator

from gallerist.config.schema import KeyPath
from gallerist.settings.configuration import Configuration

Problems = Iterator[tuple[KeyPath, str]]


def asks_queries(whole: Configuration) -> bool:
    """Whether there has to be a part of queries."""
    return whole.evaluation.protocol == "gallery_and_query"


def check_protocol(whole: Configuration) -> Problems:
    """What is mixed, trained, stated or fitted where the queries are pictures of the gallery."""
    protocol = whole.evaluation.protocol
    if asks_queries(whole):
        return
    if whole.dataset.truth:
        needed = "what is right is stated of the part query: choose gallery_and_query."
        yield ("evaluation", "protocol"), f"{protocol} goes by classes, and {needed}"
    if whole.evaluation.abstaining:
        needed = "a threshold is fitted for queries that are not of the gallery. Write null."
        yield ("evaluation", "abstaining"), f"with {protocol} there are none, and {needed}"
    for name, settings in whole.experiments.items():
        path, search = ("experiments", name), getattr(settings, "search", None)
        left = ("leave_one_out", "leave_original_out")
        if protocol in left and getattr(search, "database_augmentation", None):
            mixed = "each query would be mixed into the pictures that it searches. Leave it out."
            yield (*path, "search", "database_augmentation"), f"with {protocol} {mixed}"
        if protocol == left[1] and getattr(search, "query_expansion", None):
            mixed = "a query would be mixed with copies of its original. Leave it out."
            yield (*path, "search", "query_expansion"), f"with {protocol} {mixed}"
        if protocol in left and getattr(settings, "k_reciprocal", None):
            near = "each query would be among the neighbours that its answers are judged by."
            yield (*path, "k_reciprocal"), f"with {protocol} {near} Leave it out."
        if protocol == "cross" and getattr(search, "index", None):
            problem = "each fold of cross is searched exactly: leave it out."
            yield (*path, "search", "index"), problem
        if protocol == "cross" and getattr(settings, "epochs", None):
            problem = "cross trains nothing, which would take a training a fold. Write epochs: 0,"
            mended = "or choose leave_one_out, which searches what no training saw."
            yield (*path, "epochs"), f"{problem} {mended}"
