"""The rules of a workflow as a picture: what is made of what, from top to bottom.

Graphviz draws this too, but is a program that has to be installed beside Python's packages. The
way is that of Sugiyama, Tagawa and Toda, Methods for Visual Understanding of Hierarchical System
Structures (1981): layers first, then an order within each layer that leaves few crossings.
"""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import pairwise
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline

from gallerist.figures.style import NORMAL, PALETTE, WIDTH, entitle, save, text_width
from gallerist.io.files import PathLike

Graph = Mapping[str, Sequence[str]]
"""Rule -> the rules whose files it takes. Every one of them is a key."""

_Bend = tuple[str, str, int]
"""An arrow where it passes a layer: from, to, layer."""

_Place = str | _Bend

_LAYER, _BOX, _GAP = 0.58, 0.26, 0.16
"""Inches: from layer to layer, height of a box, and between two boxes."""

_SWEEPS = 24


def without_shortcuts(graph: Graph) -> dict[str, list[str]]:
    """The graph without each arrow that other arrows lead along (its transitive reduction)."""
    above: dict[str, set[str]] = {}
    kept: dict[str, list[str]] = {}
    for rule in TopologicalSorter(graph).static_order():
        given = sorted(graph[rule])
        further = set().union(*(above[each] for each in given))
        kept[rule] = [each for each in given if each not in further]
        above[rule] = further | set(given)
    return {rule: kept[rule] for rule in sorted(kept)}


def layers(graph: Graph) -> dict[str, int]:
    """The layer of each rule, 0 on top: as far down as those that take its files allow."""
    takers: dict[str, list[str]] = {rule: [] for rule in graph}
    for rule, given in graph.items():
        for each in given:
            takers[each].append(rule)
    height: dict[str, int] = {}
    for rule in reversed([*TopologicalSorter(graph).static_order()]):
        height[rule] = 1 + max((height[taker] for taker in takers[rule]), default=-1)
    top = max(height.values(), default=0)
    return {rule: top - height[rule] for rule in graph}


def draw(graph: Graph, path: PathLike, *, title: str) -> None:
    """Draw the graph as PNG. Equal graphs give equal pictures.

    An arrow is left out where others lead to the same rule by a longer way.
    Raises graphlib.CycleError when the rules go round in a circle, and ValueError when there is
    none.
    """
    if not graph:
        raise ValueError("there is no rule to draw")
    reduced = without_shortcuts(graph)
    layer_of = layers(reduced)
    rows, links = _rows(reduced, layer_of)
    _order(rows, links)
    across = _across(rows, links)
    width = max(x + _width(place) / 2 for place, x in across.items())
    height = _LAYER * (len(rows) - 1) + _BOX
    beside = max(WIDTH / 2 - width, 0) / 2  # so that the title of a small graph has room
    figure = Figure(figsize=(width + 2 * beside, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-beside, width + beside), ylim=(height - _BOX / 2, -_BOX / 2))
    axes.set_axis_off()
    for rule in reduced:
        _draw_box(axes, rule, across[rule], _LAYER * layer_of[rule])
    for rule, given in reduced.items():
        for each in given:
            way = _way(each, rule, layer_of)
            _draw_arrow(axes, [(across[place], _LAYER * layer) for place, layer in way])
    entitle(axes, title)
    save(figure, path)


def _way(start: str, end: str, layer_of: Mapping[str, int]) -> Iterator[tuple[_Place, int]]:
    """The places that an arrow passes, with the layer of each."""
    yield start, layer_of[start]
    for layer in range(layer_of[start] + 1, layer_of[end]):
        yield (start, end, layer), layer
    yield end, layer_of[end]


def _rows(
    graph: Graph, layer_of: Mapping[str, int]
) -> tuple[list[list[_Place]], list[tuple[_Place, _Place]]]:
    """What stands in each layer, and what is joined from one layer to the next."""
    rows: list[list[_Place]] = [[] for _ in range(1 + max(layer_of.values()))]
    links: list[tuple[_Place, _Place]] = []
    for rule in sorted(graph):
        rows[layer_of[rule]].append(rule)
    for rule in sorted(graph):
        for each in graph[rule]:
            way = [*_way(each, rule, layer_of)]
            links += pairwise(place for place, _ in way)
            for place, layer in way[1:-1]:
                rows[layer].append(place)
    return rows, links


def _neighbours(
    links: Sequence[tuple[_Place, _Place]],
) -> tuple[dict[_Place, list[_Place]], dict[_Place, list[_Place]]]:
    """Of each place, those it is joined with in the layer above, and in the one below."""
    above: dict[_Place, list[_Place]] = {}
    below: dict[_Place, list[_Place]] = {}
    for upper, lower in links:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    return above, below


def _order(rows: list[list[_Place]], links: Sequence[tuple[_Place, _Place]]) -> None:
    """Order each layer by the mean place of what it is joined with; keep the fewest crossings."""
    above, below = _neighbours(links)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        joined = above if downwards else below
        numbers = range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1)
        for number in numbers:
            neighbour = rows[number - 1] if downwards else rows[number + 1]
            position = {place: index for index, place in enumerate(neighbour)}
            centre = {
                place: fmean(position[each] for each in joined[place]) if place in joined else index
                for index, place in enumerate(rows[number])
            }
            rows[number].sort(key=centre.__getitem__)
        if (crossings := _crossings(rows, below)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _crossings(rows: Sequence[Sequence[_Place]], below: Mapping[_Place, list[_Place]]) -> int:
    found = 0
    for upper, lower in pairwise(rows):
        position = {place: index for index, place in enumerate(lower)}
        ends = [sorted(position[each] for each in below.get(place, ())) for place in upper]
        for index, left in enumerate(ends):
            found += sum(a > b for right in ends[index + 1 :] for a in left for b in right)
    return found


def _across(
    rows: Sequence[Sequence[_Place]], links: Sequence[tuple[_Place, _Place]]
) -> dict[_Place, float]:
    """Inches from the left of each place's middle: in order, near what it is joined with."""
    above, below = _neighbours(links)
    across: dict[_Place, float] = {}
    for row in rows:
        _spread(row, dict.fromkeys(row, 0.0), across)
    for sweep in range(_SWEEPS):
        joined = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = {
                place: fmean(across[each] for each in joined[place])
                if place in joined
                else across[place]
                for place in row
            }
            _spread(row, wanted, across)
    left = min(across[place] - _width(place) / 2 for place in across)
    return {place: x - left for place, x in across.items()}


def _spread(
    row: Sequence[_Place], wanted: Mapping[_Place, float], across: dict[_Place, float]
) -> None:
    """Put a layer's places where they are wanted, moved apart as far as they need.

    Neighbours that would overlap become a group around the mean of where its members would be.
    """
    groups: list[tuple[list[_Place], list[float], list[float]]] = []
    for place in row:
        members, offsets, targets = [place], [0.0], [wanted[place]]
        while groups:
            before, their_offsets, their_targets = groups[-1]
            apart = (_width(before[-1]) + _width(members[0])) / 2 + _GAP
            if fmean(targets) - (fmean(their_targets) + their_offsets[-1]) >= apart:
                break
            groups.pop()
            shift = their_offsets[-1] + apart
            offsets = their_offsets + [shift + each for each in offsets]
            targets = their_targets + [each - shift for each in targets]
            members = before + members
        groups.append((members, offsets, targets))
    for members, offsets, targets in groups:
        for place, offset in zip(members, offsets, strict=True):
            across[place] = fmean(targets) + offset


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
