"""From a feature map to a vector, beside Keras's own ways: generalised mean and R-MAC."""

import keras

AVERAGE, NEARLY_MAXIMUM = 1.0, 100.0
"""Between which p is kept. Below 1 the smallest values would rule; at 100 the pooled value is
within 4 % of the maximum of a map of 7x7 positions, and p has no gradient to speak of."""


class _Between(keras.constraints.Constraint):  # type: ignore[misc]
    """Moves a weight back to the nearest bound after a training step that left the bounds."""

    def __call__(self, weight: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.clip(weight, AVERAGE, NEARLY_MAXIMUM)


@keras.saving.register_keras_serializable(package="gallerist")
class GeM(keras.layers.Layer):  # type: ignore[misc]
    """One value a channel: (mean over the positions of max(x, epsilon)^p)^(1/p).

    F. Radenovic, G. Tolias, O. Chum: Fine-tuning CNN image retrieval with no human annotation
    (2018), with one p for all channels. p = 1 averages, a large p takes nearly the maximum.

    p: where it starts, from 1 to 100; it is trained, and an optimiser of Keras keeps it there.
    epsilon: what smaller values, and all negative ones, count as; above 0.
    """

    def __init__(self, p: float = 3.0, epsilon: float = 1e-6, **kwargs: object) -> None:
        # Under mixed precision, too: powers of 16-bit numbers are mostly 0 or infinite.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.starting_p, self.epsilon = p, epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the one weight, a scalar."""
        self.p = self.add_weight(
            name="p",
            shape=(),
            initializer=keras.initializers.Constant(self.starting_p),
            constraint=_Between(),
        )

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """(n, h, w, channels) of any float dtype -> (n, channels), float32, at least epsilon."""
        maps = keras.ops.maximum(keras.ops.cast(maps, "float32"), self.epsilon)
        # The formula gives c f(x) for c x, for any constant c. Divided by its maximum, no power
        # overflows, and the mean, being 1 / (h w) or more, does not vanish either.
        largest = keras.ops.stop_gradient(keras.ops.max(maps, axis=(1, 2), keepdims=True))
        mean = keras.ops.mean(keras.ops.power(maps / largest, self.p), axis=(1, 2))
        return keras.ops.squeeze(largest, axis=(1, 2)) * keras.ops.power(mean, 1 / self.p)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(n, h, w, channels) -> (n, channels)."""
        return (shape[0], shape[-1])

    def get_config(self) -> dict[str, object]:
        """Keras stores this with the model; the trained p is stored as a weight."""
        return {**super().get_config(), "p": self.starting_p, "epsilon": self.epsilon}


LEVELS = 3
"""Sizes of regions, as published: the whole map, about 2/3 and 1/2 of its side."""

OVERLAP = 0.4
"""Of neighbouring whole-height regions of a map that is not square, as published."""

_NOTHING = 1e-24
"""A squared length below which a region's values are left next to nothing, not scaled to 1."""


def regions(height: int, width: int) -> list[tuple[int, int, int]]:
    """The square regions of a map: (top, left, side), positions, by falling side.

    G. Tolias, R. Sicre, H. Jegou: Particular object retrieval with integral max-pooling of CNN
    activations (2016). With w the shorter side, regions at level l have the side 2 w / (l + 1),
    rounded down; l of them are spread evenly over the shorter side and l + m - 1 over the longer,
    where m, from 2 to 7, makes those of level 1 overlap by as near to 40 % as can be (m = 1 on a
    square map). A side of 0 is left out. On small maps a region can come twice, and counts twice,
    as in the published code.
    """
    short, long = sorted((height, width))
    more = 0
    if short < long:
        overlaps = {m: 1 - (long - short) / (m - 1) / short for m in range(2, 8)}
        more = min(overlaps, key=lambda m: abs(overlaps[m] - OVERLAP)) - 1
    found = []
    for level in range(1, LEVELS + 1):
        side = 2 * short // (level + 1)
        if not side:
            continue
        down = _spread(height - side, level + (more if height > width else 0))
        across = _spread(width - side, level + (more if width > height else 0))
        found += [(top, left, side) for top in down for left in across]
    return found


def _spread(room: int, count: int) -> list[int]:
    """Where `count` regions begin, the first at 0, the last at `room`."""
    return [index * room // max(count - 1, 1) for index in range(count)]


@keras.saving.register_keras_serializable(package="gallerist")
class RMAC(keras.layers.Layer):  # type: ignore[misc]
    """The sum over `regions` of each channel's maximum, scaled to length 1 over the channels.

    Tolias et al. (2016), without its PCA-whitening. Nothing is trained, and the number of channels
    is the length of the vector, for maps of any size that is known when the network is built.
    """

    def __init__(self, **kwargs: object) -> None:
        # Under mixed precision, too: squares of 16-bit numbers are mostly 0 or infinite.
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """(n, h, w, channels) of any float dtype -> (n, channels), float32."""
        maps = keras.ops.cast(maps, "float32")
        vectors = [
            _of_length_1(keras.ops.max(maps[:, top : top + side, left : left + side], axis=(1, 2)))
            for top, left, side in regions(*maps.shape[1:3])
        ]
        return sum(vectors[1:], start=vectors[0])

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(n, h, w, channels) -> (n, channels)."""
        return (shape[0], shape[-1])


def _of_length_1(vectors: keras.KerasTensor) -> keras.KerasTensor:
    """(n, channels) scaled; zeros stay zeros, and have a gradient."""
    squares = keras.ops.sum(keras.ops.square(vectors), axis=-1, keepdims=True)
    return vectors * keras.ops.rsqrt(keras.ops.maximum(squares, _NOTHING))
