# Stage 12: all experiments side by side.


rule compare_experiments:
    """One table and one picture of all experiments."""
    input:
        metrics=expand(results("evaluation/{experiment}/metrics.json"), experiment=EXPERIMENTS),
        queries=expand(results("evaluation/{experiment}/queries.csv"), experiment=EXPERIMENTS),
        curves=expand(results("evaluation/{experiment}/curves.csv"), experiment=EXPERIMENTS),
        rows=expand(
            results("evaluation/{experiment}/experiment.record.json"),
            experiment=EXPERIMENTS,
        ),
        faults=expand(results("reports/faults/{part}.csv"), part=PLAN.imported),
        leaks=results("reports/leaks.csv"),
        code=library("compare_experiments"),
    output:
        table=results("comparison/comparison.csv"),
        metrics=results("comparison/metrics.csv"),
        differences=results("comparison/differences.csv"),
        seeds=results("comparison/over_seeds.csv"),
        page=results("comparison/comparison.md"),
        plot=report(
            results("comparison/comparison.png"),
            caption="../report/comparison.rst",
            category="Comparison",
            labels={"figure": "hit rate at k"},
        ),
        hit_rates=report(
            results("comparison/hit_rates.png"),
            caption="../report/hit_rates.rst",
            category="Comparison",
            labels={"figure": "hit rate against k"},
        ),
        precision=report(
            results("comparison/precision_recall.png"),
            caption="../report/precision_recall.rst",
            category="Comparison",
            labels={"figure": "precision against recall"},
        ),
        distractor_curve=report(
            results("comparison/growth.png"),
            caption="../report/growth.rst",
            category="Comparison",
            labels={"figure": "hit rate against distractors"},
        ),
        html=report(
            results("comparison/comparison.html"),
            caption="../report/comparison_table.rst",
            category="Comparison",
            labels={"figure": "table"},
        ),
        record=results("comparison/comparison.record.json"),
    log:
        logs("compare_experiments.log"),
    benchmark:
        benchmarks("compare_experiments.tsv")
    conda:
        "../envs/gallerist.yaml"
    params:
        # Experiments that differ in their seed only.
        groups=canonical_json(groups(config["experiments"])),
        decided_by=config["evaluation"]["decided_by"],
        confidence=config["evaluation"]["confidence"],
        bootstrap_rounds=config["evaluation"]["bootstrap_rounds"],
        seed=config["evaluation"]["seed"],
    script:
        "../scripts/compare_experiments.py"
