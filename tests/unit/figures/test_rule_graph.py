"""The picture of the rules: what is above what, which arrows are drawn, and that it is readable."""

import json
from itertools import pairwise

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from PIL import Image

from gallerist.figures import rule_graph
from gallerist.figures.rule_graph import draw, layers, remove_shortcuts


@st.composite
def graphs(draw):
    """Rules r0, r1, ...: each takes files of some before it."""
    count = draw(st.integers(1, 12))
    return {
        f"r{n}": [f"r{m}" for m in draw(st.sets(st.integers(0, n - 1)))] if n else []
        for n in range(count)
    }


def of_networkx(graph):
    found = networkx.DiGraph()
    found.add_nodes_from(graph)
    found.add_edges_from((giver, rule) for rule, givers in graph.items() for giver in givers)
    return found


@given(graphs())
def test_the_arrows_left_are_those_of_the_transitive_reduction_of_networkx(graph):
    reduced = remove_shortcuts(graph)
    assert set(reduced.edges) == set(networkx.transitive_reduction(of_networkx(graph)).edges)


@given(graphs())
def test_each_arrow_leads_down_and_every_rule_is_as_low_as_it_can_be(graph):
    layer_of, found = layers(remove_shortcuts(graph)), of_networkx(graph)
    longest = {
        rule: networkx.dag_longest_path_length(
            found.subgraph({rule, *networkx.descendants(found, rule)})
        )
        for rule in graph
    }
    lowest = max(longest.values())
    assert layer_of == {rule: lowest - longest[rule] for rule in graph}
    assert all(layer_of[a] < layer_of[b] for a, b in found.edges)


LIKE_OURS = {
    "fetch": [], "import": ["fetch"], "split": ["import"], "augment": ["split"],
    "train": ["augment", "split"], "extract": ["train", "import"], "search": ["extract"],
    "leaks": ["split"], "evaluate": ["search", "import"], "compare": ["evaluate", "leaks"],
}  # fmt: skip


@pytest.fixture
def boxes(monkeypatch):
    """Name -> the left and right end and the height of each box that is drawn, in inches."""
    drawn = {}

    def text(axes, x, y, name, **style):
        drawn[name] = (x - rule_graph._width(name) / 2, x + rule_graph._width(name) / 2, y)
        return original(axes, x, y, name, **style)

    original = Axes.text
    monkeypatch.setattr(Axes, "text", text)
    return drawn


@pytest.mark.parametrize(
    "graph", [{"alone": []}, LIKE_OURS, {f"a_rule_with_a_name_{n}": [] for n in range(12)}]
)
def test_every_rule_has_a_box_that_covers_no_other(graph, boxes, tmp_path):
    draw(graph, tmp_path / "rules.png", title="monkeys: rules of the workflow")
    assert boxes.keys() >= graph.keys()
    rows = {}
    for name in graph:
        rows.setdefault(boxes[name][2], []).append(boxes[name][:2])
    for row in rows.values():
        assert all(left[1] < right[0] for left, right in pairwise(sorted(row)))
    with Image.open(tmp_path / "rules.png") as picture:
        picture.load()
        assert min(picture.size) > 40


def test_equal_graphs_give_equal_pictures_whatever_the_order(tmp_path):
    other = {rule: [*reversed(LIKE_OURS[rule])] for rule in reversed(LIKE_OURS)}
    for name, graph in (("a", LIKE_OURS), ("b", json.loads(json.dumps(other)))):
        draw(graph, tmp_path / f"{name}.png", title="rules")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_rule_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="no rule"):
        draw({}, tmp_path / "rules.png", title="rules")
