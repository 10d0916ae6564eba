"""What a configuration may not say though every key is right by itself."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gallerist.config.messages import closest
from gallerist.config.schema import KeyPath, yaml_scalar
from gallerist.features.views import ViewsRefused, refuse
from gallerist.networks.backbones import BACKBONES, Backbone
from gallerist.tracking.store import PASSWORD, USERNAME, holds_password
from gallerist.workflow.experiments import is_searchable, refusal

Config = dict[str, Any]
Problems = Iterator[tuple[KeyPath, str]]

SOURCES = ("embedded", "folder", "archive")
SHARES = ("validation", "training", "gallery", "query")
TREE = ("training", "validation/gallery", "validation/query")
EMBEDDED_PER_CLASS = 580
"""Pictures of the scarcest class that differ enough from all others (silhouettes.draw_tree)."""


def _check_source(whole: Config, _: Mapping[str, Any]) -> Problems:
    dataset = whole["dataset"]
    given = [source for source in SOURCES if dataset.get(source) is not None]
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
    if given == ["embedded"] and dataset["layout"] != "tree":
        yield ("dataset", "layout"), "the embedded pictures come as a tree: leave layout out."


def _check_embedded(whole: Config, _: Mapping[str, Any]) -> Problems:
    embedded = whole["dataset"].get("embedded")
    if embedded is None:
        return
    counts = [embedded[f"{part}_per_class"] for part in ("training", "gallery", "query")]
    if sum(counts) > EMBEDDED_PER_CLASS:
        yield (
            ("dataset", "embedded"),
            f"{' + '.join(map(str, counts))} = {sum(counts)} pictures a class (training, gallery, "
            f"query), but only {EMBEDDED_PER_CLASS} differ enough from each other.",
        )


def _check_folder(whole: Config, _: Mapping[str, Any]) -> Problems:
    folder, layout = whole["dataset"].get("folder"), whole["dataset"]["layout"]
    if folder is None:
        return
    path = ("dataset", "folder")
    if layout == "tree":
        missing = [each for each in TREE if not (Path(folder) / each).is_dir()]
        if missing:
            yield (
                path,
                f"{folder!r} lacks {', '.join(f'{each}/' for each in missing)}, which layout: tree "
                "needs. If it holds one folder a class, write layout: classes.",
            )
    elif not _has_folders(Path(folder)):
        yield path, f"{folder!r} holds no folders, but layout: classes needs one folder a class."


def _has_folders(folder: Path) -> bool:
    try:
        return any(each.is_dir() and not each.name.startswith(".") for each in folder.iterdir())
    except OSError:
        return False


def _check_split(whole: Config, config: Mapping[str, Any]) -> Problems:
    path = ("dataset", "split")
    split = whole["dataset"]["split"]
    if whole["dataset"]["layout"] == "tree":
        for share in SHARES[1:]:
            if share in split:
                yield (
                    (*path, share),
                    "layout: tree has its own folder for this part: remove the key. "
                    "Only validation is split, from training.",
                )
        return
    given = config["dataset"].get("split", {})
    missing = [share for share in SHARES if share not in given]
    if missing:
        yield path, f"layout: classes needs a share for {', '.join(missing)} too."
        return
    shares = [split[share] for share in SHARES]
    if not math.isclose(sum(shares), 1, abs_tol=1e-9):
        sum_ = " + ".join(map(yaml_scalar, shares))
        yield path, f"{', '.join(SHARES)} must add up to 1, but {sum_} = {sum(shares):.6g}."


def _check_depth(whole: Config, _: Mapping[str, Any]) -> Problems:
    depth, evaluation = whole["search"]["depth"], whole["evaluation"]
    if depth is None:
        return
    for key, wanted in (
        ("k", max(evaluation["k"])),
        ("answers_drawn", evaluation["answers_drawn"]),
    ):
        if wanted > depth:
            yield (
                ("evaluation", key),
                f"{wanted} is more than the {depth} answers kept for a query. "
                f"Raise search.depth to {wanted}, or ask for fewer.",
            )


def _check_decided_by(whole: Config, _: Mapping[str, Any]) -> Problems:
    evaluation = whole["evaluation"]
    known = [*(f"top-{k}" for k in sorted(evaluation["k"])), *evaluation["metrics"]]
    if evaluation["decided_by"] not in known:
        yield (
            ("evaluation", "decided_by"),
            f"{evaluation['decided_by']!r} is not measured. Measured: {', '.join(known)}.",
        )


def _check_image_sizes(whole: Config, _: Mapping[str, Any]) -> Problems:
    for name, settings, backbone in backbones_of(whole):
        size, least = settings.get("image_size"), backbone.min_image_size
        if isinstance(size, int) and size < least:
            yield (
                ("experiments", name, "image_size"),
                f"{size} pixels a side are too few for {backbone.name}, which needs {least}. "
                f"It was made for {backbone.image_size}.",
            )


def _check_reductions(whole: Config, _: Mapping[str, Any]) -> Problems:
    for name, settings in _experiments(whole):
        reduction = settings.get("reduction")
        if not isinstance(reduction, dict) or "method" not in reduction:
            continue
        path, whole_length = (
            ("experiments", name, "reduction", "dimensions"),
            reduction["method"] in ("standardise", "domain_centring"),
        )
        if whole_length and reduction.get("dimensions") is not None:
            yield (
                path,
                f"{reduction['method']} keeps all numbers: leave dimensions out, or take "
                "pca_whitening.",
            )
        if not whole_length and reduction.get("dimensions") is None:
            yield path, f"missing. {reduction['method']} needs to know how many numbers are left."


def _check_fusions(whole: Config, _: Mapping[str, Any]) -> Problems:
    experiments = dict(_experiments(whole))
    for name, settings in experiments.items():
        members = settings.get("of")
        for number, member in enumerate(members if isinstance(members, list) else ()):
            path = ("experiments", name, "of", number)
            if member not in experiments:
                known = [each for each in experiments if "fusion" not in experiments[each]]
                match = closest(str(member), known)
                meant = f"Did you mean {match}? " if match else ""
                yield path, f"no experiment is called {member}. {meant}Known: {', '.join(known)}."
            elif "fusion" in experiments[member]:
                yield path, f"{member} is a fusion itself. Name the experiments that it is made of."


def _check_descriptors(whole: Config, _: Mapping[str, Any]) -> Problems:
    for name, settings in _experiments(whole):
        if settings.get("pattern") == "ror" and settings.get("points", 0) > 16:
            problem = "too many for pattern: ror, which takes 16 at most."
            yield ("experiments", name, "points"), f"{settings['points']} are {problem}"
        if settings.get("descriptor") == "hog" and settings["block"] > settings["cells"]:
            problem = f"is more than the {settings['cells']} cells that a picture is divided into."
            yield ("experiments", name, "block"), f"{settings['block']} {problem}"


def _check_searches(whole: Config, _: Mapping[str, Any]) -> Problems:
    depth = whole["search"]["depth"]
    for name, settings in _experiments(whole):
        search, verification = settings.get("search"), settings.get("geometric_verification")
        if not isinstance(search, dict):
            continue
        path = ("experiments", name)
        mixing = [key for key in _MIXING if search.get(key) is not None]
        if settings.get("k_reciprocal") and mixing:
            yield (
                (*path, "k_reciprocal"),
                f"ranks by the vectors themselves, so that search.{mixing[0]} would do nothing. "
                "Keep one of the two.",
            )
        for knob in ("nprobe", "ef_search"):
            if search.get(knob) is not None and search.get("index") is None:
                yield (*path, "search", knob), "belongs to an index. Give search.index too."
        if depth is not None and verification and verification["first"] > depth:
            yield (
                (*path, "geometric_verification", "first"),
                f"{verification['first']} is more than the {depth} answers kept for a query. "
                "Raise search.depth, or verify fewer.",
            )


def _check_challenge(whole: Config, _: Mapping[str, Any]) -> Problems:
    challenge, path = whole.get("challenge"), ("challenge",)
    if challenge is None:
        return
    folder = challenge["folder"]
    if (folder is None) == (challenge["embedded"] is None):
        yield path, "give one source of pictures: folder, or embedded ({} for its defaults)."
    elif folder is not None:
        missing = [each for each in ("gallery", "query") if not (Path(folder) / each).is_dir()]
        if missing:
            lacks = ", ".join(f"{each}/" for each in missing)
            yield (*path, "folder"), f"{folder!r} lacks {lacks}."
    elif challenge["truth"] is not None:
        yield (*path, "truth"), "the embedded challenge has its own: leave the key out."
    for name in sorted({"random", "chance"} & dict(_experiments(whole)).keys()):
        yield (
            ("experiments", name),
            "the grades of a challenge have a ranker of this name: rename it.",
        )
    if re.match(r"https?://[^/?#]*@", challenge["submit_to"] or ""):
        said = "has a user or a password in it. This is no place for them: put them into ~/.netrc."
        yield (*path, "submit_to"), said
    depth = whole["search"]["depth"]
    if depth is not None and challenge["k"] > depth:
        yield (*path, "k"), f"{challenge['k']} is more than the {depth} answers kept for a query."


def _check_views(whole: Config, _: Mapping[str, Any]) -> Problems:
    for name, settings in _experiments(whole):
        if isinstance(settings.get("views"), dict):
            size = settings["image_size"]
            if size is None:  # as it is filled in when all is right
                size = BACKBONES[settings["backbone"]].image_size
            try:
                refuse({**settings, "image_size": size})
            except ViewsRefused as error:
                place, said = str(error).split(": ", 1)
                yield ("experiments", name, *place.split(".")), said


def _check_tracking(whole: Config, _: Mapping[str, Any]) -> Problems:
    uri = whole["tracking"]["uri"]
    if uri is not None and holds_password(uri):
        yield (
            ("tracking", "uri"),
            "holds a password, and configurations are shared and copied into reports. Put it into "
            f"{USERNAME} and {PASSWORD}, or the whole address into MLFLOW_TRACKING_URI "
            "(docs/team-server.md).",
        )


_MIXING = ("index", "database_augmentation", "query_expansion")


def _experiments(whole: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each experiment whose settings are a group: its name and settings."""
    experiments = whole.get("experiments") if isinstance(whole, dict) else None
    for name, settings in experiments.items() if isinstance(experiments, dict) else ():
        if isinstance(settings, dict):
            yield name, settings


