"""Where to cut a partly frozen network, so that its frozen part is computed once for a picture.

Every operation is either in the trunk, computed once for every picture and its results stored, or
in the tail, computed again at every step. What is trained, and everything that depends on it, must
be in the tail. An operation in the tail costs its multiply-adds, a tensor that goes from the trunk
to the tail what it costs to store and read it, once, however many operations read it. The cheapest
division is a minimum cut (J.-C. Picard, Maximal Closure of a Graph, 1976), found here from the
graph alone; no name of a layer or a network is looked at.

A convolution or pooling with a window of 1x1 and a stride of s reads every s-th position only. An
operation that takes these positions, at no cost, is imagined before it. That is how the cut finds
that conv5 of a ResNet needs 7x7 positions of a map of 14x14.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

MULTIPLY_ADDS_A_BYTE = 50
"""Multiply-adds that take as long as reading one stored byte and feeding it to the network.

A few processor cores do some 100 thousand million multiply-adds a second in convolutions, and read
some 2 thousand million bytes a second from the disk's cache, widened to float32. Within a factor of
three either way the cuts of the usual networks stay where they are.
"""

BYTES_A_VALUE = 2
"""A stored value is a float16."""

BYTES_A_PIXEL_VALUE = 1
"""A picture's values are whole numbers up to 255."""

_LARGEST = 2**31 - 1
"""SciPy's maximum flow takes 32-bit capacities (and silently wraps larger ones)."""

Step = tuple[int, int]


