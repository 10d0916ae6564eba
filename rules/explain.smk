# Stage 11, in pictures: where vectors lie, and which regions made two pictures match.
#
# One job an experiment. What follows two underscores in a rule's name says what it draws.

EXPLAINING = {
    "map": reported("evaluation/{experiment}/map.png", "map", figure="map of the vectors"),
    "similarity": reported(
        "evaluation/{experiment}/similarity.png",
        "similarity",
        figure="what made two pictures match",
    ),
}
VECTORS = {"gallery_vectors": searched("gallery"), "query_vectors": searched(PLAN.query_part)}
NETWORK = {
    "model": results("models/{experiment}/model.keras"),
    "exported": multiext(results("models/{experiment}/model"), *EXPORTED),
    "training": results("models/{experiment}/training.record.json"),
    "preprocessing": results("models/{experiment}/preprocessing.json"),
}
SIMILARITY = {
    "compute": canonical_json(PLAN.computing),
    "strips_drawn": CONFIG.evaluation.strips_drawn,
}
DRAWING = {"map": "figures.feature_map", "similarity": "figures.similarity"}

for drawn in sorted({PLAN.explained_by(name) for name in EXPERIMENTS} - {()}):
    suffix = "".join(f"__{name}" for name in drawn)

    rule:
        name:
            f"explain_experiment{suffix}"
        input:
            **(VECTORS if "map" in drawn else {}),
            **(NETWORK if "similarity" in drawn else {}),
            **({"truth": PLAN.truth} if "map" in drawn else {}),
            ranking=of_experiment(PLAN.ranking),
            gallery=manifest("gallery"),
            query=manifest(PLAN.query_part),
        output:
            **{name: EXPLAINING[name] for name in drawn},
            record=results("evaluation/{experiment}/explanations.record.json"),
        log:
            logs("explain_experiment/{experiment}.log"),
        benchmark:
            benchmarks("explain_experiment/{experiment}.tsv")
        wildcard_constraints:
            experiment=one_of([name for name in EXPERIMENTS if PLAN.explained_by(name) == drawn]),
        conda:
            "../envs/gallerist.yaml"
        threads: processors(2) if "similarity" in drawn else 1
        resources:
            **needs.of("explain_experiment") | ({} if "similarity" in drawn else {"gpu": 0}),
        params:
            **({"seed": CONFIG.evaluation.seed} if "map" in drawn else {}),
            **(SIMILARITY if "similarity" in drawn else {}),
            code=code_of("explain_experiment", drawing=[DRAWING[name] for name in drawn]),
        script:
            "../scripts/explain_experiment.py"