def backbones_of(whole: Config) -> Iterator[tuple[str, dict[str, Any], Backbone]]:
    """Each experiment that names a backbone: its name, settings and backbone."""
    for name, settings in _experiments(whole):
        named = settings.get("backbone")
        if isinstance(named, str) and named in BACKBONES:
            yield name, settings, BACKBONES[named]


def _check_registry(whole: Config, _: Mapping[str, Any]) -> Problems:
    experiments = whole["experiments"]
    for number, name in enumerate(whole["registry"]["experiments"]):
        path = ("registry", "experiments", number)
        if name == "best":
            if not any(map(is_searchable, experiments.values())):
                yield path, "none of the experiments can rank a single picture: register none."
        elif name not in experiments:
            match = closest(name, experiments)
            meant = f"Did you mean {match}? " if match else ""
            yield path, f"no experiment is called {name}. {meant}Known: {', '.join(experiments)}."
        elif reason := refusal(name, experiments[name]):
            yield path, f"{reason}. A model has only the picture that it is given."


_EXPERIMENTS: KeyPath = ("experiments",)
_DATASET, _SPLIT = ("dataset",), ("dataset", "split")
_SOURCES = [("dataset", source) for source in SOURCES]
_LAYOUT = ("dataset", "layout")
CHECKS: list[tuple[list[KeyPath], Callable[[Config, Mapping[str, Any]], Problems]]] = [
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
