# Stage 11: is a relevant picture among the first k answers?
#
# It draws the curves of a network's training and the map of the vectors, too. What follows two
# underscores in a rule's name says that there is one.

DRAWN = {
    "network": {
        "training": reported(
            "evaluation/{experiment}/training_curves.png",
            "curves",
            figure="training curves",
        )
    },
    "map": {"map": reported("evaluation/{experiment}/map.png", "map", figure="map of the vectors")},
}
DRAWING = {"network": "figures.training_curves", "map": "figures.feature_map"}
VECTORS = {"gallery_vectors": searched("gallery"), "query_vectors": searched(PLAN.query_part)}
# What pictures without classes have none of.
BY_CLASS = {
    "classes": reported(
        "evaluation/{experiment}/classes.csv", "classes", figure="hit rate by class"
    ),
    "bars": reported(
        "evaluation/{experiment}/classes.png", "class_bars", figure="hit rate by class, drawn"
    ),
    "confusion": reported(
        "evaluation/{experiment}/confusion.png",
        "confusion",
        figure="confusion of the first answer",
    ),
}
BY_CLASS = BY_CLASS if PLAN.labelled else {}
BY_DOMAIN = {
    "domains": reported(
        "evaluation/{experiment}/domains.csv", "domains", figure="metrics by domain"
    )
}
BY_DOMAIN = BY_DOMAIN if PLAN.domains else {}

ABSTAINING = CONFIG.evaluation.abstaining is not None
RISK_COVERAGE = {
    "risk_coverage": results("evaluation/{experiment}/risk_coverage.csv"),
    "risk": reported(
        "evaluation/{experiment}/risk_coverage.png",
        "risk_coverage",
        figure="risk against coverage",
    ),
}

for suffix, names in PLAN.evaluations.items():
    drawn = suffix.split("__")[1:]

    rule:
        name:
            f"evaluate_retrieval{suffix}"
        input:
            **(VECTORS if "map" in drawn else {}),
            ranking=of_experiment(PLAN.ranking),
            gallery=manifest("gallery"),
            query=manifest(PLAN.query_part),
            truth=PLAN.truth,
            domains=PLAN.domains,
            validation=of_experiment(PLAN.validation),
            history=of_experiment(PLAN.training_history),
            pictures=of_experiment(PLAN.explanations),
            records=of_experiment(PLAN.upstream_records),
        output:
            **{name: file for each in drawn for name, file in DRAWN[each].items()},
            **BY_CLASS,
            **BY_DOMAIN,
            **(RISK_COVERAGE if ABSTAINING else {}),
            metrics=results("evaluation/{experiment}/metrics.json"),
            answers=results("evaluation/{experiment}/answers.csv"),
            queries=results("evaluation/{experiment}/queries.csv"),
            curves=results("evaluation/{experiment}/curves.csv"),
            best=reported("evaluation/{experiment}/best.png", "best", figure="best queries"),
            median=reported("evaluation/{experiment}/median.png", "median", figure="median queries"),
            worst=reported("evaluation/{experiment}/worst.png", "worst", figure="worst queries"),
            chosen=reported("evaluation/{experiment}/chosen.png", "chosen", figure="chosen queries"),
            row=results("evaluation/{experiment}/experiment.record.json"),
            record=results("evaluation/{experiment}/evaluation.record.json"),
        log:
            logs("evaluate_retrieval/{experiment}.log"),
        benchmark:
            benchmarks("evaluate_retrieval/{experiment}.tsv")
        wildcard_constraints:
            experiment=one_of(names),
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("evaluate_retrieval"),
        params:
            **(
                {"abstaining": of_experiment(lambda name: canonical_json(PLAN.abstaining(name)))}
                if ABSTAINING
                else {}
            ),
            code=code_of(
                "evaluate_retrieval",
                drawing=[
                    *(DRAWING[each] for each in drawn),
                    *(["figures.risk_coverage"] if ABSTAINING else []),
                ],
            ),
            k=canonical_json(CONFIG.evaluation.k),
            metrics=canonical_json(CONFIG.evaluation.metrics),
            depth=CONFIG.search.depth,
            asking=canonical_json(CONFIG.evaluation.asking),
            confidence=CONFIG.evaluation.confidence,
            bootstrap_rounds=CONFIG.evaluation.bootstrap_rounds,
            seed=CONFIG.evaluation.seed,
            # So that the hit rate among fewer distractors follows from this one ranking.
            by_distance=of_experiment(lambda name: PLAN.experiments[name].ranked_by_distance),
            answers_drawn=CONFIG.evaluation.answers_drawn,
            queries_drawn=as_is(canonical_json(CONFIG.evaluation.queries_drawn)),
            strips_drawn=CONFIG.evaluation.strips_drawn,
            reading=READING,
        script:
            "../scripts/evaluate_retrieval.py"
