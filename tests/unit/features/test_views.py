"""gallerist.features.views: which sizes scales mean, and what a configuration may not ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.data.preprocessing import Preprocessing
from gallerist.features.views import STEP, Views, ViewsRefused, refuse

TRANSFER = {
    "network": "transfer", "backbone": "MobileNetV2", "pooling": "gem", "image_size": 224,
}  # fmt: skip
SCRATCH = {"network": "scratch", "padding": "valid", "image_size": 224}
PYRAMID = {"flip": True, "scales": [1.0, 0.71, 1.41]}


@pytest.mark.parametrize(
    ("image_size", "scales", "sizes"),
    [
        (224, (1.0,), (224,)),
        (224, (1.0, 0.71, 1.41), (160, 224, 320)),  # 159.04 and 315.84
        (260, (1.0, 0.71), (196, 260)),  # 260 - 2 x 32, and not 192: 184.6 is nearest so
        (96, (2.0, 0.6, 1.0), (64, 96, 192)),  # 57.6
        (64, (0.75,), (64,)),  # as near to 32: an even number of steps
        (100, (1.1,), (100,)),
    ],
)
def test_sizes_worked_out_by_hand(image_size, scales, sizes):
    assert Views(scales=scales).sizes(image_size) == sizes


@given(st.integers(32, 1000), st.floats(0.1, 3))
def test_a_size_is_whole_steps_from_image_size_and_nearest_to_its_scale(image_size, scale):
    wanted = image_size * scale
    try:
        (size,) = Views(scales=(scale,)).sizes(image_size)
    except ViewsRefused:
        assert wanted < STEP / 2 + 1
        return
    assert (size - image_size) % STEP == 0
    assert abs(size - wanted) <= STEP / 2 + 1e-9
    assert size > 0


@given(st.permutations([0.5, 1.0, 1.41, 2.0]))
def test_the_order_of_scales_changes_nothing(scales):
    one, other = Views(True, tuple(scales)), Views(True, (0.5, 1.0, 1.41, 2.0))
    assert one.sizes(224) == other.sizes(224)
    assert one.identity(224, "a" * 64) == other.identity(224, "a" * 64)


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.0, 1.05), (0.71, 0.72, 1.0)])
def test_scales_of_one_size_are_refused_with_their_sizes(scales):
    with pytest.raises(ViewsRefused, match=f"{scales[1]:g} is ") as refusal:
        Views(scales=scales).sizes(224)
    assert "further apart" in str(refusal.value)


def test_a_picture_of_no_pixels_is_refused():
    with pytest.raises(ViewsRefused, match=r"0\.1 of 64 pixels is nothing"):
        Views(scales=(1.0, 0.1)).sizes(64)


def test_features_of_the_plain_view_keep_the_identity_of_their_preprocessing():
    sha256 = Preprocessing(224).sha256
    assert Views().identity(224, sha256) == sha256
    assert Views(scales=(1.02,)).identity(224, sha256) == sha256  # 224 pixels as well
    others = [
        views.identity(224, each)
        for each in (sha256, Preprocessing(224, max_pixels=10).sha256)
        for views in (Views(True), Views(scales=(2.0,)), Views(True, (2.0,)), Views(**PYRAMID))
    ]
    assert len({sha256, *others}) == 9
    assert {len(identity) for identity in others} == {64}


@pytest.mark.parametrize("views", [None, {}, {"flip": True}, {"flip": True, "scales": [1.0]}])
@pytest.mark.parametrize("settings", [TRANSFER, {**TRANSFER, "pooling": "flatten"}, SCRATCH])
def test_every_network_takes_pictures_of_its_own_size(settings, views):
    refuse({**settings, "views": views})
    refuse(settings)


@pytest.mark.parametrize("pooling", ["avg", "max", "gem", "rmac"])
def test_a_pooled_backbone_takes_other_sizes(pooling):
    refuse({**TRANSFER, "pooling": pooling, "views": PYRAMID})


@pytest.mark.parametrize("settings", [{**TRANSFER, "pooling": "flatten"}, SCRATCH])
def test_a_network_that_flattens_its_map_is_refused_another_size(settings):
    with pytest.raises(ViewsRefused, match="flattens") as refusal:
        refuse({**settings, "views": PYRAMID})
    assert "such as avg or gem" in str(refusal.value)


def test_a_view_too_small_for_the_backbone_is_refused():
    settings = {**TRANSFER, "backbone": "Xception", "image_size": 128}
    refuse({**settings, "views": {"scales": [1.0, 0.75]}})
    with pytest.raises(ViewsRefused, match=r"64 pixels a side, and Xception needs 71"):
        refuse({**settings, "views": {"scales": [1.0, 0.5]}})
