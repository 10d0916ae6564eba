"""Generalised-mean pooling: between the average and the maximum of a feature map, and learned."""

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
    Raises ValueError for another p or epsilon.
    """

    def __init__(self, p: float = 3.0, epsilon: float = 1e-6, **kwargs: object) -> None:
        # Under mixed precision, too: powers of 16-bit numbers are mostly 0 or infinite.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if not AVERAGE <= p <= NEARLY_MAXIMUM:
            raise ValueError(
                f"GeM: p starts between {AVERAGE:g} and {NEARLY_MAXIMUM:g}, not at {p}"
            )
        if not epsilon > 0:
            raise ValueError(f"GeM: epsilon is above 0, not {epsilon}")
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
