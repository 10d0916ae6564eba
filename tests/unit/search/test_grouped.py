"""A gallery that is searched with its own pictures: all others, other folds, other originals."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from gallerist.data.groups import answer_groups
from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation.relevance import evaluate_parts
from gallerist.evaluation.scores import score
from gallerist.features.store import Features
from gallerist.search.gallery import search_gallery
from gallerist.search.grouped import rank_grouped
from gallerist.settings.ranking import Search

METRICS = ["top-1", "top-5", "mAP@R", "R-precision", "mAP"]
FOLDS = {"number": 5, "seed": 7}
ASKING = {
    "all others": None,
    "other originals": {"leave_out": "original"},
    "other folds": {"folds": {**FOLDS, "by": "original"}},
    "the own fold": {"folds": {**FOLDS, "by": "class"}},
}


def gallery():
    """200 pictures of ten classes and some distractors; every fourth is a copy of the last."""
    random = np.random.default_rng(3)
    labels = [DISTRACTOR if n % 23 == 0 else f"class {n // 4 % 10}" for n in range(200)]
    pictures = [
        Picture(f"p{n:03d}", "", labels[n], "gallery", f"p{n:03d}", 1, 1, "") for n in range(200)
    ]
    for n in range(3, 200, 4):
        if labels[n] == labels[n - 1]:
            pictures[n] = Picture(f"p{n:03d}", "", labels[n], "gallery", f"p{n - 1:03d}", 1, 1, "")
    centres = {label: random.normal(size=16) for label in sorted(set(labels))}
    vectors = np.stack([random.normal(size=16) + 0.6 * centres[label] for label in labels])
    manifest = Manifest(pictures)
    return manifest, Features.of(vectors.astype(np.float32), manifest.ids, "", "")


def searched(features, depth, groups):
    asked = []

    def rank(queries, shown, wanted):
        asked.append(len(queries.ids))
        wanted = wanted or len(shown.ids)
        return search_gallery(queries, shown, wanted, Search(), threads=1)[0]

    return rank_grouped(features, features, depth, groups, rank), asked


def oracle(manifest, features, may_answer):
    """Each metric of each query by scikit-learn's neighbours and the published formulas."""
    near = NearestNeighbors(metric="cosine", algorithm="brute").fit(features.vectors)
    order = near.kneighbors(features.vectors, len(manifest), return_distance=False)
    found = {}
    for row, query in enumerate(manifest):
        answers = [manifest[n] for n in order[row] if n != row and may_answer(query, manifest[n])]
        right = np.array([query.label == each.label != DISTRACTOR for each in answers])
        total = int(right.sum())
        if total:
            precision = np.cumsum(right) / np.arange(1, len(right) + 1)
            found[query.id] = [
                *(float(right[:k].any()) for k in (1, 5)),
                # Musgrave et al. (2020), 3.3: 1/R of the sum of P(i), where the i-th is right.
                (precision * right)[:total].sum() / total,
                right[:total].sum() / total,
                (precision * right).sum() / total,
            ]
    return found


@pytest.mark.parametrize("name", ASKING)
def test_the_figures_are_those_of_scikit_learn_and_the_published_formulas(name):
    manifest, features = gallery()
    asking = ASKING[name]
    groups = answer_groups(manifest, asking)
    folds = groups.of if groups else {}
    may_answer = {
        "all others": lambda one, other: True,
        "other originals": lambda one, other: one.source_id != other.source_id,
        "other folds": lambda one, other: (
            None in (a := (folds.get(one.id), folds.get(other.id))) or a[0] != a[1]
        ),
        "the own fold": lambda one, other: (
            None in (a := (folds.get(one.id), folds.get(other.id))) or a[0] == a[1]
        ),
    }[name]
    ranking, _ = searched(features, None, groups)
    evaluation = evaluate_parts(ranking, manifest, manifest, asking)
    scores = score(evaluation.ranks, manifest, evaluation.queries, METRICS)
    wanted = oracle(manifest, features, may_answer)
    assert scores.queries == tuple(wanted)
    assert {*evaluation.excluded} == {each.id for each in manifest} - set(wanted)
    got = np.stack([scores.values[metric] for metric in METRICS], axis=1)
    assert not scores.unknown
    np.testing.assert_allclose(got, [*wanted.values()], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("depth", [1, 7, 30])
def test_a_ranking_kept_less_deep_is_the_beginning_of_the_whole_one(name, depth):
    manifest, features = gallery()
    groups = answer_groups(manifest, ASKING[name])
    whole, _ = searched(features, None, groups)
    kept, asked = searched(features, depth, groups)
    assert kept.query_ids == whole.query_ids
    assert kept.answers == tuple(each[:depth] for each in whole.answers)
    assert kept.distances == tuple(each[:depth] for each in whole.distances)
    assert sum(asked) == len(manifest)  # no picture asks twice
    distractors = "distractors ask by themselves"
    searches = {"all others": 1, "other originals": 1}.get(name, 5 + bool(distractors))
    assert len(asked) == searches


def test_large_groups_that_are_left_out_are_searched_one_by_one():
    manifest, features = gallery()
    one = Manifest(
        Picture(each.id, "", each.label, "gallery", f"o{n // 50}", 1, 1, "")
        for n, each in enumerate(manifest)
    )
    groups = answer_groups(one, ASKING["other originals"])
    ranking, asked = searched(features, 9, groups)
    assert len(asked) == 4
    assert all(
        groups.admits(query, answer)
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True)
        for answer in answers
    )
