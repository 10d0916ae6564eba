"""A ground truth of six gallery pictures and four queries, and answers to grade by hand."""

from gallerist.challenge.grading import grade
from gallerist.challenge.key_fault import study
from gallerist.challenge.truth import CONFUSION, Truth
from gallerist.evaluation.bootstrap import IntervalSettings

# Gallery in the order of names: a cat, b dog, c and d confusion images, e cat, f owl.
TRUTH = Truth(
    {"q1": "cat", "q2": "dog", "q3": "emu", "q4": CONFUSION},
    {"f": "owl", "a": "cat", "b": "dog", "c": CONFUSION, "d": CONFUSION, "e": "cat"},
    {"q1": "photo", "q2": "sketch"},
)
ANSWERS = {
    "q1": ("c", "e", "b", "a", "d", "f"),
    "q2": ("b", "c", "d", "a", "e", "f"),
    "q3": ("d", "c", "a", "b", "e", "f"),
    "q4": ("c", "d", "f", "a", "b", "e"),
}
SEEDED = IntervalSettings(seed=3, rounds=200)


def means(measures):
    return {name: each.mean for name, each in measures.items()}


def studied(rankings, truth, settings=SEEDED, **options):
    """The study of rankings, graded as the script grades them."""
    grades = {name: grade(each, truth, settings, **options) for name, each in rankings.items()}
    return study(rankings, grades, truth, settings, **options)
