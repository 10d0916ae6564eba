"""A map of features: gallery and queries in the plane, near each other where features are."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.evaluation.relevance import Relevance
from gallerist.features.store import Features
from gallerist.figures.style import (
    CLASS_COLOURS,
    OTHER,
    WIDTH,
    WRONG,
    class_colours,
    entitle,
    legend_below,
    save,
)
from gallerist.io.arrays import Booleans, Integers, Vectors, take_rows
from gallerist.io.files import PathLike
from gallerist.search.ranking import Ranking

GALLERY_DRAWN, QUERIES_DRAWN = 3000, 300
"""More dots, or stars, lie on each other, and t-SNE takes minutes."""

PERPLEXITY = 30.0
"""Neighbours that t-SNE looks at about each point, where there are enough points."""

_COMPONENTS = 50


def features_in(*parts: Sequence[PathLike]) -> list[Features]:
    """The features of some parts, each in its files: see `store.Features.read`."""
    return [Features.read(*files) for files in parts]


def draw_feature_map(
    gallery_features: Features,
    query_features: Features,
    ranking: Ranking,
    gallery: Manifest,
    queries: Manifest,
    path: PathLike,
    *,
    seed: int,
    title: str,
    relevance: Relevance | None = None,
) -> None:
    """Draw gallery and queries near where their vectors are, as PNG; a sample where they are many.

    ranking: of these queries, whose first answers are marked where they are wrong. relevance: what
    is right; None, it is what is of the query's class.
    """
    sets, label_of = (gallery_features, query_features), (gallery.label_of, queries.label_of)
    rows = [
        sample(len(each.ids), most, seed)
        for each, most in zip(sets, (GALLERY_DRAWN, QUERIES_DRAWN), strict=True)
    ]
    ids = [[each.ids[row] for row in chosen] for each, chosen in zip(sets, rows, strict=True)]
    labels = [[of[name] for name in names] for of, names in zip(label_of, ids, strict=True)]
    first = dict(zip(ranking.query_ids, (answers[0] for answers in ranking.answers), strict=True))
    relevance = relevance or Relevance.of_classes(label_of[1], label_of[0])
    # Of a query without a right answer, as a distractor is, none is the wrong one.
    wrong = np.array(
        [
            label != DISTRACTOR and relevance.judge(name, first[name]) is False
            for name, label in zip(ids[1], labels[1], strict=True)
        ],
        dtype=bool,
    )
    drawn = [take_rows(each.vectors, chosen) for each, chosen in zip(sets, rows, strict=True)]
    places = project(drawn[0], drawn[1], seed)
    sampled = {"gallery": len(gallery_features.ids), "queries": len(query_features.ids)}
    draw(places[0], labels[0], places[1], labels[1], wrong, path, title=title, sampled=sampled)


def sample(count: int, most: int, seed: int) -> Integers:
    """Rows to draw of `count`, rising: all, or `most` of them drawn with the seed, without bias."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size=most, replace=False))


def project(
    gallery: Vectors, queries: Vectors, seed: int
) -> tuple[Vectors, Vectors]:  # fmt: skip
    """Places of gallery and queries in one plane, by t-SNE: (gallery, 2), (queries, 2) float32.

    gallery, queries: (n, length) and (m, length) float32 rows of features, both the same length;
    a few thousand at most (`sample`). Up to 50 principal components of all rows are embedded, from
    the first two (van der Maaten, Hinton, Visualizing Data using t-SNE, 2008; Kobak, Berens, The
    art of using t-SNE, 2019), with perplexity 30, or a third of the rows where these are few; fewer
    than 5 rows are drawn by the components themselves.

    The same rows and seed give the same map on any number of threads: it is computed on one, since
    t-SNE enlarges the last bits of sums. Distances between far groups mean nothing.

    Raises ValueError for different lengths, no rows at all, and numbers that are not finite.
    """
    if gallery.ndim != 2 or queries.ndim != 2 or gallery.shape[1] != queries.shape[1]:
        raise ValueError(
            f"features of shape {gallery.shape} and {queries.shape} are not of one space"
        )
    rows = np.concatenate([gallery, queries]).astype(np.float32, copy=False)
    if rows.size == 0:
        raise ValueError("there are no features to make a map of")
    if not np.isfinite(rows).all():
        raise ValueError("features that are not finite have no place on a map")
    import sklearn.manifold  # noqa: F401  # only a library that is loaded can be limited

    with threadpool_limits(limits=1):
        places = _embedded(rows, seed)
    return places[: len(gallery)], places[len(gallery) :]


