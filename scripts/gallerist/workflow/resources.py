"""What a job of each rule takes: processor time, memory and disk, from measured figures.

A batch system asks for a limit before it starts a job, and ends the job that goes beyond. So these
are figures of the default run on 2 cores (the `benchmarks/` of its results), with room, and they
grow with every attempt: a job that was ended for want of memory or time gets more. What grows with
the data is counted by the input itself, as it lies there when the job is sent: a manifest has
ROW_BYTES a picture, and vectors have their own size, which is pictures x length.
"""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.workflow.experiments import Experiment
from gallerist.workflow.plan import Plan

ROW_BYTES = 125
"""Bytes of a picture's row in a manifest."""

NETWORK_SECONDS = 0.29
"""Processor seconds of a picture of 224 pixels in ResNet152; few backbones take more."""

TRAINING_SECONDS = 0.25
"""Processor seconds of a training picture of 224 pixels in all of ResNet152, frozen below conv5."""

CACHED_SECONDS = 0.03
"""The same from stored rows of its frozen layers."""

SCRATCH_SECONDS = 0.01
"""The same of the small network, for one of 224 pixels."""

SMALL_BATCH = 500_000
"""Pixels of the pictures of a training step, below which a second thread is not worth its price, in
the small network and from stored rows of frozen layers. On two cores it made trainings on 16
pictures of 96, 64 and 128 pixels a third slower, a twentieth and a tenth quicker, for 1.4, 1.1 and
1.1 times as much of a processor."""

VIEWS = 10
"""Most views of a picture."""

SNAKEMAKE_MEGABYTES = 500
"""Memory of the two processes of Snakemake around a job that a batch system starts."""

SNAKEMAKE_SECONDS = 8
"""Their processor time."""

MEMORY_MARGIN, TIME_MARGIN = 1.5, 4.0
"""How much more is asked for than was measured: other libraries, busier and slower nodes."""

LEAST_MINUTES = 15
"""The shortest time limit: a shared folder can be slow to show what a job imports."""


@dataclass(frozen=True)
class Need:
    """What a job takes without pictures, for each picture, and for each megabyte of vectors."""

    seconds: float = 2.0
    """Processor time of its start."""
    seconds_a_picture: float | Callable[[Experiment], float] = 0.0
    """A number, or found from the job's experiment."""
    seconds_a_megabyte: float = 0.0
    megabytes: float = 300.0
    """Memory of the started process."""
    kilobytes_a_picture: float = 0.0
    megabytes_a_megabyte: float = 0.0
    disk_kilobytes_a_picture: float = 0.0
    on_gpu: bool = False
    """Whether it is one of a network, which a GPU computes where there is one."""


def _extraction(experiment: Experiment) -> float:
    views = VIEWS if any(step.name == "views" for step in experiment.steps) else 1
    return views * NETWORK_SECONDS * _size(experiment)


def _training(experiment: Experiment) -> float:
    settings = experiment.extraction
    if settings["network"] == "scratch":
        each = SCRATCH_SECONDS
    else:
        each = CACHED_SECONDS if experiment.trunk else TRAINING_SECONDS
    return float(settings.get("epochs", 0) * each * _size(experiment))


def training_threads(experiment: Experiment, most: int) -> int:
    """Threads that a training is given, of at most `most`: one, where its steps are small.

    Its weights then do not depend on the number of processors.
    """
    settings = experiment.extraction
    quick = settings["network"] == "scratch" or experiment.trunk
    size = settings["image_size"] or 224
    return 1 if quick and settings["batch_size"] * size**2 < SMALL_BATCH else most


def _size(experiment: Experiment) -> float:
    """Pixels of a picture in units of 224 x 224."""
    return float((experiment.extraction.get("image_size") or 224) / 224) ** 2


