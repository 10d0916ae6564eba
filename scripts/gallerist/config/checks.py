"""What a configuration may not say though every key is right by itself."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gallerist.config.messages import did_you_mean
from gallerist.config.protocol_checks import asks_queries, check_protocol
from gallerist.config.schema import KeyPath, yaml_scalar
from gallerist.config.truth_checks import check_classes, check_truth
from gallerist.data.layouts import class_folders, no_classes, only_folder_of_folders
from gallerist.data.splitting import choose_unseen
from gallerist.evaluation.metrics import MetricError, metric
from gallerist.features.views import ViewsRefused, refuse
from gallerist.io.errors import UserError
from gallerist.io.metric_names import top
from gallerist.networks.backbones import BACKBONES
from gallerist.settings.base import Settings
from gallerist.settings.configuration import Configuration
from gallerist.settings.descriptors import Hog, LocalBinaryPatterns
from gallerist.settings.encoders import KerasFile, Onnx
from gallerist.settings.fusions import Combined
from gallerist.settings.losses import ContrastedLoss, MetricLoss
from gallerist.settings.networks import Scratch, Trained, Transfer
from gallerist.settings.ranking import RankedByVectors
from gallerist.tracking.store import PASSWORD, USERNAME, holds_password
from gallerist.workflow.experiments import MIXING, refusal
from gallerist.workflow.table_layout import layout_of

Problems = Iterator[tuple[KeyPath, str]]

SOURCES = ("embedded", "folder", "archive", "table")
SHARES = ("validation", "training", "gallery", "query")
TREE = ("training", "validation/gallery", "validation/query")
BEST = "best"
TAKEN = {
    "mlflow": "results/mlflow/ holds MLflow's database and pictures",
    "default": "MLflow's own experiment, which belongs to no data set, has this name",
    "readme.md": "results/README.md is a file",
    "report": "results/report/ is what make report writes",
    "benchmarks": "results/benchmarks/ has the tables of make bench",
    "report.html": "results/report.html is the report",
}
"""Names that no data set can have, in lower case as on disks that ignore capitals -> why."""
EMBEDDED_PER_CLASS = 580
"""Pictures of the scarcest class that differ enough from all others (silhouettes.draw_tree)."""
UNPADDED_SIDE = 73
"""The smallest picture of which the convolutions of the small network leave a pixel."""


def _check_source(whole: Configuration) -> Problems:
    dataset, path = whole.dataset, ("dataset",)
    given = [source for source in SOURCES if getattr(dataset, source) is not None]
    if given == ["folder", "table"]:
        given = ["table"]
    if not given:
        known = "embedded ({} for its defaults), folder, archive, table"
        yield path, f"no source of pictures. Give one of {known}."
    elif len(given) > 1:
        both = " and ".join(given)
        yield path, f"{both} are both sources of pictures. Keep one; null takes one away."
    if given == ["embedded"] and dataset.layout != "tree":
        yield (*path, "layout"), "the embedded pictures come as a tree: leave layout out."
    if given == ["table"] and dataset.layout != "tree":
        yield (*path, "layout"), "a table has a column part in its place: leave layout out."


def _check_names(whole: Configuration) -> Problems:
    name = whole.dataset.name
    if reason := TAKEN.get(name.lower()):
        yield ("dataset", "name"), f"{name} is taken: {reason}. Choose another one."
    if BEST in whole.experiments:
        problem = f"{BEST} stands for the best of all experiments in registry.experiments and"
        yield ("experiments", BEST), f"{problem} gallerist register: rename it."


def _check_braces(whole: Configuration) -> Problems:
    """Of inputs of jobs, in which Snakemake has no way to write braces that are no wildcard."""
    given: dict[KeyPath, Any] = {
        ("experiments", name, "weights"): getattr(each, "weights", None)
        for name, each in whole.experiments.items()
    }
    for name, each in whole.experiments.items():
        for file in ("vectors", "ids"):
            given["experiments", name, file] = getattr(each, file, None)
    given["dataset", "corrections"] = whole.dataset.corrections
    if whole.challenge:
        given["challenge", "truth"] = whole.challenge.truth
    for path, text in given.items():
        if found := re.search(r"\{\s*\w+\s*[,}]", text or ""):
            problem = f"{text!r} has {found[0]!r} in it, which Snakemake takes for a wildcard"
            yield path, f"{problem}: rename the file or its folder, without braces."


def _check_embedded(whole: Configuration) -> Problems:
    if embedded := whole.dataset.embedded:
        counts = embedded.training_per_class, embedded.gallery_per_class, embedded.query_per_class
        if sum(counts) > EMBEDDED_PER_CLASS:
            made = f"{_sum(counts)} = {sum(counts)} pictures a class (training, gallery, query)"
            problem = f"{made}, but only {EMBEDDED_PER_CLASS} differ enough from each other."
            yield ("dataset", "embedded"), problem


def _sum(numbers: Iterable[float]) -> str:
    return " + ".join(map(yaml_scalar, numbers))


def _check_folder(whole: Configuration) -> Problems:
    folder, path = whole.dataset.folder, ("dataset", "folder")
    if folder is None or whole.dataset.table is not None:
        return
    if whole.dataset.layout == "tree":
        asked = TREE if asks_queries(whole) else TREE[:2]
        if missing := _missing_in(folder, asked):
            remedy = "If it holds one folder a class, write layout: classes."
            yield path, f"{folder!r} lacks {missing}, which layout: tree needs. {remedy}"
        return
    classes = [each.name for each in class_folders(folder)]
    if not classes:
        yield path, f"{folder!r} holds no folders, but layout: classes needs one folder a class."
    elif wrong := no_classes(repr(folder), classes):
        yield path, f"{wrong}."
    elif inner := only_folder_of_folders(folder):
        problem = f"{folder!r} holds one folder, {inner.name}/, and that holds folders only."
        yield path, f"{problem} Are those the classes? Then write {str(inner)!r}."


def _check_table(whole: Configuration) -> Problems:
    if whole.dataset.table is not None:
        try:
            parts = layout_of(whole.dataset.table).parts
        except UserError as error:
            yield ("dataset", "table"), f"{error}."
        except FileNotFoundError:
            return  # which whoever validates with the disk is told
        else:
            if parts and "query" not in parts and asks_queries(whole):
                lacking = f"{whole.dataset.table} has no row of the part query"
                remedy = "Add some, or write evaluation.protocol: leave_one_out."
                yield ("dataset", "table"), f"{lacking}. {remedy}"


def _missing_in(folder: str, names: Iterable[str]) -> str:
    return ", ".join(f"{name}/" for name in names if not (Path(folder) / name).is_dir())


def _check_unseen(whole: Configuration) -> Problems:
    """Of a folder, whose classes can be seen; else the split itself refuses what does not fit."""
    wanted, dataset = whole.dataset.split.unseen_classes, whole.dataset
    if wanted is None or dataset.folder is None or dataset.table is not None:
        return
    folders = [dataset.folder]
    if dataset.layout == "tree":
        folders = [str(Path(dataset.folder, part)) for part in TREE]
    there = [folder for folder in folders if Path(folder).is_dir()]
    classes = [each.name for folder in there for each in class_folders(folder)]
    try:
        choose_unseen(classes, wanted, seed=dataset.split.seed)
    except UserError as error:
        yield ("dataset", "split", "unseen_classes"), f"{str(error).split(' ', 1)[1]}."


def _check_split(whole: Configuration) -> Problems:
    path, split = ("dataset", "split"), whole.dataset.split
    parts, layout = False, f"layout: {whole.dataset.layout}"
    if whole.dataset.table is not None:
        try:
            parts, layout = bool(layout_of(whole.dataset.table).parts), "a table without parts"
        except (UserError, FileNotFoundError):
            return  # the table itself is named
    if parts or (whole.dataset.layout == "tree" and whole.dataset.table is None):
        own = "the table has its own rows" if parts else "layout: tree has its own folder"
        problem = f"{own} for this part: remove the key. "
        for share in SHARES[1:]:
            if getattr(split, share) is not None:
                yield (*path, share), f"{problem}Only validation is split, from training."
        return
    given = split.model_dump(include=split.model_fields_set)
    needed = SHARES if asks_queries(whole) else SHARES[:3]
    if missing := [share for share in needed if given.get(share) is None]:
        yield path, f"{layout} needs a share for {', '.join(missing)} too."
        return
    there = [share for share in SHARES if given.get(share) is not None]
    shares = [given[share] for share in there]
    if not math.isclose(sum(shares), 1, abs_tol=1e-9):
        wrong = f"{_sum(shares)} = {sum(shares):.6g}"
        yield path, f"{', '.join(there)} must add up to 1, but {wrong}."


def _check_depth(whole: Configuration) -> Problems:
    depth, evaluation = whole.search.depth, whole.evaluation
    for key, wanted in (("k", max(evaluation.k)), ("answers_drawn", evaluation.answers_drawn)):
        if depth is not None and wanted > depth:
            remedy = f"Raise search.depth to {wanted}, or ask for fewer."
            yield ("evaluation", key), f"{wanted} {_too_many(depth)} {remedy}"


def _too_many(depth: int) -> str:
    return f"is more than the {depth} answers kept for a query."


def _check_decided_by(whole: Configuration) -> Problems:
    evaluation = whole.evaluation
    known = [*map(top, sorted(evaluation.k)), *evaluation.metrics]
    if evaluation.decided_by not in known:
        problem = f"{evaluation.decided_by!r} is not measured. Measured: {', '.join(known)}."
        yield ("evaluation", "decided_by"), problem


def _check_metrics(whole: Configuration) -> Problems:
    for number, name in enumerate(whole.evaluation.metrics):
        try:
            metric(name)
        except MetricError as error:
            yield ("evaluation", "metrics", number), " ".join(str(error).split())


def _check_image_sizes(whole: Configuration) -> Problems:
    for name, settings in whole.experiments.items():
        path, size = ("experiments", name, "image_size"), getattr(settings, "image_size", 0)
        backbone = BACKBONES.get(getattr(settings, "backbone", ""))  # where it is right
        if isinstance(settings, Scratch) and settings.padding == "valid" and size < UNPADDED_SIDE:
            yield (
                path,
                f"found {size}. Without padding the convolutions need at least "
                f"{UNPADDED_SIDE} pixels a side: raise it, or write padding: same.",
            )
        elif backbone and (size or math.inf) < backbone.min_image_size:
            yield (
                path,
                f"{size} pixels a side are too few for {backbone.name}, which needs "
                f"{backbone.min_image_size}. It was made for {backbone.image_size}.",
            )


def _check_experiments(whole: Configuration) -> Problems:
    for name, settings in whole.experiments.items():
        for path, problem in _experiment_problems(settings, whole.experiments):
            yield ("experiments", name, *path), problem


def _experiment_problems(settings: Settings, experiments: Mapping[str, Settings]) -> Problems:
    if isinstance(settings, Trained) and settings.loss is not None:
        yield from _loss_problems(settings, settings.loss)
    match settings:
        case LocalBinaryPatterns(pattern="ror", points=points) if points > 16:
            yield ("points",), f"{points} are too many for pattern: ror, which takes 16 at most."
        case Hog(block=block, cells=cells) if block > cells:
            divided = f"the {cells} cells that a picture is divided into."
            yield ("block",), f"{block} is more than {divided}"
        case Scratch() | Transfer() if settings.views is not None:
            try:
                refuse(settings.model_dump())
            except ViewsRefused as error:
                place, problem = str(error).split(": ", 1)
                yield tuple(place.split(".")), problem
        case Combined(of=members):
            vectors = [name for name, e in experiments.items() if not isinstance(e, Combined)]
            for number, member in enumerate(members):
                if member not in experiments:
                    choices = did_you_mean(member, vectors)
                    yield ("of", number), f"no experiment is called {member}. {choices}"
                elif member not in vectors:
                    remedy = "Name the experiments that it is made of."
                    yield ("of", number), f"{member} is a fusion itself. {remedy}"
        case Onnx(file=file, address=address, sha256=sha256):
            if (file is None) == (address is None):
                yield (), "give one of file and address, which say where the encoder is."
            elif address is not None and sha256 is None:
                yield ("sha256",), "missing. What is downloaded must have a SHA-256 that you know."
        case KerasFile(file=file, preset=preset):
            if (file is None) == (preset is None):
                yield (), "give one of file and preset, which say where the encoder is."
    given = dict(settings)
    if given.get("crop_ratio") is not None and given["resizing"] != "crop":
        remedy = "Write resizing: crop, or leave crop_ratio out."
        yield ("crop_ratio",), f"resizing: {given['resizing']} crops nothing. {remedy}"
    if isinstance(settings, RankedByVectors):
        yield from _ranking_problems(settings)


def _loss_problems(settings: Trained, loss: MetricLoss) -> Problems:
    per_class = getattr(loss, "pictures_per_class", None)
    if per_class and settings.batch_size % per_class:
        divided = f"the {per_class} pictures that a batch has of a class (loss.pictures_per_class)"
        yield ("batch_size",), f"{settings.batch_size} is no multiple of {divided}."
    frozen = isinstance(settings, Transfer) and settings.freeze_until == "everything"
    learns = loss.projects or getattr(settings, "pooling", None) == "gem"
    if settings.epochs and frozen and not learns:
        remedy = "Train some layers of the backbone (freeze_until)"
        if not isinstance(loss, ContrastedLoss):
            remedy += ", or give the loss a projection"
        yield ("loss",), f"nothing that makes the vector would be trained. {remedy}."


def _ranking_problems(settings: RankedByVectors) -> Problems:
    if reduction := settings.reduction:
        path, method = ("reduction", "dimensions"), reduction.method
        keeps_all = method in ("standardise", "domain_centring")
        if keeps_all and reduction.dimensions is not None:
            remedy = "leave dimensions out, or take pca_whitening."
            yield path, f"{method} keeps all numbers: {remedy}"
        if not keeps_all and reduction.dimensions is None:
            yield path, f"missing. {method} needs to know how many numbers are left."
    search = settings.search
    mixed = [key for key in MIXING if getattr(search, key) is not None]
    if settings.k_reciprocal and mixed:
        useless = f"search.{mixed[0]} would do nothing. Keep one of the two."
        yield ("k_reciprocal",), f"ranks by the vectors themselves, so that {useless}"
    for key in ("nprobe", "ef_search"):
        if getattr(search, key) is not None and search.index is None:
            yield ("search", key), "belongs to an index. Give search.index too."


def _check_verification(whole: Configuration) -> Problems:
    depth = whole.search.depth
    for name, settings in whole.experiments.items():
        verified = getattr(settings, "geometric_verification", None)
        if depth is not None and verified and verified.first > depth:
            problem = f"{verified.first} {_too_many(depth)} Raise search.depth, or verify fewer."
            yield ("experiments", name, "geometric_verification", "first"), problem


def _check_challenge(whole: Configuration) -> Problems:
    challenge, path, depth = whole.challenge, ("challenge",), whole.search.depth
    if challenge is None:
        return
    folder = challenge.folder
    if (folder is None) == (challenge.embedded is None):
        yield path, "give one source of pictures: folder, or embedded ({} for its defaults)."
    elif folder is not None:
        if missing := _missing_in(folder, ("gallery", "query")):
            yield (*path, "folder"), f"{folder!r} lacks {missing}."
    elif challenge.truth is not None:
        yield (*path, "truth"), "the embedded challenge has its own: leave the key out."
    for name in sorted({"random", "chance"} & whole.experiments.keys()):
        problem = "the grades of a challenge have a ranker of this name: rename it."
        yield ("experiments", name), problem
    if re.match(r"https?://[^/?#]*@", challenge.submit_to or ""):
        problem = "has a user or a password in it. This is no place for them:"
        yield (*path, "submit_to"), f"{problem} put them into ~/.netrc."
    if depth is not None and challenge.k > depth:
        yield (*path, "k"), f"{challenge.k} {_too_many(depth)}"


def _check_tracking(whole: Configuration) -> Problems:
    uri = whole.tracking.uri
    if uri is not None and holds_password(uri):
        yield (
            ("tracking", "uri"),
            "holds a password, and configurations are shared and copied into reports. Put it into "
            f"{USERNAME} and {PASSWORD}, or the whole address into MLFLOW_TRACKING_URI "
            "(docs/team-server.md).",
        )


def _check_registry(whole: Configuration) -> Problems:
    experiments = whole.experiments
    for number, name in enumerate(whole.registry.experiments):
        path = ("registry", "experiments", number)
        if name == "best":
            if all(refusal(each, settings) for each, settings in experiments.items()):
                yield path, "none of the experiments can rank a single picture: register none."
        elif name not in experiments:
            yield path, f"no experiment is called {name}. {did_you_mean(name, experiments)}"
        elif reason := refusal(name, experiments[name]):
            yield path, f"{reason}. A model has only the picture that it is given."


_EXPERIMENTS: KeyPath = ("experiments",)
_SPLIT, _LAYOUT, _TRUTH = ("dataset", "split"), ("dataset", "layout"), ("dataset", "truth")
_PROTOCOL = ("evaluation", "protocol")
CHECKS: list[tuple[list[KeyPath], Callable[[Configuration], Problems]]] = [
    ([("dataset", "name"), _EXPERIMENTS], _check_names),
    ([_EXPERIMENTS, ("challenge",), ("dataset", "corrections")], _check_braces),
    ([*(("dataset", source) for source in SOURCES), _LAYOUT], _check_source),
    ([("dataset", "embedded")], _check_embedded),
    ([("dataset", "folder"), ("dataset", "table"), _LAYOUT, _PROTOCOL], _check_folder),
    ([("dataset", "table"), _PROTOCOL], _check_table),
    ([_SPLIT, ("dataset", "table"), _LAYOUT, _PROTOCOL], _check_split),
    ([("dataset", "name"), _TRUTH, ("dataset", "table")], check_truth),
    ([("dataset", "name"), _TRUTH, ("dataset", "table")], check_classes),
    ([_SPLIT, _LAYOUT, ("dataset", "folder")], _check_unseen),
    ([("search",), ("evaluation", "k"), ("evaluation", "answers_drawn")], _check_depth),
    ([("evaluation", key) for key in ("k", "metrics", "decided_by")], _check_decided_by),
    ([("evaluation", "metrics")], _check_metrics),
    ([], _check_image_sizes),  # of the experiments that are right so far
    ([("challenge",), ("search",)], _check_challenge),
    ([("tracking", "uri")], _check_tracking),
    ([_EXPERIMENTS], _check_experiments),
    ([_EXPERIMENTS, ("search",)], _check_verification),
    ([_EXPERIMENTS, ("registry",)], _check_registry),
    ([_EXPERIMENTS, ("evaluation",), _TRUTH], check_protocol),
]
"""Each check with the keys that it reads: it is left out where one of these is wrong."""
