"""What a configuration may not say though every key is right by itself."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gallerist.config.messages import did_you_mean
from gallerist.config.schema import KeyPath, yaml_scalar
from gallerist.features.views import ViewsRefused, refuse
from gallerist.io.metric_names import top
from gallerist.networks.backbones import BACKBONES
from gallerist.settings.configuration import Configuration
from gallerist.settings.descriptors import Hog, LocalBinaryPatterns
from gallerist.settings.fusions import Combined
from gallerist.settings.networks import Scratch, Transfer
from gallerist.settings.ranking import RankedByVectors
from gallerist.tracking.store import PASSWORD, USERNAME, holds_password
from gallerist.workflow.experiments import is_searchable, refusal

Problems = Iterator[tuple[KeyPath, str]]

SOURCES = ("embedded", "folder", "archive")
SHARES = ("validation", "training", "gallery", "query")
TREE = ("training", "validation/gallery", "validation/query")
EMBEDDED_PER_CLASS = 580
"""Pictures of the scarcest class that differ enough from all others (silhouettes.draw_tree)."""
UNPADDED_SIDE = 73
"""The smallest picture of which the convolutions of the small network leave a pixel."""


def _check_source(whole: Configuration) -> Problems:
    dataset = whole.dataset
    given = [source for source in SOURCES if getattr(dataset, source) is not None]
    if not given:
        yield (
            ("dataset",),
            "no source of pictures. Give one of embedded ({} for its defaults), folder, archive.",
        )
    elif len(given) > 1:
        yield (
            ("dataset",),
            f"{' and '.join(given)} are both sources of pictures. Keep one; null takes one away.",
        )
    if given == ["embedded"] and dataset.layout != "tree":
        yield ("dataset", "layout"), "the embedded pictures come as a tree: leave layout out."


def _check_embedded(whole: Configuration) -> Problems:
    embedded = whole.dataset.embedded
    if embedded is None:
        return
    counts = [embedded.training_per_class, embedded.gallery_per_class, embedded.query_per_class]
    if sum(counts) > EMBEDDED_PER_CLASS:
        yield (
            ("dataset", "embedded"),
            f"{' + '.join(map(str, counts))} = {sum(counts)} pictures a class (training, gallery, "
            f"query), but only {EMBEDDED_PER_CLASS} differ enough from each other.",
        )


def _check_folder(whole: Configuration) -> Problems:
    folder, path = whole.dataset.folder, ("dataset", "folder")
    if folder is None:
        return
    if whole.dataset.layout == "tree":
        if missing := _missing_in(folder, TREE):
            yield (
                path,
                f"{folder!r} lacks {missing}, which layout: tree needs. If it holds one folder a "
                "class, write layout: classes.",
            )
    elif not _has_folders(Path(folder)):
        yield path, f"{folder!r} holds no folders, but layout: classes needs one folder a class."


def _missing_in(folder: str, names: Iterable[str]) -> str:
    return ", ".join(f"{name}/" for name in names if not (Path(folder) / name).is_dir())


def _has_folders(folder: Path) -> bool:
    try:
        return any(each.is_dir() and not each.name.startswith(".") for each in folder.iterdir())
    except OSError:
        return False


def _check_split(whole: Configuration) -> Problems:
    path, split = ("dataset", "split"), whole.dataset.split
    if whole.dataset.layout == "tree":
        for share in SHARES[1:]:
            if getattr(split, share) is not None:
                yield (
                    (*path, share),
                    "layout: tree has its own folder for this part: remove the key. "
                    "Only validation is split, from training.",
                )
        return
    given = split.model_dump(include=split.model_fields_set)
    missing = [share for share in SHARES if share not in given]
    if missing:
        yield path, f"layout: classes needs a share for {', '.join(missing)} too."
        return
    shares = [given[share] for share in SHARES]
    if not math.isclose(sum(shares), 1, abs_tol=1e-9):
        sum_ = " + ".join(map(yaml_scalar, shares))
        yield path, f"{', '.join(SHARES)} must add up to 1, but {sum_} = {sum(shares):.6g}."


def _check_depth(whole: Configuration) -> Problems:
    depth, evaluation = whole.search.depth, whole.evaluation
    for key, wanted in (("k", max(evaluation.k)), ("answers_drawn", evaluation.answers_drawn)):
        if depth is not None and wanted > depth:
            yield (
                ("evaluation", key),
                f"{wanted} is more than the {depth} answers kept for a query. "
                f"Raise search.depth to {wanted}, or ask for fewer.",
            )


def _check_decided_by(whole: Configuration) -> Problems:
    evaluation = whole.evaluation
    known = [*map(top, sorted(evaluation.k)), *evaluation.metrics]
    if evaluation.decided_by not in known:
        yield (
            ("evaluation", "decided_by"),
            f"{evaluation.decided_by!r} is not measured. Measured: {', '.join(known)}.",
        )


def _check_image_sizes(whole: Configuration) -> Problems:
    for name, settings in whole.experiments.items():
        path = ("experiments", name, "image_size")
        if isinstance(settings, Scratch) and settings.padding == "valid":
            if settings.image_size < UNPADDED_SIDE:
                yield (
                    path,
                    f"found {settings.image_size}. Without padding the convolutions need at least "
                    f"{UNPADDED_SIDE} pixels a side: raise it, or write padding: same.",
                )
        elif isinstance(settings, Transfer) and settings.image_size is not None:
            backbone = BACKBONES.get(getattr(settings, "backbone", ""))  # where it is right
            if backbone and settings.image_size < backbone.min_image_size:
                yield (
                    path,
                    f"{settings.image_size} pixels a side are too few for {backbone.name}, which "
                    f"needs {backbone.min_image_size}. It was made for {backbone.image_size}.",
                )


def _check_reductions(whole: Configuration) -> Problems:
    for name, settings in whole.experiments.items():
        reduction = settings.reduction if isinstance(settings, RankedByVectors) else None
        if reduction is None:
            continue
        path = ("experiments", name, "reduction", "dimensions")
        keeps_all = reduction.method in ("standardise", "domain_centring")
        if keeps_all and reduction.dimensions is not None:
            yield (
                path,
                f"{reduction.method} keeps all numbers: leave dimensions out, or take "
                "pca_whitening.",
            )
        if not keeps_all and reduction.dimensions is None:
            yield path, f"missing. {reduction.method} needs to know how many numbers are left."


def _check_fusions(whole: Configuration) -> Problems:
    experiments = whole.experiments
    fusions = {name for name, each in experiments.items() if isinstance(each, Combined)}
    for name, settings in experiments.items():
        for number, member in enumerate(settings.of if isinstance(settings, Combined) else ()):
            path = ("experiments", name, "of", number)
            if member not in experiments:
                choices = did_you_mean(
                    member, [each for each in experiments if each not in fusions]
                )
                yield path, f"no experiment is called {member}. {choices}"
            elif member in fusions:
                yield path, f"{member} is a fusion itself. Name the experiments that it is made of."


def _check_descriptors(whole: Configuration) -> Problems:
    for name, settings in whole.experiments.items():
        if isinstance(settings, LocalBinaryPatterns):
            if settings.pattern == "ror" and settings.points > 16:
                problem = "too many for pattern: ror, which takes 16 at most."
                yield ("experiments", name, "points"), f"{settings.points} are {problem}"
        elif isinstance(settings, Hog) and settings.block > settings.cells:
            problem = f"is more than the {settings.cells} cells that a picture is divided into."
            yield ("experiments", name, "block"), f"{settings.block} {problem}"


def _check_searches(whole: Configuration) -> Problems:
    depth = whole.search.depth
    for name, settings in whole.experiments.items():
        if not isinstance(settings, RankedByVectors):
            continue
        search, verification = settings.search, settings.geometric_verification
        path = ("experiments", name)
        mixing = [key for key in _MIXING if getattr(search, key) is not None]
        if settings.k_reciprocal and mixing:
            yield (
                (*path, "k_reciprocal"),
                f"ranks by the vectors themselves, so that search.{mixing[0]} would do nothing. "
                "Keep one of the two.",
            )
        for key in ("nprobe", "ef_search"):
            if getattr(search, key) is not None and search.index is None:
                yield (*path, "search", key), "belongs to an index. Give search.index too."
        if depth is not None and verification and verification.first > depth:
            yield (
                (*path, "geometric_verification", "first"),
                f"{verification.first} is more than the {depth} answers kept for a query. "
                "Raise search.depth, or verify fewer.",
            )


_MIXING = ("index", "database_augmentation", "query_expansion")


def _check_challenge(whole: Configuration) -> Problems:
    challenge, path = whole.challenge, ("challenge",)
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
        yield (
            ("experiments", name),
            "the grades of a challenge have a ranker of this name: rename it.",
        )
    if re.match(r"https?://[^/?#]*@", challenge.submit_to or ""):
        problem = (
            "has a user or a password in it. This is no place for them: put them into ~/.netrc."
        )
        yield (*path, "submit_to"), problem
    depth = whole.search.depth
    if depth is not None and challenge.k > depth:
        yield (*path, "k"), f"{challenge.k} is more than the {depth} answers kept for a query."


def _check_views(whole: Configuration) -> Problems:
    for name, settings in whole.experiments.items():
        if isinstance(settings, Scratch | Transfer) and settings.views is not None:
            size = settings.image_size
            if size is None and isinstance(settings, Transfer):  # as it is filled in at the end
                size = BACKBONES[settings.backbone].image_size
            try:
                refuse({**settings.model_dump(), "image_size": size})
            except ViewsRefused as error:
                place, problem = str(error).split(": ", 1)
                yield ("experiments", name, *place.split(".")), problem


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
    experiments = {name: each.model_dump() for name, each in whole.experiments.items()}
    for number, name in enumerate(whole.registry.experiments):
        path = ("registry", "experiments", number)
        if name == "best":
            if not any(map(is_searchable, experiments.values())):
                yield path, "none of the experiments can rank a single picture: register none."
        elif name not in experiments:
            yield path, f"no experiment is called {name}. {did_you_mean(name, experiments)}"
        elif reason := refusal(name, experiments[name]):
            yield path, f"{reason}. A model has only the picture that it is given."


_EXPERIMENTS: KeyPath = ("experiments",)
_SPLIT, _LAYOUT = ("dataset", "split"), ("dataset", "layout")
_SOURCES = [("dataset", source) for source in SOURCES]
CHECKS: list[tuple[list[KeyPath], Callable[[Configuration], Problems]]] = [
    ([*_SOURCES, _LAYOUT], _check_source),
    ([("dataset", "embedded")], _check_embedded),
    ([("dataset", "folder"), _LAYOUT], _check_folder),
    ([_SPLIT, _LAYOUT], _check_split),
    ([("search",), ("evaluation", "k"), ("evaluation", "answers_drawn")], _check_depth),
    ([("evaluation", key) for key in ("k", "metrics", "decided_by")], _check_decided_by),
    ([], _check_image_sizes),  # of the experiments that are right so far
    ([_EXPERIMENTS], _check_reductions),
    ([("challenge",), ("search",)], _check_challenge),
    ([_EXPERIMENTS], _check_views),
    ([("tracking", "uri")], _check_tracking),
    ([_EXPERIMENTS], _check_fusions),
    ([_EXPERIMENTS], _check_descriptors),
    ([_EXPERIMENTS, ("search",)], _check_searches),
    ([_EXPERIMENTS, ("registry",)], _check_registry),
]
"""Each check with the keys that it reads: it is left out where one of these is wrong."""
