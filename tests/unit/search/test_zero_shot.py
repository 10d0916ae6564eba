"""Classes that no training saw, whose pictures search each other: worked out by hand."""

import numpy as np
import pytest

from gallerist.data.manifest import Manifest, Picture
from gallerist.data.splitting import choose_unseen, split
from gallerist.evaluation.relevance import evaluate_parts
from gallerist.evaluation.scores import score
from gallerist.features.store import Features
from gallerist.search.gallery import search_gallery
from gallerist.search.grouped import rank_grouped
from gallerist.settings.evaluation import asking_of
from gallerist.settings.ranking import Search

SHARES = {"training": 0.4, "validation": 0.1, "gallery": 0.5}
DEGREES = {"cow1": 0, "cow2": 10, "cow3": 80, "dog1": 90, "dog2": 60}
"""Where the vectors of the unseen pictures point to.

Answers, nearest first, and what each query gets for them:
cow1: cow2 dog2 cow3 dog1    top-1 1    mAP@R (1/1) / 2    mAP (1/1 + 2/3) / 2
cow2: cow1 dog2 cow3 dog1    the same
cow3: dog1 dog2 cow2 cow1    0          0                  (1/3 + 2/4) / 2
dog1: cow3 dog2 cow2 cow1    0          0                  1/2
dog2: cow3 dog1 cow2 cow1    0          0                  1/2
"""
BY_HAND = {"top-1": 2 / 5, "mAP@R": 1 / 5, "mAP": (5 / 6 + 5 / 6 + 5 / 12 + 1 / 2 + 1 / 2) / 5}


def test_every_picture_of_the_unseen_classes_searches_all_others_of_them():
    names = [*DEGREES, *(f"{label}{number}" for label in ("ant", "bee") for number in range(4))]
    pictures = Manifest(
        Picture(name, f"{name}.png", name[:3], "originals", name, 8, 8, "0" * 16) for name in names
    )
    unseen = choose_unseen(pictures.classes, ["cow", "dog"], seed=1)
    parts = split(pictures, SHARES, seed=1, unseen=unseen)
    assert {*parts["training"].classes, *parts["validation"].classes} == {"ant", "bee"}
    gallery = parts["gallery"]
    assert gallery.ids == [*DEGREES]

    angles = np.radians([DEGREES[name] for name in gallery.ids])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    features = Features.of(vectors, gallery.ids, "", "")
    asking = asking_of("leave_one_out", {})

    def rank(asked, shown, depth):
        return search_gallery(asked, shown, depth or len(shown.ids), Search(), threads=1)[0]

    ranking = rank_grouped(features, features, None, None, rank)
    found = evaluate_parts(ranking, gallery, gallery, asking)
    assert found.results[0].answers == ("cow2", "dog2", "cow3", "dog1")
    assert found.excluded == ()
    scores = score(found.ranks.ended_by_itself(None), gallery, found.queries, [*BY_HAND])
    means = {name: values.mean() for name, values in scores.values.items()}
    assert means == pytest.approx(BY_HAND)
