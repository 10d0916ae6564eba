# Content-based image retrieval, from pictures to compared accuracies.
#
#   pictures -> import -> split -> augment -> trunk -> train -> extract -.
#                                                         describe, fuse -> reduce -> search
#                                          -> rerank -> evaluate, explain -> compare
#                                                    -> challenge, register
#
# Each stage is one file under rules/, each rule one script of its name under scripts/. The
# experiment is described by config/config.yaml, or by another one: --configfile FILE.
from snakemake.utils import min_version

min_version("9.0")

# Another configuration replaces the default one; it is not merged into it.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "rules/configuration.smk"
include: "rules/scheduling.smk"
include: "rules/paths.smk"
include: "rules/experiments.smk"
include: "rules/tracking.smk"
include: "rules/cluster.smk"
include: "rules/source.smk"
include: "rules/import.smk"
include: "rules/split.smk"
include: "rules/augment.smk"
include: "rules/trunk.smk"
include: "rules/train.smk"
include: "rules/extract.smk"
include: "rules/describe.smk"
include: "rules/encode.smk"
include: "rules/fuse.smk"
include: "rules/reduce.smk"
include: "rules/search.smk"
include: "rules/rerank.smk"
include: "rules/evaluate.smk"
include: "rules/explain.smk"
include: "rules/compare.smk"
include: "rules/register.smk"


if CHALLENGE:

    include: "rules/challenge.smk"


keep_small_jobs_here()


onstart:
    look_when_jobs_end()
    choose_command_for_states()
    note_what_is_sent()
    prepare_run()


onsuccess:
    close_run()


onerror:
    close_run()


wildcard_constraints:
    part="originals|pool|training|validation|gallery|query|challenge_gallery|challenge_query",
    experiment=one_of(EXPERIMENTS),
    pretrained=one_of(PLAN.pretrained),
    trunk=one_of(PLAN.trunks),


rule all:
    """The comparison of all experiments, and all that explains it."""
    default_target: True
    input:
        rules.compare_experiments.output,
        rules.report_leaks.output,
        evaluation_results(),
        challenge_results(),
        rules.register_models.output if CONFIG.registry.experiments else [],
        made_again(),
