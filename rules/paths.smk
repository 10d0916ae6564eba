# Where things are. Rules name files through these functions, never by joining strings.
import os

from gallerist.data.domains import domains_fingerprint
from gallerist.data.folders import folder_fingerprint
from gallerist.data.table_rows import table_fingerprint
from gallerist.io.errors import UserError
from gallerist.workflow.begun import without_record
from gallerist.workflow.clock import check_clock
from gallerist.workflow.dependencies import COPYING, DRAWN_BY_SOME, RECORD_KEEPING, code_digest
from gallerist.workflow.plan import EXPORTED, Plan

RESULTS = "results"
DATASET = CONFIG.dataset.name
CHALLENGE = CONFIG.challenge
PLAN = Plan(CONFIG, RESULTS)

# A file of this data set's results, and the manifest of a part.
results = PLAN.results.file
manifest = PLAN.manifest


if workflow.is_main_process:
    try:
        check_clock(f"{RESULTS}/{DATASET}", os.path.relpath(SCRIPTS))
    except UserError as error:
        sys.exit(str(error))


def logs(path):
    """A job's log."""
    return results(f"logs/{path}")


def benchmarks(path):
    """A job's time and memory, as Snakemake measures them."""
    return results(f"benchmarks/{path}")


CATEGORIES = {
    "models": "Training",
    "comparison": "Comparison",
    "challenge": "Challenge",
    "reports": "Data",
}


def reported(path, caption, **labels):
    """A file of the results that the report shows, with the caption report/<caption>.rst."""
    wildcards = {name: f"{{{name}}}" for name in ("experiment", "part") if f"{{{name}}}" in path}
    return report(
        results(path),
        caption=f"../report/{caption}.rst",
        category=CATEGORIES.get(Path(path).parts[0], "Retrieval"),
        labels=wildcards | labels,
    )


def code_of(script, copies=False, drawing=()):
    """A script and the library files it runs through: its job is repeated when one changes.

    copies: whether the job makes or reads augmented copies. drawing: what it draws of DRAWN_BY_SOME.
    """
    without = RECORD_KEEPING | DRAWN_BY_SOME.difference(drawing) | (set() if copies else COPYING)
    return code_digest(SCRIPTS / f"{script}.py", SCRIPTS / "gallerist", without=without)


def made_again():
    """Records of jobs that began and left none, as far as there is a rule for them."""
    records = without_record(f"{RESULTS}/{DATASET}") if workflow.is_main_process else []
    return [each for each in records if any(rule.is_producer(each) for rule in workflow.rules)]


def part_fingerprint(wildcards):
    """Changes when a user's picture is added, removed, renamed or edited; not when it is touched."""
    cache = results(f"fingerprints/{wildcards.part}.json")
    if PLAN.in_table(wildcards.part):
        folder = PLAN.part_folder(wildcards.part)
        return table_fingerprint(CONFIG.dataset.table, folder, wildcards.part, cache)
    return folder_fingerprint(PLAN.part_folder(wildcards.part), cache)
