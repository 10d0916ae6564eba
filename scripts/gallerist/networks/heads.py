"""What follows the pooling of a network: a classifier, or what a loss for retrieval compares."""

from dataclasses import dataclass

import keras

EMBEDDING = "embedding"
"""The layer whose output is the feature vector."""

POOLING = "pooling"
"""The layer that pools, where a projection follows it that makes the feature vector."""


@dataclass(frozen=True)
class Head:
    """The classifier after the embedding.

    published: Dense(softmax) and then Dropout, as in the published code. Dropping *after* the
        softmax removes class probabilities during training, so that training accuracy cannot pass
        about 1 - dropout.
    standard: Dropout, then Dense(softmax).
    l1, l2: penalties on the kernel's absolute and squared weights, added to the loss.
    """

    kind: str
    dropout: float
    dropout_seed: int
    l1: float
    l2: float

    @property
    def pooling_name(self) -> str:
        """What the layer that pools is called."""
        return EMBEDDING

    def regulariser(self) -> keras.regularizers.Regularizer:
        """A fresh L1L2 (the string "l1_l2" means something else in every Keras)."""
        return keras.regularizers.L1L2(self.l1, self.l2)

    def attach(self, embedding: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """(n, features) -> (n, classes) probabilities."""
        dropout = keras.layers.Dropout(self.dropout, seed=self.dropout_seed, name="head_dropout")
        dense = keras.layers.Dense(
            classes,
            activation="softmax",
            kernel_regularizer=self.regulariser(),
            dtype="float32",  # under a mixed precision too, where small probabilities would vanish
            name="head",
        )
        if self.kind == "published":
            return dropout(dense(embedding))
        return dense(dropout(embedding))


@dataclass(frozen=True)
class MetricHead(Head):
    """Vectors of length 1, which a loss for retrieval compares, in place of a classifier.

    Of the classifier's settings only the penalties and the dropout of the small network are left.
    projection: numbers of a layer after the pooling; None is none.
    discarded: False makes it a linear layer whose output is the feature vector, as in FaceNet and
        Proxy-Anchor. True makes it two layers, with a ReLU between them, that are left out after
        the training: the feature vector is what comes before, as in SimCLR and SupCon. Between
        them are as many numbers as in the vector, as in theirs (2048, ResNet-50's).
    """

    projection: int | None = None
    discarded: bool = False

    @property
    def pooling_name(self) -> str:
        """What the layer that pools is called."""
        return POOLING if self.projection and not self.discarded else EMBEDDING

    def attach(self, embedding: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """(n, numbers) of the pooling -> (n, d) vectors of length 1, whatever the classes."""
        vectors = embedding
        if self.projection and self.discarded:
            width = vectors.shape[-1]
            hidden = keras.layers.Dense(width, activation="relu", name="projection_hidden")
            vectors = keras.layers.Dense(self.projection, name="projection")(hidden(vectors))
        elif self.projection:
            vectors = keras.layers.Dense(self.projection, name=EMBEDDING)(vectors)
        return keras.layers.UnitNormalization(dtype="float32", name="head")(vectors)


def pooling_of(network: keras.Model) -> keras.layers.Layer:
    """The layer of a network that pools, with its head or without."""
    names = {layer.name for layer in network.layers}
    return network.get_layer(POOLING if POOLING in names else EMBEDDING)