NEEDS = {
    "fetch_archive": Need(60, disk_kilobytes_a_picture=500),
    "import_images": Need(8, 0.0015, megabytes=500, kilobytes_a_picture=3),
    "split_images": Need(2, 0.0001, kilobytes_a_picture=3),
    "extend_training": Need(2, 0.0005, kilobytes_a_picture=3),
    "report_leaks": Need(2, 0.0005, kilobytes_a_picture=3),
    "augment_images": Need(3, 0.008, megabytes=400, disk_kilobytes_a_picture=100),
    "fetch_weights": Need(10, megabytes=1100),
    "export_trunk": Need(20, megabytes=2200),
    "extract_trunk": Need(
        20, _extraction, megabytes=2000, disk_kilobytes_a_picture=200, on_gpu=True
    ),
    "train_network": Need(
        15,
        _training,
        megabytes=3000,  # 512 of them decoded pictures
        kilobytes_a_picture=1,
        on_gpu=True,
    ),
    "extract_features": Need(
        17,
        _extraction,
        megabytes=2200,
        kilobytes_a_picture=8,
        disk_kilobytes_a_picture=200,  # rows of frozen layers
        on_gpu=True,
    ),
    "import_onnx": Need(10, megabytes=1500),
    "import_keras": Need(20, megabytes=2200),
    "encode_images": Need(10, _extraction, megabytes=2200, kilobytes_a_picture=8, on_gpu=True),
    "describe_images": Need(2, 0.005, kilobytes_a_picture=8),
    "learn_vocabulary": Need(5, 0.02, megabytes=600, kilobytes_a_picture=20),
    "encode_key_points": Need(3, 0.02, kilobytes_a_picture=8),
    "fuse_features": Need(5, seconds_a_megabyte=0.1, megabytes=500, megabytes_a_megabyte=3),
    "fuse_rankings": Need(3, 0.005, kilobytes_a_picture=100),
    "fit_reduction": Need(5, seconds_a_megabyte=0.2, megabytes=600, megabytes_a_megabyte=4),
    "reduce_features": Need(3, seconds_a_megabyte=0.02, megabytes_a_megabyte=3),
    "search_gallery": Need(3, seconds_a_megabyte=1.0, megabytes_a_megabyte=2),
    "rerank_reciprocally": Need(3, seconds_a_megabyte=2.0, megabytes_a_megabyte=6),
    "verify_geometry": Need(3, 0.05, kilobytes_a_picture=100),
    "evaluate_retrieval": Need(
        10, 0.01, 0.02, megabytes=600, kilobytes_a_picture=10, megabytes_a_megabyte=1
    ),
    "explain_experiment": Need(20, megabytes=1700, on_gpu=True),
    "compare_experiments": Need(8, 0.001, megabytes=500, kilobytes_a_picture=10),
    "write_submissions": Need(4),
    "grade_challenge": Need(6, 0.01, megabytes=400, kilobytes_a_picture=10),
    "register_models": Need(60, megabytes=2500, megabytes_a_megabyte=2),
}
"""By rule. A challenge's rules of the same scripts have the same."""

OTHER = Need(5, 0.01, 1.0, megabytes=500, kilobytes_a_picture=20, megabytes_a_megabyte=4)
"""Of a rule that nobody has measured."""


def _need(rule: str) -> Need:
    """By the rule's name; what follows two underscores tells parts and shards apart."""
    return NEEDS.get(rule.partition("__")[0], OTHER)


