# What each experiment is made of, by the wildcards of a job. What decides is in
# gallerist.workflow: experiments.py (kinds and steps), plan.py (files).

EXPERIMENTS = list(PLAN.experiments)
NETWORKS = PLAN.of_kind("network")
DESCRIPTORS = PLAN.of_kind("descriptor")
VOCABULARIES = PLAN.of_kind("vocabulary")
FUSED_VECTORS = PLAN.of_kind("fused_vectors")
FUSED_RANKINGS = PLAN.of_kind("fused_rankings")
# All that have vectors of their own.
WITH_VECTORS = [name for name in EXPERIMENTS if name not in FUSED_RANKINGS]


def of_experiment(files):
    """The input function that gives `files` of the experiment that a job is about."""
    return lambda wildcards: files(wildcards.experiment)


def searched(part):
    """The vectors of a part as they are searched: reduced, where the experiment says so."""
    return lambda wildcards: PLAN.searched_features(wildcards.experiment, part)


def rankings(before):
    """The rankings, of every search, that a step of an experiment reorders: see Plan.rankings."""
    return lambda wildcards: PLAN.rankings(wildcards.experiment, before)


def setting(name):
    """One setting of the experiment that a job is about."""
    return lambda wildcards: PLAN.experiments[wildcards.experiment].plain[name]


def step(name):
    """The settings of one step of the experiment that a job is about, as text."""
    return lambda wildcards: canonical_json(setting(name)(wildcards))


def extraction_settings(wildcards):
    """The settings that decide the vectors of the experiment that a job is about, as text."""
    return canonical_json(PLAN.experiments[wildcards.experiment].extraction)


def parts(wildcards):
    """The parts that the job's experiment needs vectors of, as text."""
    return canonical_json(PLAN.parts(wildcards.experiment))


def reduced_parts(wildcards):
    """The parts that the job's experiment needs reduced vectors of, as text."""
    return canonical_json(PLAN.parts(wildcards.experiment, reduced=True))


def shard_of(made):
    """The shard that a job of an extracting rule computes, and of how many, as text."""
    number, count = made.shard
    return lambda wildcards: f"[{wildcards.shard if number is None else number}, {count}]"


def trunk_settings(wildcards):
    """The settings that decide the frozen layers of the job's experiment, as text."""
    return canonical_json(PLAN.experiments[wildcards.experiment].trunk_settings)


def trunk_store(wildcards):
    """Where rows of the frozen layers of the job's experiment are kept, if they are."""
    return results(f"store/trunks/{PLAN.experiments[wildcards.experiment].trunk}")


def members(wildcards):
    """The names of the experiments that the job's one is combined from, as text."""
    return canonical_json(PLAN.experiments[wildcards.experiment].members)


def evaluation_results():
    """All that the evaluations leave."""
    return [
        file
        for suffix, names in PLAN.evaluations.items()
        for file in expand(getattr(rules, f"evaluate_retrieval{suffix}").output, experiment=names)
    ]


def challenge_results():
    """All that a challenge leaves; nothing without one."""
    if not CHALLENGE:
        return []
    graded = rules.grade_challenge.output if PLAN.challenge_truth else []
    return [*rules.write_submissions.output, *graded]
