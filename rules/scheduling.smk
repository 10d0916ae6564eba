# What Snakemake itself costs, as it plans and while jobs are at work.
import atexit
import gc
import snakemake.benchmark

# A plan of thousands of jobs is kept to the end: looking for garbage in it, again and again and once
# more as Python ends, takes a third of the time that planning takes.
gc.set_threshold(100_000, 50, 100)
atexit.register(gc.freeze)

# Seconds between two looks at a job's memory. A look takes 30 ms of a processor, and Snakemake has
# no setting for it (its issue 851); by itself it looks twice a second.
snakemake.benchmark.BENCHMARK_INTERVAL_SHORT = 2


def look_when_jobs_end():
    """Have the scheduler look for jobs to begin when one has ended, and not time after time.

    So that no more than 100 jobs begin in a second, it looks again a second after each look as long
    as a job is ready. Each job that ends begins another such chain: after n of them it looks n
    times a second, each time at the resources and files of all that are ready (its pull request
    3744 has the loop). A limit that somebody has set stays.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