class Needs:
    """What the rules ask for, and which of them are worth sending to another machine.

    plan: of the configuration. megabytes: of the largest node, which no job asks more than; None
    where nobody knows.
    sending: whether jobs go to a batch system; here none is ended for its time or its disk.
    gpus: that a job of a network takes of those that jobs share here; 0 where Slurm gives them out.
    """

    def __init__(
        self, plan: Plan, *, sending: bool = True, megabytes: int | None = None, gpus: int = 1
    ) -> None:
        self.plan, self.sending, self.megabytes, self.gpus = plan, sending, megabytes, gpus

    def of(self, rule: str) -> dict[str, Any]:
        """The resources of a rule: functions of a job's wildcards, input and attempt."""
        need = _need(rule)

        def mem_mb(wildcards: Any, input: Any, attempt: int) -> int:
            pictures, vectors = measure(input)
            taken = need.megabytes + need.kilobytes_a_picture * pictures / 1000
            taken += need.megabytes_a_megabyte * vectors
            asked = math.ceil(SNAKEMAKE_MEGABYTES + MEMORY_MARGIN * taken) * attempt
            return asked if self.megabytes is None else min(asked, self.megabytes)

        def runtime(wildcards: Any, input: Any, attempt: int) -> int:
            pictures, vectors = measure(input)
            seconds = self._seconds(need, self._experiment(wildcards), pictures, vectors)
            return math.ceil(LEAST_MINUTES + TIME_MARGIN * seconds / 60) * attempt

        def disk_mb(wildcards: Any, input: Any, attempt: int) -> int:
            pictures, vectors = measure(input)
            made = need.disk_kilobytes_a_picture * pictures / 1000
            return math.ceil(1000 + MEMORY_MARGIN * (made + vectors)) * attempt

        found: dict[str, Any] = {"mem_mb": mem_mb}
        if self.sending:
            found |= {"runtime": runtime, "disk_mb": disk_mb}
        return {**found, "gpu": self.gpus} if need.on_gpu else found

    def small(self, rules: Iterable[str], pictures: float, least_minutes: float) -> list[str]:
        """The rules, of those named, whose jobs have less work than `least_minutes` of a processor.

        pictures: of the data set; infinity where nobody has counted them yet.
        """
        every = self.plan.experiments.values()
        networks = [each for each in every if each.network_record]
        longest = 2048 * 4e-6 * pictures  # megabytes of long vectors

        def minutes(need: Need) -> float:
            fitting = networks if need.on_gpu else every
            times = [self._seconds(need, each, pictures, longest) for each in fitting]
            return max(times, default=need.seconds) / 60

        return [rule for rule in rules if minutes(_need(rule)) < least_minutes]

    def _seconds(
        self, need: Need, experiment: Experiment | None, pictures: float, vectors: float
    ) -> float:
        each = need.seconds_a_picture
        if callable(each):
            assert experiment is not None
            each = each(experiment)
        work = [(each, pictures), (need.seconds_a_megabyte, vectors)]
        return need.seconds + sum(a * b for a, b in work if a)

    def _experiment(self, wildcards: Any) -> Experiment | None:
        """The experiment that a job is about, or one with its frozen layers; None without any."""
        for name, named in (("experiment", self.plan.experiments), ("trunk", self.plan.trunks)):
            if hasattr(wildcards, name):
                return named[getattr(wildcards, name)]
        return None


def measure(files: Iterable[str]) -> tuple[float, float]:
    """Pictures, by the size of manifests, and megabytes of vectors, of the inputs of a job.

    Raises FileNotFoundError, with the file's name, where one is not there yet: Snakemake asks again
    when it is.
    """
    pictures = vectors = 0.0
    for name in files:
        if name.endswith(".csv") and not name.endswith(".ids.csv"):
            pictures += Path(name).stat().st_size / ROW_BYTES
        elif name.endswith(".npy"):
            vectors += Path(name).stat().st_size / 1e6
    return pictures, vectors


def count_pictures(plan: Plan) -> float:
    """The pictures of a data set before anything was imported; infinity where nobody can tell."""
    drawn, folder = plan.dataset.embedded, plan.dataset.folder
    if drawn:
        every = (drawn.training_per_class, drawn.gallery_per_class, drawn.query_per_class)
        return 10.0 * sum(every)
    if folder:
        return float(sum(len(files) for _, _, files in os.walk(folder)))
    manifests = [Path(plan.manifest(part)) for part in plan.imported]
    if all(path.is_file() for path in manifests):
        return measure(map(str, manifests))[0]
    return math.inf
