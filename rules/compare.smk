# Stage 10: all experiments side by side.


rule compare_experiments:
    """One table and one picture of all experiments."""
    input:
        metrics=expand(
            results("evaluation/{experiment}/metrics.json"), experiment=config["experiments"]
        ),
        rows=expand(
            results("evaluation/{experiment}/experiment.record.json"),
            experiment=config["experiments"],
        ),
        faults=expand(results("reports/faults/{part}.csv"), part=IMPORTED),
        leaks=results("reports/leaks.csv"),
        code=library("compare_experiments"),
    output:
        table=results("comparison/comparison.csv"),
        seeds=results("comparison/over_seeds.csv"),
        page=results("comparison/comparison.md"),
        plot=report(
            results("comparison/comparison.png"),
            caption="../report/comparison.rst",
            category="Comparison",
            labels={"figure": "hit rate at k"},
        ),
        sheet=report(
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
    script:
        "../scripts/compare_experiments.py"
