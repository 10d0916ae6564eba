"""MLflow's model registry: an experiment becomes a version, the best one has the alias champion.

One registered model a data set, under its name. A version is an experiment as `package`
packs it; its source is the experiment's row in the comparison. What is equal is registered once.
This talks to MLflow in its own process: it is for a command, not for a stage.
"""

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.tables import read_queries
from gallerist.io.files import PathLike, canonical_json, read_json
from gallerist.records.record import stages_of
from gallerist.serving.champion import Candidate, Decision, decide
from gallerist.serving.package import GALLERY, PER_QUERY, Packed, experiment_record, pack, save
from gallerist.settings.evaluation import Evaluation
from gallerist.tracking.client import Client, connect, experiment_id, first_line, runs
from gallerist.tracking.runs import log_record
from gallerist.tracking.store import (
    TrackingError,
    artifact_root_of,
    exclusive,
    prepare,
    resolve_uri,
)
from gallerist.workflow.experiments import (
    NotSearchable,
    check_searchable,
    refusal,
    require_experiment,
)
from gallerist.workflow.results import Results

CHAMPION = "champion"
BEST = "best"

_UPLOAD_LIMIT = 600
"""Seconds in which a server takes one file of a model."""

_WRITER_LIMIT = 60.0
"""Seconds that another process may take to bring the runs up to date."""


@dataclass(frozen=True)
class Registered:
    """What became of one experiment.

    name, version: of the registered model. new: whether this call made the version.
    champion: whether it has the alias now. reason: of that, in a sentence. digest: see `Packed`.
    """

    experiment: str
    name: str
    version: str
    new: bool
    champion: bool
    reason: str
    digest: str


def register(
    config: Mapping[str, Any],
    experiments: Sequence[str] = (BEST,),
    *,
    root: PathLike = "results",
    as_champion: bool = False,
) -> list[Registered]:
    """Register experiments of a finished workflow, one after the other.

    config: complete. experiments: names, or BEST for the one that is best.
    root: the folder of all results. as_champion: let each be champion without a test.
    Raises NotSearchable, TrackingError, and UserError, also for an experiment that the
    configuration does not have.
    """
    results = Results.of(dict(config), root)
    chosen = [best(results, config) if name == BEST else name for name in experiments]
    for name in chosen:
        require_experiment(name, config["experiments"])
        check_searchable(name, config["experiments"][name])
    uri = resolve_uri(config["tracking"]["uri"], root)
    client = connect(uri, request_timeout=_UPLOAD_LIMIT)
    from mlflow.exceptions import MlflowException

    try:
        dataset = config["dataset"]["name"]
        prepare(uri, artifact_root_of(uri, root), [dataset, stages_of(dataset)])
        return [_register(client, results, config, name, as_champion) for name in chosen]
    except MlflowException as error:
        raise TrackingError(f"MLflow refuses the model: {first_line(error)}") from error


def best(results: Results, config: Mapping[str, Any]) -> str:
    """The experiment with the highest mean of the deciding metric, of those that can be registered.

    Several seeds of one experiment have one mean, and are stood for by the first in the
    configuration: the one that does best on the queries would be chosen by their chance. The first
    in the configuration, of equal ones. Raises NotSearchable when none can be registered.
    """
    metric = config["evaluation"]["decided_by"]
    refusals = {name: refusal(name, each) for name, each in config["experiments"].items()}
    reached: dict[str, dict[str, float]] = {}
    for name in (name for name, reason in refusals.items() if reason is None):
        found = read_json(results.path(f"evaluation/{name}/metrics.json"))["metrics"]
        if metric in found:
            settings = config["experiments"][name]
            alike = canonical_json({key: settings[key] for key in settings if key != "seed"})
            alike = alike if "seed" in settings else name
            reached.setdefault(alike, {})[name] = found[metric]["mean"]
    if not reached:
        reasons = "; ".join(filter(None, refusals.values()))
        raise NotSearchable(reasons or f"no experiment was evaluated by {metric}")
    best_mean = max(map(fmean, (seeds.values() for seeds in reached.values())))
    return next(
        next(iter(seeds)) for seeds in reached.values() if fmean(seeds.values()) == best_mean
    )


def _register(
    client: Client, results: Results, config: Mapping[str, Any], experiment: str, as_champion: bool
) -> Registered:
    model = str(config["dataset"]["name"])
    run_id = _source_run(client, results, config, experiment)
    _ensure_model(client, model)
    with TemporaryDirectory(prefix="gallerist-") as folder:
        packed = pack(results, config, experiment, Path(folder) / "packed")
        known = _version_of(client, model, packed.digest)
        version = known or _new_version(client, model, packed, run_id, Path(folder) / "model")
    found = _promote(client, model, version, config, as_champion=as_champion)
    for name, value in {"gallerist.reason": found.reason, "gallerist.run": run_id}.items():
        client.set_model_version_tag(model, version.version, name, value)
    return Registered(
        experiment,
        model,
        str(version.version),
        known is None,
        found.moves,
        found.reason,
        packed.digest,
    )


