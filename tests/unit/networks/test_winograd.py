"""networks.winograd: convolutions in tiles against the definition, in double precision."""

import itertools

import numpy as np
import pytest

from gallerist.networks import winograd
from gallerist.networks.exported import EXACT, import_openvino
from gallerist.networks.winograd import rewrite_convolutions, transformed_weights

openvino = import_openvino()
opset = openvino.opset13


def by_definition(pictures, weights):
    """A 3x3 convolution with a border of zeros, written out."""
    _, _, height, width = pictures.shape
    framed = np.pad(pictures.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return sum(
        np.einsum(
            "nihw,oi->nohw",
            framed[:, :, down : down + height, across : across + width],
            weights[:, :, down, across].astype(np.float64),
        )
        for down, across in itertools.product(range(3), repeat=2)
    )


def random_weights(outputs, inputs, sides=(3, 3)):
    drawn = np.random.default_rng(1).standard_normal((outputs, inputs, *sides))
    return drawn.astype(np.float32)


def model(shape, weights, *, steps=(1, 1), border=(1, 1), apart=(1, 1), pad="explicit"):
    given = opset.parameter(shape, np.float32)
    result = opset.convolution(given, weights, steps, border, border, apart, pad)
    return openvino.Model([result], [given], "one")


def run(network, pictures):
    return openvino.Core().compile_model(network, "CPU", dict(EXACT))([pictures])[0]


def error(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize("sides", [(14, 14), (7, 7), (1, 1), (2, 3), (9, 4), (4, 13)])
def test_tiles_give_what_the_definition_gives(sides, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "SHORTEST_SIDE", 1)
    pictures = np.random.default_rng(2).standard_normal((3, 5, *sides)).astype(np.float32)
    weights = random_weights(7, 5)
    network = model(list(pictures.shape), weights)
    assert rewrite_convolutions(network) == 1
    assert list(network.output(0).shape) == [3, 7, *sides]
    assert error(run(network, pictures), by_definition(pictures, weights)) < 1e-6


def test_tiles_are_nearly_as_near_to_the_exact_numbers_as_openvino_is():
    pictures = np.random.default_rng(3).standard_normal((2, 128, 14, 14)).astype(np.float32)
    weights = random_weights(128, 128)
    exact = by_definition(pictures, weights)
    direct = run(model(list(pictures.shape), weights), pictures)
    rewritten = model(list(pictures.shape), weights)
    rewrite_convolutions(rewritten)
    in_tiles = run(rewritten, pictures)
    assert not np.array_equal(in_tiles, direct)
    assert error(in_tiles, exact) < 4 * error(direct, exact)


def test_the_rewritten_model_has_no_convolution_of_three_by_three_left():
    network = model([1, 96, 14, 14], random_weights(96, 96))
    rewrite_convolutions(network)
    kinds = [node.get_type_name() for node in network.get_ordered_ops()]
    assert kinds.count("GroupConvolution") == 16
    assert kinds.count("Convolution") == 16
    kernels = [
        node.get_input_shape(1)[-2:]
        for node in network.get_ordered_ops()
        if node.get_type_name() == "Convolution"
    ]
    assert [list(each) for each in kernels] == [[1, 1]] * 16


def test_weights_are_transformed_as_by_hand():
    """Of a kernel that is 1 in its upper left corner only, one number is left: 1 · 1."""
    corner = np.zeros((1, 1, 3, 3))
    corner[0, 0, 0, 0] = 1
    # The first column of G is 1, 1/2, 1/2, 0.
    expected = np.outer([1, 0.5, 0.5, 0], [1, 0.5, 0.5, 0])
    np.testing.assert_array_equal(transformed_weights(corner)[:, :, 0, 0], expected)
    ones = transformed_weights(np.ones((1, 1, 3, 3)))[:, :, 0, 0]
    np.testing.assert_array_equal(ones, np.outer([1, 1.5, 0.5, 1], [1, 1.5, 0.5, 1]))


@pytest.mark.parametrize(
    ("why", "network"),
    [
        ("steps of two", lambda: model([1, 96, 14, 14], random_weights(96, 96), steps=(2, 2))),
        ("one tap", lambda: model([1, 96, 14, 14], random_weights(96, 96, (1, 1)), border=(0, 0))),
        (
            "five taps",
            lambda: model([1, 96, 14, 14], random_weights(96, 96, (5, 5)), border=(2, 2)),
        ),
        ("no border", lambda: model([1, 96, 14, 14], random_weights(96, 96), border=(0, 0))),
        ("taps apart", lambda: model([1, 96, 14, 14], random_weights(96, 96), apart=(2, 2))),
        ("few inputs", lambda: model([1, 95, 14, 14], random_weights(96, 95))),
        ("few outputs", lambda: model([1, 96, 14, 14], random_weights(95, 96))),
        ("small pictures", lambda: model([1, 96, 14, 13], random_weights(96, 96))),
        ("an open size", lambda: model([1, 96, -1, 14], random_weights(96, 96))),
    ],
)
def test_other_convolutions_are_left(why, network):
    left = network()
    before = [node.get_type_name() for node in left.get_ordered_ops()]
    assert rewrite_convolutions(left) == 0, why
    assert [node.get_type_name() for node in left.get_ordered_ops()] == before


def test_a_border_that_the_network_leaves_to_be_found_is_known():
    """As TensorFlow writes it: the border of `same`."""
    network = model([1, 96, 14, 14], random_weights(96, 96), border=(0, 0), pad="same_upper")
    assert rewrite_convolutions(network) == 1
