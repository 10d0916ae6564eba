"""The revisited Oxford and Paris, with seeded rankings of which its own evaluator's figures exist.

The rankings are made as its README says: random scores, to which what is right may add.
"""

import json

import numpy as np
import pytest
from checkout import SHARED

from gallerist.search.ranking import Ranking

FOLDER = SHARED / "data/revisited"
ADDED = {"easy": 0.7, "hard": 0.4, "junk": 0.5}


def read(name):
    """The annotations of one set; skips the test where they are absent."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        pytest.skip("the revisited annotations are not here")
    return json.loads(path.read_text(encoding="utf-8"))


def expected(name, kind):
    """What the evaluator gives: setup -> figure -> value."""
    return json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))[f"{name} {kind}"]


def seeded_ranking(name, kind):
    """The ranking of one set: "random", or "good"."""
    parts = read(name)
    generator = np.random.default_rng(2018)
    names = np.array(parts["gallery"], dtype=object)
    answers, distances = [], []
    for query in parts["truth"]:
        scores = generator.random(len(names))
        if kind == "good":
            for grade, added in ADDED.items():
                scores[query[grade]] += added
        order = np.argsort(-scores, kind="stable")
        answers.append(tuple(names[order].tolist()))
        distances.append(tuple((-scores[order]).tolist()))
    return Ranking(tuple(parts["queries"]), tuple(answers), tuple(distances))
