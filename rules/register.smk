# Stage 14, only where it is asked for: experiments as models that MLflow can serve.
from gallerist.searchability import describing_files, is_searchable


def registered_experiments():
    """The experiments of which models are made, or may be: of all that can, one is the best."""
    asked = REGISTERED
    if "best" not in asked:
        return asked
    searchable = [name for name, settings in EXPERIMENTS.items() if is_searchable(settings)]
    return list(dict.fromkeys([*searchable, *(set(asked) - {"best"})]))


def model_files():
    """What their models are made of."""
    files = [
        name
        for experiment in registered_experiments()
        for name in describing_files(experiment, EXPERIMENTS)
    ]
    return [results(name) for name in dict.fromkeys(files)]


REGISTERED = config["registry"]["experiments"] or ["best"]


rule register_models:
    """Register experiments in MLflow, and move the alias champion to what is really better."""
    input:
        metrics=expand(
            results("evaluation/{experiment}/metrics.json"), experiment=registered_experiments()
        ),
        queries=expand(
            results("evaluation/{experiment}/queries.csv"), experiment=registered_experiments()
        ),
        rows=expand(
            results("evaluation/{experiment}/experiment.record.json"),
            experiment=registered_experiments(),
        ),
        gallery=manifest("gallery"),
        query=manifest("query"),
        files=model_files(),
        code=library("register_models"),
        # The code that becomes part of a model.
        answering=library("gallerist/searchable_pyfunc"),
    output:
        registered=results("registry/registered.json"),
        record=results("registry/registered.record.json"),
    log:
        logs("register_models.log"),
    benchmark:
        benchmarks("register_models.tsv")
    conda:
        "../envs/gallerist.yaml"
    params:
        experiments=canonical_json(REGISTERED),
        results=RESULTS,
        decided_by=config["evaluation"]["decided_by"],
        confidence=config["evaluation"]["confidence"],
        bootstrap_rounds=config["evaluation"]["bootstrap_rounds"],
        seed=config["evaluation"]["seed"],
        # Where it is changed, the models are to be in the other store.
        store=config["tracking"]["uri"] or "",
    script:
        "../scripts/register_models.py"


def registered_models():
    """What a run registers; nothing, unless the configuration says so."""
    return rules.register_models.output if config["registry"]["experiments"] else []
