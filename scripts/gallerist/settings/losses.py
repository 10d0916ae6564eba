"""Losses for retrieval, each as its paper defines it: `loss` of a network that is trained."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from gallerist.settings.base import Count, Int, NonNegative, Positive, Settings, key

_NAME = key(..., doc="The loss. Decides which of the other keys there are.")
_PICTURES = (
    "A batch has so many pictures of each of its classes, and `batch_size` divided by it classes."
)
_LENGTH = "Numbers of a linear layer after the pooling, whose output is the vector. `null`: none."
_HEAD = (
    "Numbers of a second layer, after a hidden one as wide as the vector, that the loss compares, "
    "and that is left out afterwards: the vector is what comes before both. `null`: none."
)


class MetricLoss(Settings):
    """A loss for retrieval."""

    name: str = _NAME
    judged_by: Literal["mAP@R", "top-1"] = key("mAP@R", noun="a metric")
    """What early stopping, the best weights and a falling learning rate go by, in place of the
    validation loss: each validation picture searches the others (leave-one-out)."""

    @property
    def projects(self) -> bool:
        """Whether the vector is made by a layer of its own, after the pooling."""
        return bool(getattr(self, "projection", None))


class PairLoss(MetricLoss):
    """A loss over pairs of pictures of a batch."""

    pictures_per_class: Int = key(4, "pictures", ge=2, doc=_PICTURES)
    projection: Count | None = key(None, "numbers", doc=_LENGTH, example=128)


class ProxyLoss(MetricLoss):
    """A loss between pictures and a learned vector of each class, which only training needs."""

    pictures_per_class: Count | None = key(None, "pictures", doc=f"{_PICTURES} `null`: any.")
    projection: Count | None = key(None, "numbers", doc=_LENGTH, example=512)


class ContrastedLoss(PairLoss):
    """A loss over pairs that compares what a head makes of the vectors."""

    temperature: Positive = key(0.1, doc="Cosines are divided by this.")
    projection: Count | None = key(128, "numbers", doc=_HEAD)

    @property
    def projects(self) -> bool:
        """No: that layer is left out."""
        return False


class Triplet(PairLoss):
    """Each picture with its farthest of the same class and its nearest of another one in the batch
    (batch hard; Hermans, Beyer and Leibe, 2017).
    """

    name: Literal["triplet"] = _NAME
    margin: Positive | None = key(None, "distance")
    """How much nearer the right one should be. `null`: the soft margin ln(1 + exp(x))."""


class SemiHardTriplet(PairLoss):
    """Each pair of one class with the nearest picture of another class that is farther than the
    pair, but within the margin (Schroff, Kalenichenko and Philbin, FaceNet, 2015).
    """

    name: Literal["semi_hard_triplet"] = _NAME
    margin: Positive = key(0.2, "squared distance")
    """How much nearer the right one should be."""


class Contrastive(PairLoss):
    """Every pair: one class together, two classes apart (Hadsell, Chopra and LeCun, 2006)."""

    name: Literal["contrastive"] = _NAME
    margin: Positive = key(1.0, "distance")
    """Two classes farther apart than this do not count. The paper names no value."""


class SupCon(ContrastedLoss):
    """Each picture with all others of its class against the whole batch (SupCon, L_out; Khosla et
    al., 2020).
    """

    name: Literal["supcon"] = _NAME


class NTXent(ContrastedLoss):
    """Each pair of one class against all pictures of other classes (NT-Xent; Chen et al., 2020)."""

    name: Literal["nt_xent"] = _NAME


class MultiSimilarity(PairLoss):
    """Pairs that are informative, weighed by how they compare with others (Wang et al., 2019)."""

    name: Literal["multi_similarity"] = _NAME
    alpha: Positive = key(2.0, doc="Weighs pairs of one class.")
    beta: Positive = key(50.0, doc="Weighs pairs of two classes.")
    base: NonNegative = key(1.0, "cosine", doc="The paper's lambda, which cosines are compared to.")
    epsilon: NonNegative = key(0.1, "cosine")
    """A pair counts when it is less right by at most this than the worst one of the other kind."""


class ArcFace(ProxyLoss):
    """Cross-entropy over cosines to a vector of each class, the right angle enlarged (Deng et al.,
    2019).
    """

    name: Literal["arcface"] = _NAME
    margin: Positive = key(0.5, "radians", doc="Added to the angle of the right class.")
    scale: Positive = key(64.0, doc="Cosines are multiplied by this.")


class CosFace(ProxyLoss):
    """Cross-entropy over cosines to a vector of each class, the right cosine made smaller (Wang et
    al., 2018).
    """

    name: Literal["cosface"] = _NAME
    margin: Positive = key(0.35, "cosine", doc="Taken from the cosine of the right class.")
    scale: Positive = key(64.0, doc="Cosines are multiplied by this.")


class ProxyAnchor(ProxyLoss):
    """Each class's vector with all pictures of the batch, hard ones most (Kim et al., 2020)."""

    name: Literal["proxy_anchor"] = _NAME
    margin: NonNegative = key(0.1, "cosine", doc="The paper's delta.")
    alpha: Positive = key(32.0, doc="How much hard pictures weigh.")
    proxies_rate: Positive = key(100.0, "factor")
    """The vectors of the classes learn so many times faster than the network."""


CLASSIFICATION = "classification"
# fmt: off
Name = Literal[
    "classification", "triplet", "semi_hard_triplet", "contrastive", "supcon", "nt_xent",
    "multi_similarity", "arcface", "cosface", "proxy_anchor",
]
# fmt: on
LOSSES: tuple[str, ...] = get_args(Name)
Named = Annotated[
    Triplet
    | SemiHardTriplet
    | Contrastive
    | SupCon
    | NTXent
    | MultiSimilarity
    | ArcFace
    | CosFace
    | ProxyAnchor,
    Field(discriminator="name"),
]


def _named(value: Any) -> Any:
    """`triplet` is {name: triplet}; `classification` is no loss for retrieval."""
    if value == CLASSIFICATION or value == {"name": CLASSIFICATION}:
        return None
    return {"name": value} if isinstance(value, str) else value


Loss = Annotated[Named | None, BeforeValidator(_named, json_schema_input_type=Name | Named | None)]