def _source_run(
    client: Client, results: Results, config: Mapping[str, Any], experiment: str
) -> str:
    record = experiment_record(results, experiment)
    with exclusive(results.folder, _WRITER_LIMIT):  # the workflow's writer may be about to log it
        log_record(client, record)
    question = f"tags.`gallerist.execution` = '{record.execution}'"
    identity = experiment_id(client, record.mlflow_experiment)
    for run in runs(client, [identity], question):
        return str(run.info.run_id)
    raise TrackingError(
        f"MLflow does not show the run of {experiment} in {config['dataset']['name']}: it was "
        "deleted there, or could not be logged. Evaluate the experiment again"
    )


def _ensure_model(client: Client, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            model,
            description=f"Galleries of {model} that answer with their nearest pictures. "
            "The alias champion is the experiment that no other is really better than.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version_of(client: Client, model: str, digest: str) -> Any:
    """The version that is this very artifact, or None. One that never became ready is not."""
    equal = f"name = '{model}' and tags.`gallerist.digest` = '{digest}'"
    found = client.search_model_versions(equal)
    return next((version for version in found if version.status == "READY"), None)


def _new_version(client: Client, model: str, packed: Packed, run_id: str, path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's advice about type hints
        save(packed, path)
    run = client.get_run(run_id)
    tags = _tags(packed)
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=packed.facts["experiment"],
        source_run_id=run_id,
        tags=tags,
        model_type="gallerist",
    )
    try:
        client.log_model_artifacts(logged.model_id, os.fspath(path))
        client.finalize_logged_model(logged.model_id, "READY")
    except Exception:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    version = client.create_model_version(
        model,
        source=logged.artifact_location,  # MLflow would look for its own name in another store
        run_id=run_id,
        tags={**tags, "gallerist.logged_model": logged.model_id},
        description=f"{packed.facts['experiment']} on {packed.facts['gallery_images']} pictures",
    )
    # By which the page of the model leads to its versions.
    link = json.dumps([{"name": model, "version": version.version}])
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
    return version


def _tags(packed: Packed) -> dict[str, str]:
    kept = ("dataset", "experiment", "gallery_digest", "query_digest", "weights")
    return {
        "gallerist.digest": packed.digest,
        **{f"gallerist.{name}": str(packed.facts[name]) for name in kept},
        **{f"licence.{what}": text for what, text in packed.facts["licences"].items()},
    }


def _promote(
    client: Client, model: str, version: Any, config: Mapping[str, Any], *, as_champion: bool
) -> Decision:
    """Move the alias to a version if it is due. moves: whether the version has the alias now."""
    champion = _champion(client, model)
    if champion is not None and champion.version == version.version:
        return Decision(True, f"{_title(version)} is champion already")
    if as_champion:
        found = Decision(True, f"{_title(version)} is champion as asked, without a test")
    else:
        evaluation = Evaluation(**config["evaluation"])
        settings = IntervalSettings(
            evaluation.seed, evaluation.bootstrap_rounds, evaluation.confidence
        )
        challenger = _candidate(client, version)
        present = None if champion is None else _candidate(client, champion)
        found = decide(challenger, present, evaluation.decided_by, settings)
    if found.moves:
        client.set_registered_model_alias(model, CHAMPION, version.version)
    return found


def _champion(client: Client, model: str) -> Any:
    aliases = client.get_registered_model(model).aliases
    if CHAMPION not in aliases:
        return None
    return client.get_model_version(model, str(aliases[CHAMPION]))


def _candidate(client: Client, version: Any) -> Candidate:
    """A version as it was evaluated when it was registered, whatever the results hold now."""
    from mlflow.artifacts import download_artifacts

    with TemporaryDirectory(prefix="gallerist-") as folder:
        place = client.get_model_version_download_uri(version.name, version.version)
        queries = download_artifacts(
            artifact_uri=f"{place}/{GALLERY}/{PER_QUERY}",
            dst_path=folder,
            tracking_uri=client.tracking_uri,
        )
        values = read_queries(queries)
    tags = version.tags
    return Candidate(
        _title(version), tags["gallerist.gallery_digest"], tags["gallerist.query_digest"], values
    )


def _title(version: Any) -> str:
    return f"{version.tags['gallerist.experiment']} (version {version.version})"


if __name__ == "__main__":  # for the stage, in which MLflow is not loaded
    asked = json.load(sys.stdin)
    try:
        found = register(**asked)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps([asdict(each) for each in found]))
