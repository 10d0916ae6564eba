"""The rules of a workflow as a picture: what is made of what, from top to bottom.

Graphviz draws this too, but is a program that has to be installed beside Python's packages. Rules
stand in layers, and in each layer near those that they take files of (Sugiyama, Tagawa, Toda,
Methods for Visual Understanding of Hierarchical System Structures, 1981).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import networkx as nx  # type: ignore[import-untyped]
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline

from gallerist.figures.style import NORMAL, PALETTE, WIDTH, entitle, save, text_width
from gallerist.io.files import PathLike

Graph = Mapping[str, Sequence[str]]
"""Rule -> the rules whose files it takes. Every one of them is a key."""

_Place = str | tuple[str, str, int]
"""A rule, or where an arrow passes a layer: from, to, layer."""

_LAYER, _BOX, _GAP = 0.58, 0.26, 0.16
"""Inches: from layer to layer, height of a box, and between two boxes."""

_SWEEPS = 24


def remove_shortcuts(graph: Graph) -> nx.DiGraph:
    """The graph from givers to takers, without each arrow that others lead along."""
    whole = nx.DiGraph()
    whole.add_nodes_from(sorted(graph))
    whole.add_edges_from((each, rule) for rule in sorted(graph) for each in sorted(graph[rule]))
    return nx.transitive_reduction(whole)


def layers(graph: nx.DiGraph) -> dict[str, int]:
    """The layer of each rule, 0 on top: as far down as those that take its files allow."""
    upwards = [*nx.topological_generations(graph.reverse())]
    return {rule: n for n, rules in enumerate(reversed(upwards)) for rule in sorted(rules)}


def draw(graph: Graph, path: PathLike, *, title: str) -> None:
    """Draw the graph as PNG. Equal graphs give equal pictures.

    An arrow is left out where others lead to the same rule by a longer way.
    Raises ValueError when there is no rule, and networkx.NetworkXError when they go in a circle.
    """
    if not graph:
        raise ValueError("there is no rule to draw")
    reduced = remove_shortcuts(graph)
    layer_of = layers(reduced)
    ways = [_way(start, end, layer_of) for start, end in sorted(reduced.edges)]
    across = _place(layer_of, ways)
    left = min(x - _width(place) / 2 for place, x in across.items())
    width = max(x + _width(place) / 2 for place, x in across.items()) - left
    height = _LAYER * max(layer_of.values()) + _BOX
    beside = max(WIDTH / 2 - width, 0) / 2  # so that the title of a small graph has room
    figure = Figure(figsize=(width + 2 * beside, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left - beside, left + width + beside), ylim=(height - _BOX / 2, -_BOX / 2))
    axes.set_axis_off()
    for rule, layer in layer_of.items():
        _draw_box(axes, rule, across[rule], _LAYER * layer)
    for way in ways:
        top = layer_of[str(way[0])]
        _draw_arrow(axes, [(across[each], _LAYER * (top + n)) for n, each in enumerate(way)])
    entitle(axes, title)
    save(figure, path)


def _way(start: str, end: str, layer_of: Mapping[str, int]) -> list[_Place]:
    """The places that an arrow passes, one a layer."""
    passed = range(layer_of[start] + 1, layer_of[end])
    return [start, *((start, end, layer) for layer in passed), end]


def _place(layer_of: Mapping[str, int], ways: Sequence[Sequence[_Place]]) -> dict[_Place, float]:
    """Inches across of each place's middle: by turns below and above what it is joined with."""
    rows: list[list[_Place]] = [[] for _ in range(1 + max(layer_of.values()))]
    joined: dict[_Place, list[_Place]] = {}
    for rule, layer in layer_of.items():
        rows[layer].append(rule)
    for way in ways:
        for n, place in enumerate(way[1:-1], start=layer_of[str(way[0])] + 1):
            rows[n].append(place)
        for upper, lower in pairwise(way):
            joined.setdefault(upper, []).append(lower)
            joined.setdefault(lower, []).append(upper)
    across = {place: float(n) for row in rows for n, place in enumerate(row)}
    for _ in range(_SWEEPS):
        for row in (*rows, *reversed(rows)):
            wanted = {
                place: fmean(across[each] for each in joined.get(place, [place])) for place in row
            }
            row.sort(key=wanted.__getitem__)
            _spread(row, wanted, across)
    return across


def _spread(
    row: Sequence[_Place], wanted: Mapping[_Place, float], across: dict[_Place, float]
) -> None:
    """Put a layer's places in order where they are wanted, moved apart as far as they need."""
    at = [wanted[place] for place in row]
    apart = [(_width(a) + _width(b)) / 2 + _GAP for a, b in pairwise(row)]
    for n, space in enumerate(apart):
        at[n + 1] = max(at[n + 1], at[n] + space)
    # Pushed to the right only: back by what they were moved in the mean.
    shift = fmean(at) - fmean(wanted[place] for place in row)
    across.update({place: x - shift for place, x in zip(row, at, strict=True)})


def _width(place: _Place) -> float:
    return text_width(place, NORMAL) + 0.2 if isinstance(place, str) else 0.05


def _draw_box(axes: Axes, rule: str, x: float, y: float) -> None:
    width = _width(rule)
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2 + 0.05, y - _BOX / 2 + 0.05), width - 0.1, _BOX - 0.1,
            boxstyle="round,pad=0.05", facecolor="#eef4f9", edgecolor=PALETTE[0], linewidth=0.8,
            clip_on=False,
        )
    )  # fmt: skip
    axes.text(x, y, rule, ha="center", va="center", fontsize=NORMAL)


def _draw_arrow(axes: Axes, way: Sequence[tuple[float, float]]) -> None:
    """A curve from the lower edge of a box through points to the upper edge of another.

    Where it passes a layer it goes straight down, between the boxes.
    """
    points, codes = [(way[0][0], way[0][1] + _BOX / 2)], [Outline.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(way):
        middle = (y0 + y1) / 2
        points += [(x0, middle), (x1, middle), (x1, y1 - _BOX / 2)]
        codes += [Outline.CURVE4] * 3
        if (x1, y1) != way[-1]:
            points.append((x1, y1 + _BOX / 2))
            codes.append(Outline.LINETO)
    axes.add_patch(
        FancyArrowPatch(
            path=Outline(points, codes), arrowstyle="-|>,head_length=3,head_width=1.6",
            color="#555555", linewidth=0.8, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
