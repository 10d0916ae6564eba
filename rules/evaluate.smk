# Stage 9: is a right picture among the first k answers?


rule evaluate_retrieval:
    """Judge one experiment's ranking, draw its answers, and log its row of the comparison."""
    input:
        ranking=results("rankings/{experiment}.csv"),
        gallery=manifest("gallery"),
        query=manifest("query"),
        curves=results("models/{experiment}/curves.png"),
        history=results("models/{experiment}/history.csv"),
        records=upstream_records,
        code=library("evaluate_retrieval"),
    output:
        metrics=results("evaluation/{experiment}/metrics.json"),
        answers=results("evaluation/{experiment}/answers.csv"),
        queries=results("evaluation/{experiment}/queries.csv"),
        classes=report(
            results("evaluation/{experiment}/classes.csv"),
            caption="../report/classes.rst",
            category="Retrieval",
            labels={"experiment": "{experiment}", "figure": "hit rate by class"},
        ),
        worst=report(
            results("evaluation/{experiment}/worst.png"),
            caption="../report/worst.rst",
            category="Retrieval",
            labels={"experiment": "{experiment}", "figure": "worst queries"},
        ),
        chosen=report(
            results("evaluation/{experiment}/chosen.png"),
            caption="../report/chosen.rst",
            category="Retrieval",
            labels={"experiment": "{experiment}", "figure": "chosen queries"},
        ),
        confusion=report(
            results("evaluation/{experiment}/confusion.png"),
            caption="../report/confusion.rst",
            category="Retrieval",
            labels={"experiment": "{experiment}", "figure": "confusion of the first answer"},
        ),
        row=results("evaluation/{experiment}/experiment.record.json"),
        record=results("evaluation/{experiment}/evaluation.record.json"),
    log:
        logs("evaluate_retrieval/{experiment}.log"),
    benchmark:
        benchmarks("evaluate_retrieval/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    params:
        k=canonical_json(config["evaluation"]["k"]),
        answers_drawn=config["evaluation"]["answers_drawn"],
        queries_drawn=canonical_json(config["evaluation"]["queries_drawn"]),
        worst_drawn=config["evaluation"]["worst_drawn"],
    script:
        "../scripts/evaluate_retrieval.py"
