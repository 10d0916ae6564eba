"""gallerist.networks.graph_cut: where a partly frozen network is cut."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from itertools import combinations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from gallerist.networks.architectures import freeze
from gallerist.networks.graph_cut import (
    MULTIPLY_ADDS_A_BYTE,
    Graph,
    Work,
    cheapest_trunk,
    cut_of,
    reading_step,
)

# --- the cheapest division of any graph -------------------------------------------------------


@st.composite
def graphs(draw, most=7, dearest=40):
    """Operations in order, each making one or two tensors, and what each tensor costs."""
    operations, tensors = [], draw(st.integers(1, 2))
    for _ in range(draw(st.integers(1, most))):
        reads = draw(st.sets(st.integers(0, tensors - 1), min_size=1, max_size=3))
        makes = tuple(range(tensors, tensors + draw(st.integers(1, 2))))
        tensors += len(makes)
        cost, trained = draw(st.integers(0, dearest)), draw(st.integers(0, 3)) == 0
        operations.append(Work(cost, tuple(sorted(reads)), makes, trained))
    operations.append(Work(0, (tensors - 1,), (), in_tail=True))
    prices = st.lists(st.integers(0, dearest), min_size=tensors, max_size=tensors)
    return operations, draw(prices)


def cost_of(trunk, operations, costs):
    """What a division costs, from the definition."""
    tail = [work for index, work in enumerate(operations) if index not in trunk]
    made = {tensor for work in tail for tensor in work.makes}
    read = {tensor for work in tail for tensor in work.reads}
    return sum(work.cost for work in tail) + sum(costs[tensor] for tensor in read - made)


def is_allowed(trunk, operations):
    maker = {tensor: index for index, work in enumerate(operations) for tensor in work.makes}
    return all(
        not operations[index].in_tail
        and all(maker[tensor] in trunk for tensor in operations[index].reads if tensor in maker)
        for index in trunk
    )


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_no_division_of_a_small_graph_is_cheaper_and_no_larger_trunk_as_cheap(graph):
    operations, costs = graph
    everything = range(len(operations))
    allowed = [
        frozenset(trunk)
        for size in range(len(operations) + 1)
        for trunk in combinations(everything, size)
        if is_allowed(trunk, operations)
    ]
    found = cheapest_trunk(operations, costs)
    assert found in allowed
    least = min(cost_of(trunk, operations, costs) for trunk in allowed)
    assert cost_of(found, operations, costs) == least
    cheapest = [trunk for trunk in allowed if cost_of(trunk, operations, costs) == least]
    assert all(trunk <= found for trunk in cheapest)


def least_by_linear_programme(operations, costs):
    """x: 1 where an operation is in the tail; y: 1 where a tensor is stored."""
    maker = {tensor: index for index, work in enumerate(operations) for tensor in work.makes}
    rows = []
    for index, work in enumerate(operations):
        for tensor in work.reads:
            stored = np.zeros(len(operations) + len(costs))
            stored[index], stored[len(operations) + tensor] = 1, -1  # y >= x(reader) - x(maker)
            if tensor in maker:
                closed = np.zeros_like(stored)
                closed[maker[tensor]], closed[index] = 1, -1  # x(reader) >= x(maker)
                stored[maker[tensor]] = -1
                rows.append(closed)
            rows.append(stored)
    bounds = [(float(work.in_tail), 1) for work in operations] + [(0, 1)] * len(costs)
    prices = [work.cost for work in operations] + list(costs)
    return linprog(prices, np.array(rows), np.zeros(len(rows)), bounds=bounds).fun


@settings(max_examples=50, deadline=None)
@given(graphs(most=40, dearest=10**6))
def test_a_linear_programme_finds_nothing_cheaper_in_a_larger_graph(graph):
    operations, costs = graph
    found = cheapest_trunk(operations, costs)
    assert is_allowed(found, operations)
    expected = least_by_linear_programme(operations, costs)
    assert cost_of(found, operations, costs) == pytest.approx(expected, rel=1e-7, abs=1e-4)


def test_costs_beyond_32_bits_are_weighed_too():
    giga = 10**9
    # Storing tensor 1 and doing operation 1 again, or storing tensor 2, which costs more or less.
    for last, expected in [(15 * giga, {0}), (13 * giga, {0, 1})]:
        operations = [
            Work(90 * giga, (0,), (1,), in_tail=False),
            Work(4 * giga, (1,), (2,), in_tail=False),
            Work(70 * giga, (2,), (), in_tail=True),
        ]
        assert cheapest_trunk(operations, [50 * giga, 10 * giga, last]) == expected


# --- what of an input an operation reads -------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.Conv2D(4, 1, strides=2), (2, 2)),
        (keras.layers.Conv2D(4, 1, strides=(2, 3), padding="same"), (2, 3)),
        (keras.layers.Conv2D(4, 1), None),
        (keras.layers.Conv2D(4, 3, strides=2), None),
        (keras.layers.Conv2D(4, (1, 2), strides=2), None),
        (keras.layers.Conv2D(4, 1, strides=2, data_format="channels_first"), None),
        (keras.layers.MaxPooling2D(1, strides=2), (2, 2)),
        (keras.layers.AveragePooling2D(1, strides=3, padding="same"), (3, 3)),
        (keras.layers.MaxPooling2D(2), None),
        (keras.layers.Conv2DTranspose(4, 1, strides=2), None),
        (keras.layers.ReLU(), None),
    ],
)
def test_windows_of_one_position_with_a_stride_read_some_positions_only(layer, expected):
    assert reading_step(layer) == expected


# --- graphs drawn by hand ----------------------------------------------------------------------


def convolution(name, filters, kernel=1, trained=False, **settings):
    settings = {"padding": "same", **settings}
    return keras.layers.Conv2D(filters, kernel, name=name, trainable=trained, **settings)


def test_both_readers_of_every_second_position_share_what_is_stored():
    images = keras.Input((64, 64, 3))
    maps = convolution("stem", 64, 7, strides=4)(images)
    left = convolution("left", 8, strides=2, trained=True)(maps)
    right = convolution("right", 8, strides=2, trained=True)(maps)
    cut = cut_of(keras.Model(images, keras.layers.Add()([left, right])))
    assert cut.shapes == ((8, 8, 64),)
    assert cut.readers == ("left", "right")
    assert cut.values == 8 * 8 * 64
    stem, sides, add = 7 * 7 * 3 * 64 * 16**2 + 16**2 * 64, (64 * 8 + 8) * 8**2, 8**2 * 8
    assert cut.trunk_share == pytest.approx(stem / (stem + 2 * sides + add))
    assert "8x8x64 (4096 values a picture), read by left, right; the trunk holds" in str(cut)


def test_all_positions_are_stored_where_one_layer_reads_them():
    images = keras.Input((64, 64, 3))
    maps = convolution("stem", 64, 7, strides=4)(images)
    left = convolution("left", 8, strides=2, trained=True)(maps)
    right = convolution("right", 8, 3, strides=2, trained=True)(maps)
    cut = cut_of(keras.Model(images, keras.layers.Add()([left, right])))
    assert cut.shapes == ((16, 16, 64),)
    assert [part.step for part in cut.parts] == [(1, 1)]


@pytest.mark.parametrize(("filters", "before"), [(8, False), (4000, True)])
def test_a_frozen_layer_that_gives_much_for_little_is_done_again(filters, before):
    images = keras.Input((32, 32, 3))
    narrow = convolution("narrow", 8, 9, strides=4)(images)
    wide = convolution("wide", filters)(narrow)
    out = convolution("out", 4, trained=True)(wide)
    cut = cut_of(keras.Model(images, out))
    assert cut.readers == (("wide",) if before else ("out",))
    assert cut.shapes == ((8, 8, 8 if before else filters),)
    assert [call.operation.name for call in cut.trunk] == ["narrow", "wide"][: 2 - before]


def test_what_a_trained_layer_feeds_is_in_the_tail_and_its_frozen_neighbour_is_not():
    images = keras.Input((32, 32, 3))
    stem = convolution("stem", 16, 9, strides=4)(images)
    trained = convolution("trained", 16, trained=True)(stem)
    frozen = convolution("frozen", 16, 9)(stem)
    after = convolution("after", 4)(keras.layers.Add(name="sum")([trained, frozen]))
    cut = cut_of(keras.Model(images, after))
    assert [call.operation.name for call in cut.trunk] == ["stem", "frozen"]
    assert cut.shapes == ((8, 8, 16), (8, 8, 16))
    assert cut.readers == ("trained", "sum")


def test_a_layer_that_learns_nothing_may_be_in_the_trunk_whatever_its_flag_says():
    images = keras.Input((32, 32, 3))
    maps = keras.layers.ReLU(name="relu")(convolution("stem", 8, 9, strides=4)(images))
    backbone = keras.Model(images, convolution("out", 4, trained=True)(maps))
    assert backbone.get_layer("relu").trainable
    assert [call.operation.name for call in cut_of(backbone).trunk] == ["stem", "relu"]


@pytest.mark.parametrize("trained", [False, True])
def test_the_output_is_stored_where_nothing_is_trained_though_less_would_do(trained):
    images = keras.Input((32, 32, 3))
    narrow = convolution("narrow", 8, 9, strides=4)(images)
    wide = keras.layers.Concatenate(name="wide")([narrow, narrow])
    other = convolution("other", 1, trained=trained)(narrow)
    cut = cut_of(keras.Model(images, keras.layers.Concatenate(name="out")([wide, other])))
    assert cut.shapes == (((8, 8, 8),) if trained else ((8, 8, 17),))
    names = {call.operation.name for call in cut.tail}
    assert names == ({"other", "wide", "out"} if trained else set())


def test_pixels_are_stored_where_the_first_layers_give_more_than_they_cost():
    images = keras.Input((32, 32, 3))
    out = convolution("out", 4, trained=True)(convolution("cheap", 64, 3)(images))
    cut = cut_of(keras.Model(images, out))
    assert cut.is_empty
    assert cut.shapes == ((32, 32, 3),)
    assert cut.trunk_share == 0
    assert "nothing worth storing" in str(cut)
    # 27 multiply-adds for each of its numbers; storing one instead costs two bytes.
    assert 2 * MULTIPLY_ADDS_A_BYTE > 27 + 1


def test_a_network_for_images_of_any_size_cannot_be_cut():
    images = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="image size"):
        cut_of(keras.Model(images, convolution("one", 4)(images)))


def test_following_a_network_shares_its_layers_and_leaves_it_as_it_was():
    images = keras.Input((32, 32, 3))
    out = convolution("out", 4)(keras.layers.ReLU(name="relu")(images) + 1.0)
    model = keras.Model(images, out)
    before = model.get_config()
    graph = Graph.of(model)
    assert [call.operation for call in graph.calls] == model.operations[1:]
    assert model.get_config() == before


# --- networks of keras.applications ------------------------------------------------------------


def application(name, size):
    build = getattr(keras.applications, name)
    return build(include_top=False, weights=None, input_shape=(size, size, 3))


def cut_at(backbone, until):
    freeze(backbone, until)
    return cut_of(backbone)


def test_conv5_of_resnet152_needs_every_second_position_of_the_map_before_it():
    backbone = application("ResNet152", 224)
    cut = cut_at(backbone, "conv5")
    assert backbone.get_layer("conv4_block36_out").output.shape == (None, 14, 14, 1024)
    assert cut.shapes == ((7, 7, 1024),)
    assert cut.readers == ("conv5_block1_1_conv", "conv5_block1_0_conv")
    assert [part.step for part in cut.parts] == [(2, 2)]
    in_trunk = {call.operation for call in cut.trunk}
    assert in_trunk == {layer for layer in backbone.layers[1:] if "conv5" not in layer.name}
    # 11.28 thousand million, of which conv5 is 6.5 %.
    assert sum(call.multiply_adds for call in cut.graph.calls) == pytest.approx(11.3e9, rel=0.02)
    assert cut.trunk_share == pytest.approx(0.935, abs=0.002)


def test_the_preactivated_resnet_pools_its_shortcut_in_the_trunk():
    backbone = application("ResNet50V2", 96)
    cut = cut_at(backbone, "conv4_block6_2")
    # The block's own branch reads all positions, the shortcut pools every second one.
    assert cut.shapes == ((6, 6, 256), (3, 3, 1024))
    assert cut.readers == ("conv4_block6_2_pad", "conv4_block6_out")
    assert cut_at(backbone, "conv5").shapes == ((3, 3, 1024),)


@pytest.mark.parametrize(
    ("until", "shapes", "reader"),
    [
        ("block_13", ((4, 4, 96),), "block_13_expand"),
        ("block_13_depthwise", ((4, 4, 576),), "block_13_pad"),  # before the padding
        ("block_14_project", ((2, 2, 160), (2, 2, 960)), "block_14_project"),
        ("everything", ((2, 2, 1280),), None),
        ("nothing", ((64, 64, 3),), "Conv1"),
    ],
)
def test_mobilenet_is_cut_where_least_is_stored(until, shapes, reader):
    cut = cut_at(application("MobileNetV2", 64), until)
    assert cut.shapes == shapes
    assert (cut.readers or (None,))[0] == reader