def _embedded(rows: Vectors, seed: int) -> Vectors:
    """(n, 2) float32."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if (rows == rows[0]).all():
        return np.zeros((len(rows), 2), dtype=np.float32)
    components = min(_COMPONENTS, *rows.shape)
    solver = "full" if components < _COMPONENTS else "randomized"
    reduced = PCA(components, copy=False, svd_solver=solver, random_state=seed).fit_transform(rows)
    if components < 2:
        reduced = np.pad(reduced, ((0, 0), (0, 1)))
    if len(rows) < 5:
        return np.asarray(reduced[:, :2], dtype=np.float32)
    embedding = TSNE(
        2, init="pca", perplexity=min(PERPLEXITY, (len(rows) - 1) / 3), random_state=seed, n_jobs=1
    )
    return np.asarray(embedding.fit_transform(reduced), dtype=np.float32)


def draw(
    gallery: Vectors,
    gallery_labels: Sequence[str],
    queries: Vectors,
    query_labels: Sequence[str],
    wrong: Booleans,
    path: PathLike,
    *,
    title: str,
    sampled: Mapping[str, int],
) -> None:
    """Draw a map as PNG: the gallery as dots, queries as stars, wrongly answered ones in a ring.

    gallery, queries: (n, 2), (m, 2) as `project` gives them; their labels; wrong: (m,) bool, the
    query's first answer is wrong. The ten classes with most queries have colours, the others and
    the distractors are grey. sampled: "gallery" and "queries" -> how many there are in all, which
    the title says where not all are drawn.
    """
    if (len(gallery), len(queries), len(queries)) != (
        len(gallery_labels), len(query_labels), len(wrong),
    ):  # fmt: skip
        raise ValueError("places, labels and marks of wrong answers do not belong together")
    classes = _by_queries(gallery_labels, query_labels)
    colours = {**class_colours(classes), DISTRACTOR: OTHER}
    figure = Figure(figsize=(WIDTH, WIDTH * 0.8), layout="constrained")
    axis = figure.subplots()
    _scatter_gallery(axis, gallery, [colours[label] for label in gallery_labels])
    _scatter_queries(axis, queries, [colours[label] for label in query_labels], wrong)
    axis.set(xticks=[], yticks=[], xlabel="map axis 1 (no unit)", ylabel="map axis 2 (no unit)")
    axis.set_aspect("equal", adjustable="datalim")
    drawn = {"gallery": len(gallery), "queries": len(queries)}
    parts = [f"{_counted(part, drawn[part], sampled[part])}" for part in drawn]
    entitle(axis, f"{title}: {', '.join(parts)}, {int(wrong.sum())} with a wrong first answer")
    others = OTHER in {colours[label] for label in (*gallery_labels, *query_labels)}
    legend_below(figure, _handles(classes, others, len(queries) > 0, bool(wrong.any())))
    save(figure, path)


def _by_queries(gallery_labels: Sequence[str], query_labels: Sequence[str]) -> list[str]:
    """All classes but the distractors, those with most queries first, then most pictures."""
    asked, shown = Counter(query_labels), Counter(gallery_labels)
    names = (asked.keys() | shown.keys()) - {DISTRACTOR}
    return sorted(names, key=lambda name: (-asked[name], -shown[name], name))


def _scatter_gallery(axis: Axes, places: Vectors, colours: Sequence[str]) -> None:
    """Grey dots below coloured ones."""
    size = 16 if len(places) <= 600 else 7
    for grey in (True, False):
        chosen = [row for row, colour in enumerate(colours) if (colour == OTHER) == grey]
        axis.scatter(
            places[chosen, 0], places[chosen, 1], s=size, c=[colours[row] for row in chosen],
            linewidths=0, alpha=0.5 if grey else 0.7,
        )  # fmt: skip


def _scatter_queries(axis: Axes, places: Vectors, colours: Sequence[str], wrong: Booleans) -> None:
    size = 75 if len(places) <= 100 else 45
    axis.scatter(
        places[:, 0], places[:, 1], s=size, c=list(colours), marker="*", edgecolors="black",
        linewidths=0.7,
    )  # fmt: skip
    axis.scatter(
        places[wrong, 0], places[wrong, 1], s=2.2 * size, facecolors="none", edgecolors=WRONG,
        linewidths=1.2,
    )  # fmt: skip


def _handles(
    classes: Sequence[str], others: bool, stars: bool, rings: bool
) -> dict[str, Line2D]:  # fmt: skip
    """Entries of the legend."""
    colours = class_colours(classes)

    def mark(marker: str, face: str, edge: str, size: float) -> Line2D:
        return Line2D(
            [], [], linestyle="none", marker=marker, markerfacecolor=face, markeredgecolor=edge,
            markersize=size,
        )  # fmt: skip

    handles = {
        name: mark("o", colours[name], colours[name], 5) for name in classes[: len(CLASS_COLOURS)]
    }
    if others:
        left = len(classes) - len(CLASS_COLOURS)
        named = f"{left} other classes, distractors" if left > 0 else "distractors"
        handles[named] = mark("o", OTHER, OTHER, 5)
    if stars:
        handles["query"] = mark("*", "white", "black", 9)
    if rings:
        handles["query with a wrong first answer"] = mark("o", "none", WRONG, 9)
    return handles


def _counted(part: str, drawn: int, total: int) -> str:
    pictures = "gallery pictures" if part == "gallery" else part
    return f"{total} {pictures}" if drawn == total else f"{drawn} of {total} {pictures} (sample)"