@dataclass(frozen=True)
class Call:
    """One call of an operation in a functional model."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Any, ...]

    @property
    def inputs(self) -> list[Any]:
        """The tensors that it reads, in the order of its arguments."""
        arguments = keras.tree.flatten((self.args, dict(self.kwargs)))
        return [value for value in arguments if isinstance(value, keras.KerasTensor)]

    @property
    def is_trained(self) -> bool:
        """Whether training changes what it computes (in inference mode)."""
        return bool(getattr(self.operation, "trainable_weights", ()))

    @property
    def multiply_adds(self) -> int:
        """For one picture: each number of a kernel is used at every output position.

        Plus one for each number that it gives, which is all that activations and the like cost.
        """
        shapes = [fixed_shape(tensor) for tensor in self.outputs]
        positions = math.prod(shapes[0][:-1])
        weights = getattr(self.operation, "weights", ())
        kernels = sum(math.prod(weight.shape) for weight in weights if len(weight.shape) > 1)
        return int(kernels * positions + sum(math.prod(shape) for shape in shapes))

    def again(self, tensors: Mapping[int, Any]) -> Any:
        """Call the operation once more, with other tensors in the place of those it was given.

        tensors: the new tensor by the id of the old one.
        """
        args, kwargs = keras.tree.map_structure(
            lambda value: tensors[id(value)] if isinstance(value, keras.KerasTensor) else value,
            (self.args, dict(self.kwargs)),
        )
        return self.operation(*args, **kwargs)


@dataclass(frozen=True)
class Graph:
    """A functional model as the calls it consists of, each after those it depends on."""

    inputs: tuple[Any, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Any, ...]

    @classmethod
    def of(cls, model: keras.Model) -> "Graph":
        """Follow a functional model. Its operations are shared, the tensors are new."""
        calls: list[Call] = []

        def follow(operation: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = operation(*args, **kwargs)
            calls.append(Call(operation, args, kwargs, tuple(keras.tree.flatten(outputs))))
            return outputs

        followed = keras.models.clone_model(
            keras.Model(model.inputs, model.outputs),  # not compiled, whatever `model` is
            clone_function=lambda operation: operation,
            call_function=follow,
        )
        return cls(tuple(followed.inputs), tuple(calls), tuple(followed.outputs))

    def up_to(self, name: str) -> "Graph":
        """The same, ending with what the operation of that name gives."""
        names = [call.operation.name for call in self.calls]
        calls = self.calls[: names.index(name) + 1]
        return Graph(self.inputs, tuple(calls), calls[-1].outputs)


@dataclass(frozen=True)
class Part:
    """A tensor that is stored: all its positions, or every `step`-th row and column."""

    tensor: Any
    step: Step
    shape: tuple[int, ...]

    @property
    def values(self) -> int:
        """Numbers that are stored of it for a picture."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Cut:
    """A network divided into a trunk, computed once for a picture, and a tail.

    graph: of the whole network.
    parts: what is stored, in the order in which the network makes it.
    trunk, tail: the calls of either side, each after those it depends on.
    """

    graph: Graph
    parts: tuple[Part, ...]
    trunk: tuple[Call, ...]
    tail: tuple[Call, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is worth storing: the tail starts from the pictures themselves."""
        return not self.trunk

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each stored part, for one picture."""
        return tuple(part.shape for part in self.parts)

    @property
    def values(self) -> int:
        """Numbers that are stored for a picture."""
        return sum(part.values for part in self.parts)

    @property
    def readers(self) -> tuple[str, ...]:
        """Names of the layers that read what is stored; none where the tail has no layer."""
        stored = {id(part.tensor) for part in self.parts}
        reading = [call for call in self.tail if any(id(x) in stored for x in call.inputs)]
        return tuple(call.operation.name for call in reading)

    @property
    def trunk_share(self) -> float:
        """Part of the multiply-adds, 0 to 1, that need not be done again."""
        trunk, tail = (sum(c.multiply_adds for c in calls) for calls in (self.trunk, self.tail))
        return trunk / max(trunk + tail, 1)

    def __str__(self) -> str:
        """One line for the log."""
        if self.is_empty:
            return "nothing worth storing comes before the first trained layer: trunk of pixels"
        shapes = " + ".join("x".join(map(str, shape)) for shape in self.shapes)
        readers = ", ".join(self.readers) or "the pooling"
        return (
            f"{shapes} ({self.values} values a picture), read by {readers}; "
            f"the trunk holds {self.trunk_share:.1%} of the backbone's multiply-adds"
        )


def cut_of(backbone: keras.Model) -> Cut:
    """Divide a functional model where it is cheapest, by what of it is frozen.

    backbone: layers in inference mode, image in, feature map out, channels last; its layers'
    `trainable` decides. The input counts as stored pixels, BYTES_A_PIXEL_VALUE each. Where nothing
    is trained, the trunk is all of it, and what is stored its output.
    Raises ValueError when the size of its images is not fixed.
    """
    graph = Graph.of(backbone)
    problem = _Problem(graph)
    chosen = frozenset(range(len(problem.operations) - 1))  # all but the wish for the output
    if any(call.is_trained for call in graph.calls):
        chosen = cheapest_trunk(problem.operations, problem.costs)
    trunk = {index for index in chosen if index < len(graph.calls)}
    return Cut(
        graph,
        problem.parts_between(chosen),
        tuple(call for index, call in enumerate(graph.calls) if index in trunk),
        tuple(call for index, call in enumerate(graph.calls) if index not in trunk),
    )


def reading_step(operation: Any) -> Step | None:
    """Rows and columns between the positions that an operation reads, or None if it reads all.

    A window of 1x1 is not padded, whatever `padding` says, so that position (i, j) of the output
    depends on position (i * rows, j * columns) of the input alone.
    """
    if type(operation) is keras.layers.Conv2D:
        window = operation.kernel_size
    elif type(operation) in (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D):
        window = operation.pool_size
    else:
        return None
    step: Step = tuple(operation.strides)
    whole = tuple(window) != (1, 1) or step == (1, 1)
    return None if whole or operation.data_format != "channels_last" else step


def fixed_shape(tensor: Any) -> tuple[int, ...]:
    """Shape for one picture. Raises ValueError where it depends on the picture's size."""
    shape = tuple(tensor.shape[1:])
    if None in shape:
        raise ValueError(
            f"the network gives maps of shape {shape}: it can be cut only where the size of its "
            "images is fixed. Build it for one image size."
        )
    return shape


@dataclass(frozen=True)
class Work:
    """An operation as the cut sees it.

    cost: of doing it in the tail. reads, makes: numbers of tensors. in_tail: it must be there.
    """

    cost: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    in_tail: bool


def cheapest_trunk(operations: Sequence[Work], costs: Sequence[int]) -> frozenset[int]:
    """The operations to compute once, so that the rest costs least: the largest of the cheapest.

    costs: of storing each tensor, by number. A tensor that no operation makes is at hand, and must
    be stored too where the tail reads it.
    Returns positions in `operations`; with an operation all that it depends on is in the trunk.
    Exact where all costs together stay below 2**30; larger ones are counted in larger units.
    """
    unit = (sum(costs) + sum(work.cost for work in operations)) // (_LARGEST // 2) + 1
    total = sum(-(-cost // unit) for cost in costs)
    total += sum(-(-work.cost // unit) for work in operations)
    never = total + 1
    trunk, tail = 0, 1  # the two ends; then the operations, then the tensors
    tensor_at = 2 + len(operations)
    maker = {tensor: 2 + i for i, work in enumerate(operations) for tensor in work.makes}
    capacity: dict[tuple[int, int], int] = {}
    for tensor, cost in enumerate(costs):
        capacity[maker.get(tensor, trunk), tensor_at + tensor] = -(-cost // unit)
    for index, work in enumerate(operations, 2):
        if work.in_tail:
            capacity[index, tail] = never
        else:
            capacity[trunk, index] = -(-work.cost // unit)
        for tensor in work.reads:
            capacity[tensor_at + tensor, index] = never
            if tensor in maker:
                capacity[index, maker[tensor]] = never
    beyond = _reaching(tail, trunk, capacity, tensor_at + len(costs))
    return frozenset(index for index in range(len(operations)) if 2 + index not in beyond)


def _reaching(
    sink: int, source: int, capacity: Mapping[tuple[int, int], int], size: int
) -> set[int]:
    """The sink's side of the minimum cut that leaves least there."""
    ends = np.array(list(capacity), dtype=np.int32)
    limits = np.array(list(capacity.values()), dtype=np.int32)
    graph = coo_array((limits, (ends[:, 0], ends[:, 1])), shape=(size, size)).tocsr()
    flow = maximum_flow(graph, source, sink).flow
    left = (graph.astype(np.int64) - flow.astype(np.int64)).tocsr()
    left.eliminate_zeros()
    return set(breadth_first_order(left.T.tocsr(), sink, return_predecessors=False).tolist())


class _Problem:
    """A graph in numbers: its calls, then the imagined operations, and at last the output's."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parts: list[Part] = []
        self.costs: list[int] = []
        self._numbers: dict[tuple[int, Step], int] = {}
        self._images = {id(tensor) for tensor in graph.inputs}
        for tensor in graph.inputs:
            self._number(tensor, (1, 1), BYTES_A_PIXEL_VALUE)
        for call in graph.calls:
            for tensor in call.outputs:
                self._number(tensor, (1, 1))
        thinned: list[Work] = []
        calls = [self._work(call, thinned) for call in graph.calls]
        wanted = tuple(self._number(tensor, (1, 1)) for tensor in graph.outputs)
        self.operations = [*calls, *thinned, Work(0, wanted, (), in_tail=True)]

    def _work(self, call: Call, thinned: list[Work]) -> Work:
        step = reading_step(call.operation)
        reads = []
        for tensor in call.inputs:
            number = self._number(tensor, (1, 1))
            if step is not None and id(tensor) not in self._images:
                if (id(tensor), step) not in self._numbers:
                    made = self._number(tensor, step)
                    thinned.append(Work(0, (number,), (made,), in_tail=False))
                number = self._numbers[id(tensor), step]
            reads.append(number)
        makes = tuple(self._number(tensor, (1, 1)) for tensor in call.outputs)
        return Work(call.multiply_adds, tuple(reads), makes, call.is_trained)

    def _number(self, tensor: Any, step: Step, bytes_a_value: int = BYTES_A_VALUE) -> int:
        """The number of a tensor (at every `step`-th position), which it gets when first met."""
        key = id(tensor), step
        if key not in self._numbers:
            shape = fixed_shape(tensor)
            if step != (1, 1):
                rows, columns, channels = shape
                shape = -(-rows // step[0]), -(-columns // step[1]), channels
            self._numbers[key] = len(self.parts)
            self.parts.append(Part(tensor, step, shape))
            self.costs.append(math.prod(shape) * bytes_a_value * MULTIPLY_ADDS_A_BYTE)
        return self._numbers[key]

    def parts_between(self, trunk: frozenset[int]) -> tuple[Part, ...]:
        """What the operations outside `trunk` read that those inside make, or that is at hand."""
        made_in_tail = {
            tensor
            for index, work in enumerate(self.operations)
            if index not in trunk
            for tensor in work.makes
        }
        read_in_tail = {
            tensor
            for index, work in enumerate(self.operations)
            if index not in trunk
            for tensor in work.reads
        }
        stored = [self.parts[number] for number in read_in_tail - made_in_tail]
        return tuple(
            sorted(stored, key=lambda part: (self._numbers[id(part.tensor), (1, 1)], part.step))
        )
