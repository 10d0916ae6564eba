# The runs in MLflow, on request: no result waits for this.


localrules:
    sync_tracking,
    prune_runs,


rule sync_tracking:
    """Log what MLflow lacks: after an outage, or everything after its database was deleted."""
    log:
        logs("sync_tracking.log"),
    conda:
        "../envs/gallerist.yaml"
    params:
        results=RESULTS,
    script:
        "../scripts/sync_tracking.py"


rule prune_runs:
    """Delete the runs that reruns have superseded, and the failed ones, for good."""
    log:
        logs("prune_runs.log"),
    conda:
        "../envs/gallerist.yaml"
    params:
        results=RESULTS,
    script:
        "../scripts/prune_runs.py"
