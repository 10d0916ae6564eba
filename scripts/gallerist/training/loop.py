"""Training a network on the training pictures, evaluated on the validation pictures.

What makes it fast, measured on the last block of ResNet152 (16 million weights, rows of 50176
float16, batches of 16, 2 threads; processor seconds a picture, and seconds on an idle machine):

    Keras's `fit` on a PyDataset, with its Adam     .0339   .0177
    the loop below, on plain iterators              .0274   .0117   (see `batches`)
    and with the fused Adam                         .0259   .0110   (see `FusedAdam`)
    the update by XLA instead, or one inter-op
        thread, or batches of a fixed size          .0263 and more

Of the last, .025 are the gradient's convolutions, at the processor's peak. A whole epoch with 3
validation pictures to 10 came from .0204 to .0137 s a picture; with the whole frozen network, where
the loop helps too, from .23 to .19 processor seconds; of the small network from .0019 to .0017.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import keras
import numpy as np

from gallerist.io.files import PathLike, replacing, sha256_of_file
from gallerist.networks.architectures import EMBEDDING, sizes_of
from gallerist.networks.export import export
from gallerist.networks.exported import Kind
from gallerist.networks.feature_map import feature_map_of
from gallerist.networks.graph_cut import Graph
from gallerist.networks.trunk import Halves
from gallerist.settings.networks import Scratch, Trained
from gallerist.training.adam import FusedAdam as FusedAdam
from gallerist.training.batch_norm import BatchNorms
from gallerist.training.batches import Batches
from gallerist.training.checkpoint import Checkpoint
from gallerist.training.history import Training
from gallerist.training.objective import Objective, objective
from gallerist.training.passes import Passes
from gallerist.training.state import TrainingState
from gallerist.workflow.log import Stopped
from gallerist.workflow.progress import Progress

logger = logging.getLogger("gallerist")

EpochReport = Callable[[int, Mapping[str, float]], None]


def train(
    model: keras.Model,
    training: Batches,
    validation: Batches,
    *,
    settings: Trained,
    checkpoint: Checkpoint | None = None,
    xla: bool = False,
    report: EpochReport = lambda epoch, row: None,
) -> Training:
    """Train `model` in place: Adam on the sparse categorical cross-entropy, or on another loss.

    settings: of the experiment. With 0 epochs the network is left as it was built; with
        `restore_best_weights` it ends with the weights of the epoch of the least validation loss,
        or where the loss is one for retrieval, of the epoch that found the most.
    model: a network, or the half of it that is trained (`trunk.Halves.after_trunk`), on its inputs.
    checkpoint: where the state is stored between epochs, and between two batches where a signal
        asks to stop. What is stored there is gone on from, and ends as if it had not been
        interrupted: on the same machine with as many threads, with the same bits. The caller
        removes it when the network is safe.
    xla: compile the whole step, which is worth it on a GPU only: the gradient of ResNet152's last
        block took .023 s a picture on a processor with it and .0123 without. Dropout then drops
        others, because XLA draws its random numbers in another way.
    report: called after every epoch that runs here, counted from 1.

    Loss scaling comes with the global policy mixed_float16, if the model was built under it. Errors
    of the batches (such as `decoding.BadImage`) and of `report` are passed on.
    """
    if settings.epochs == 0:
        return Training((), 0.0, training.images)
    aim = objective(model, training, settings)
    keep_best = settings.restore_best_weights
    state = TrainingState(aim.model, _callbacks(settings, aim), keep_best, aim.loss_of)
    resumed = _resume(state, checkpoint, settings.epochs)
    progress = Progress("training images", (settings.epochs - resumed) * training.images)
    passes, norms = Passes(aim.model, xla), _batch_norms(aim.model, settings)
    began = time.monotonic() - state.seconds
    for epoch in range(resumed + 1, settings.epochs + 1):
        if state.stopped:
            break
        try:
            row = _epoch(passes, state, aim, training, validation, epoch, progress, norms)
        except Stopped:  # a batch system gives seconds before it kills
            state.seconds = time.monotonic() - began
            if checkpoint and state.under_way:
                checkpoint.write(state.saved())
            raise
        _tell(row, epoch, settings.epochs)
        state.end_epoch(row)
        state.seconds = time.monotonic() - began
        if checkpoint and checkpoint.is_due(state.size):
            checkpoint.write(state.saved())
        report(epoch, row)
    if state.best:
        state.best.restore()
    if aim.classifies:
        norms.compare_modes(training)
    return Training(tuple(state.history), state.seconds, training.images, resumed)


def _resume(state: TrainingState, checkpoint: Checkpoint | None, epochs: int) -> int:
    """Put back what is stored for this training. Returns the number of epochs that were."""
    saved = checkpoint.read() if checkpoint else None
    if checkpoint is None or saved is None:
        return 0
    state.restore(saved)
    done = len(state.history)
    logger.info("training goes on after epoch %d of %d, from %s", done, epochs, checkpoint.path)
    return done


def _batch_norms(model: keras.Model, settings: Trained) -> BatchNorms:
    precise = isinstance(settings, Scratch) and settings.batch_normalisation == "precise"
    return BatchNorms(model, precise=precise)


def _tell(row: Mapping[str, float], epoch: int, epochs: int) -> None:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
    logger.info("epoch %d of %d: %s", epoch, epochs, figures)


def _epoch(
    passes: "Passes",
    state: TrainingState,
    aim: Objective,
    training: Batches,
    validation: Batches,
    number: int,
    progress: Progress,
    norms: BatchNorms,
) -> dict[str, float]:
    """Train once on every picture, and evaluate on the validation ones: a row of the history.

    Of an epoch that a signal stopped only the rest is done.
    """
    began = time.monotonic()
    learning_rate = float(passes.model.optimizer.learning_rate)
    if state.trained is None:
        start = -(-state.pictures // training.batch_size)
        if start:  # so that there are metrics to go on with
            passes.over(validation.epoch(number, len(validation) - 1), "test_step")
        state.begin_training()
        state.trained = passes.over(training.epoch(number, start), "train_step", progress)
    norms.estimate(training, number)
    row = {**state.trained, **aim.validate(passes, validation, number)}
    row = {name: value for name, value in row.items() if name in aim.curves}
    return {**row, "learning_rate": learning_rate, "epoch_seconds": time.monotonic() - began}


def _callbacks(settings: Trained, aim: Objective) -> list[keras.callbacks.Callback]:
    callbacks, judged = [], {"monitor": aim.judged_by, "mode": aim.mode}
    if lowered := settings.reduce_learning_rate:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(**judged, **lowered.model_dump()))
    if stopping := settings.early_stopping:
        callbacks.append(keras.callbacks.EarlyStopping(**judged, **stopping.model_dump()))
    return callbacks


def count_parameters(model: keras.Model) -> dict[str, int]:
    """Numbers of weights: in all, and those that training changes."""
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return {"parameters": int(model.count_params()), "parameters_trained": trainable}


def save(model: keras.Model, path: PathLike, halves: Halves | None = None) -> None:
    """Store the network without its optimiser, whole or not at all, and export it for OpenVINO.

    Exported is the network without its head, for pictures and, where its `halves` are given, for
    rows of its trunk too; and what gives its last feature map: see `Exported`.
    """
    with replacing(path) as temporary:
        keras.Model(model.inputs, model.outputs, name=model.name).save(os.fspath(temporary))
    headless = (halves.graph if halves else Graph.of(model)).up_to(EMBEDDING)
    kinds: tuple[Kind, ...] = ("pixels",)
    (vector,), outputs, facts = headless.outputs, [*headless.outputs], {}
    with suppress(ValueError):  # a network of another kind has no map that its vector comes from
        tensor, facts["pooling"] = feature_map_of(headless)
        kinds, outputs = ("pixels", "maps"), [vector, tensor]
    graphs = {kinds: keras.Model(headless.inputs, outputs, name="extractor")}
    if halves:
        graphs["rows",] = halves.after_trunk(EMBEDDING)
    export(
        path,
        graphs,
        model=sha256_of_file(path),
        trunk=halves.identity if halves else None,
        length=vector.shape[-1],
        sizes=sizes_of(model),
        facts=facts,
    )
