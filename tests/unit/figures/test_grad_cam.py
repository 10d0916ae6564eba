"""gallerist.figures.grad_cam: Grad-CAM on the similarity of two pictures."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from skimage.transform import resize

from gallerist.figures.grad_cam import SimilarityMaps
from gallerist.networks.architectures import Head, Scratch, Transfer, without_head
from gallerist.networks.feature_map import feature_map_of
from gallerist.networks.graph_cut import Graph
from gallerist.networks.pooling import RMAC, GeM
from gallerist.networks.tensorflow_inference import compile_network

SIZE, BLOCK = 24, 4
HEAD = Head("standard", 0.3, 999, 0.001, 0.001)
POOLINGS = {
    "flatten": keras.layers.Flatten,
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
    "gem": GeM,
    "rmac": RMAC,
}


def pictures(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (2, size, size, 3), dtype=np.uint8)


def convolution(filters=6, seed=1, **options):
    start = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    return keras.layers.Conv2D(
        filters, BLOCK, BLOCK, activation="relu", kernel_initializer=start, **options
    )


def network_of(*layers, size=SIZE):
    x = pixels = keras.Input((size, size, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(pixels, x)


def maps_of(network):
    graph = Graph.of(network)
    tensor, pooling = feature_map_of(graph)
    maps = keras.Model(graph.inputs, tensor)
    return SimilarityMaps(compile_network(maps, engine="openvino", threads=1), pooling)


def scaled(heat, size=SIZE):
    """Enlarged by scikit-image, and divided by the maximum."""
    large = resize(heat, (size, size), order=1, mode="edge", anti_aliasing=False)
    return large / large.max()


def both(alike):
    return alike.query_map, alike.answer_map


def test_a_convolution_with_average_pooling_has_the_map_that_is_worked_out_by_hand():
    layer = convolution()
    network = network_of(layer, keras.layers.GlobalAveragePooling2D())
    seen = pictures()
    kernel, bias = (each.astype(np.float64) for each in layer.get_weights())
    side = SIZE // BLOCK
    blocks = seen.reshape(2, side, BLOCK, side, BLOCK, 3).astype(np.float64)
    maps = np.maximum(np.einsum("nyaxbc,abcf->nyxf", blocks, kernel) + bias, 0)
    query, answer = maps.mean(axis=(1, 2))
    lengths = np.linalg.norm(query), np.linalg.norm(answer)
    cosine = query @ answer / np.prod(lengths)
    slopes = (
        answer / np.prod(lengths),
        query / np.prod(lengths),
    )
    alike = maps_of(network)(*seen)
    assert alike.cosine == pytest.approx(cosine, abs=1e-6)
    for made, each, slope in zip(both(alike), maps, slopes, strict=True):
        heat = np.maximum((each * slope / side**2).sum(axis=2), 0)
        assert heat.max() > 0
        np.testing.assert_allclose(made, scaled(heat), atol=1e-3)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_gradient_is_that_of_keras_own_cosine_at_a_fixed_length(pooling):
    layer, pool = convolution(), POOLINGS[pooling]()
    alike = maps_of(network_of(layer, pool))(*pictures())
    maps = layer(pictures().astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        vectors = pool(maps)
        units = vectors / tf.stop_gradient(tf.norm(vectors, axis=1, keepdims=True))
        alike_units = tf.reduce_sum(units[0] * units[1])
        cosine = -keras.losses.cosine_similarity(*tf.unstack(vectors))
    slopes = tape.gradient(alike_units, maps).numpy().mean(axis=(1, 2), keepdims=True)
    heats = np.maximum((slopes * maps.numpy()).sum(axis=3), 0)
    assert alike.cosine == pytest.approx(float(cosine), abs=1e-5)
    for made, heat in zip(both(alike), heats, strict=True):
        np.testing.assert_allclose(made, scaled(heat), atol=2e-3)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_swapping_query_and_answer_swaps_the_maps(pooling):
    maps = maps_of(network_of(convolution(), POOLINGS[pooling]()))
    query, answer = pictures()
    there, back = maps(query, answer), maps(answer, query)
    assert there.cosine == pytest.approx(back.cosine)
    np.testing.assert_allclose(there.query_map, back.answer_map, atol=1e-3)
    np.testing.assert_allclose(there.answer_map, back.query_map, atol=1e-3)
    assert np.abs(there.query_map - there.answer_map).max() > 0.1


def colours():
    """A convolution that gives the mean red, green and blue of each block."""
    layer = keras.layers.Conv2D(3, BLOCK, BLOCK, use_bias=False)
    layer.build((None, SIZE, SIZE, 3))
    kernel = np.zeros((BLOCK, BLOCK, 3, 3))
    kernel[:, :, range(3), range(3)] = 1 / BLOCK**2
    layer.set_weights([kernel])
    return layer


@pytest.mark.parametrize("pooling", ["avg", "gem"])
@pytest.mark.parametrize(("at", "elsewhere"), [((4, 8), (16, 0)), ((0, 0), (20, 20))])
def test_a_bright_patch_that_both_pictures_share_is_where_they_match(pooling, at, elsewhere):
    seen = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    seen[0, :, :, 1], seen[1, :, :, 2] = 60, 60  # a green field, and a blue one
    for picture, (top, left) in zip(seen, (at, elsewhere), strict=True):
        picture[top : top + BLOCK, left : left + BLOCK] = 255, 0, 0
    alike = maps_of(network_of(colours(), POOLINGS[pooling]()))(*seen)
    for heat, (top, left) in zip(both(alike), (at, elsewhere), strict=True):
        rows, columns = np.nonzero(heat == 1)
        assert set(rows) <= set(range(top, top + BLOCK))
        assert set(columns) <= set(range(left, left + BLOCK))
        far = np.ones_like(heat, dtype=bool)
        far[max(0, top - BLOCK) : top + 2 * BLOCK, max(0, left - BLOCK) : left + 2 * BLOCK] = False
        assert heat[far].max() < 1e-3


def test_a_picture_and_itself_match_where_the_picture_has_content():
    query = np.zeros((SIZE, SIZE, 3), np.uint8)
    query[8:12, 4:8] = 255
    alike = maps_of(network_of(colours(), keras.layers.Flatten()))(query, query)
    assert alike.cosine == pytest.approx(1)
    for heat in both(alike):
        assert np.unravel_index(heat.argmax(), heat.shape)[0] in range(8, 12)
        assert not heat[16:].any()


def test_a_picture_without_content_is_like_nothing():
    query, _ = pictures()
    layers = convolution(use_bias=False), keras.layers.GlobalAveragePooling2D()
    alike = maps_of(network_of(*layers))(query, np.zeros_like(query))
    assert alike.cosine == 0
    assert not alike.query_map.any()
    assert not alike.answer_map.any()


def test_pictures_without_anything_in_common_have_maps_of_zeros():
    seen = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    seen[0, :, :, 1], seen[1, :, :, 2] = 60, 200
    alike = maps_of(network_of(colours(), keras.layers.GlobalAveragePooling2D()))(*seen)
    assert alike.cosine == 0
    assert not alike.query_map.any()
    assert not alike.answer_map.any()


def test_bytes_and_floats_of_the_same_picture_have_the_same_maps():
    maps = maps_of(network_of(convolution(), GeM()))
    for ours, floats in zip(
        both(maps(*pictures())), both(maps(*pictures().astype(np.float64))), strict=True
    ):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, floats)


def assert_describes(network, size):
    """The maps are of this network, and of sizes and values that can be drawn."""
    seen = pictures(size=size)
    alike = maps_of(network)(*seen)
    query, answer = network(seen.astype(np.float32), training=False).numpy().astype(np.float64)
    expected = query @ answer / np.linalg.norm(query) / np.linalg.norm(answer)
    assert alike.cosine == pytest.approx(expected, abs=1e-5)
    for heat in both(alike):
        assert heat.shape == (size, size)
        assert heat.min() >= 0
        assert heat.max() == 1
        assert heat.std() > 1e-3


def test_the_small_network_from_scratch_is_explained_before_it_pools_to_one_position():
    model = Scratch(73, "valid", HEAD).build(4)
    model.get_layer("conv5_bn").set_weights([np.full(32, each) for each in (1, 0.2, 0, 1)])
    assert model.get_layer("pool").output.shape[1:3] == (1, 1)
    assert_describes(without_head(model), 73)


def test_a_transfer_network_that_was_stored_is_explained(tmp_path):
    model = Transfer("MobileNetV2", 64, "nothing", "gem", HEAD).build(4, None)
    backbone = model.get_layer("backbone").layer
    for layer in backbone.layers:  # new normalisations would give every picture the same maps
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone(model.get_layer("pixel_scaling")(pictures(seed=9, size=64)), training=True)
    model.save(tmp_path / "model.keras")
    stored = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert_describes(without_head(stored), 64)


def test_sixteen_bits_are_enough():
    whole, half = (
        network_of(convolution(dtype=policy), keras.layers.Flatten(dtype=policy))
        for policy in ("float32", "mixed_float16")
    )
    exact, rounded = (maps_of(each)(*pictures()) for each in (whole, half))
    for ours, theirs in zip(both(rounded), both(exact), strict=True):
        assert ours.max() == 1
        np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_a_network_without_a_feature_map_is_refused():
    with pytest.raises(match="no layer of the network"):
        maps_of(network_of(keras.layers.Flatten(), keras.layers.Dense(3)))


def test_a_vector_that_is_not_made_of_the_last_map_alone_is_refused():
    pixels = keras.Input((SIZE, SIZE, 3))
    first = convolution()(pixels)
    second = keras.layers.Conv2D(4, 3)(first)
    pooled = [keras.layers.GlobalAveragePooling2D()(each) for each in (first, second)]
    with pytest.raises(match="not made of its last feature map alone"):
        maps_of(keras.Model(pixels, keras.layers.Concatenate()(pooled)))


@pytest.mark.parametrize("shape", [(SIZE, SIZE + 1, 3), (SIZE, SIZE), (SIZE, SIZE, 4)])
def test_a_picture_that_does_not_fit_the_network_is_refused(shape):
    maps = maps_of(network_of(convolution(), keras.layers.Flatten()))
    with pytest.raises(match="load it with the preprocessing"):
        maps(pictures()[0], np.zeros(shape))
