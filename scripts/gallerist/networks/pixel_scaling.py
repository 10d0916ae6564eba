"""The layer that gives a network the pixel values it was trained on."""

import keras

from gallerist.networks.backbones import Scaling


@keras.saving.register_keras_serializable(package="gallerist")
class PixelScaling(keras.layers.Layer):  # type: ignore[misc]
    """RGB pixels, 0-255, to the values a network was trained on: (pixel - mean) / deviation.

    The first layer of every model here, so that no stage can feed a network the wrong values.
    mean, deviation: three numbers in RGB order. channels: "rgb", or "bgr" to turn the order round.
    """

    def __init__(
        self,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        deviation: tuple[float, float, float] = (1.0, 1.0, 1.0),
        channels: str = "rgb",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.mean, self.deviation, self.channels = tuple(mean), tuple(deviation), channels

    def call(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        """(n, h, w, 3) pixels, any numeric dtype -> the same shape, float."""
        scaled = keras.ops.cast(pixels, self.compute_dtype)
        scaled = (scaled - keras.ops.array(self.mean, self.compute_dtype)) / keras.ops.array(
            self.deviation, self.compute_dtype
        )
        return keras.ops.flip(scaled, axis=-1) if self.channels == "bgr" else scaled

    def get_config(self) -> dict[str, object]:
        """Keras stores this with the model."""
        own = {"mean": self.mean, "deviation": self.deviation, "channels": self.channels}
        return {**super().get_config(), **own}


def scaling_layer(scaling: Scaling) -> PixelScaling:
    """The layer that comes before a backbone, named "pixel_scaling"."""
    return PixelScaling(scaling.mean, scaling.deviation, scaling.channels, name="pixel_scaling")
