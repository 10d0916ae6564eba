# What each experiment is made of: the files that one stage leaves for the next.
import hashlib

from gallerist.workflow.results import ranking_name
from gallerist.workflow.experiments import describing_files, is_searchable

EXPERIMENTS = config["experiments"]
STEPS = ("views", "reduction", "search", "k_reciprocal", "geometric_verification")
DESCRIBED = ["training", "validation", "gallery", "query", *CHALLENGE_PARTS]

# Experiments by how their vectors are made; the last have none, they join rankings.
NETWORKS = [name for name, settings in EXPERIMENTS.items() if "network" in settings]
DESCRIPTORS = [
    name
    for name, settings in EXPERIMENTS.items()
    if "descriptor" in settings and "encoding" not in settings
]
VOCABULARIES = [name for name, settings in EXPERIMENTS.items() if "encoding" in settings]
JOINED = [
    name
    for name, settings in EXPERIMENTS.items()
    if settings.get("fusion") in ("concatenation", "weighted")
]
JOINED_RANKINGS = [
    name for name, settings in EXPERIMENTS.items() if settings.get("fusion") == "ranks"
]

# The experiments that become models, when models are asked for.
REGISTERED = config["registry"]["experiments"] or ["best"]


def describing(experiment):
    """The settings that decide an experiment's vectors; not those of the steps after them."""
    return {key: value for key, value in EXPERIMENTS[experiment].items() if key not in STEPS}


def of_experiment(files):
    """The input function that gives `files` of the experiment that a job is about."""
    return lambda wildcards: files(wildcards.experiment)


def step(name):
    """The settings of one step of the experiment that a job is about, as text."""
    return lambda wildcards: canonical_json(EXPERIMENTS[wildcards.experiment][name])


def members(experiment):
    """The experiments that this one is combined from."""
    return EXPERIMENTS[experiment].get("of", [])


def pretrained_file(weights):
    """The weights file that a user names, which a job must notice when it changes; else none."""
    return [] if weights in ("auto", "imagenet", "random") else weights


def pretrained_name(experiment):
    """One name for a backbone with its weights; experiments that share it fetch it once."""
    backbone, weights = experiment["backbone"], experiment["weights"]
    if not pretrained_file(weights):
        return f"{backbone}-{weights}"
    return f"{backbone}-file-{hashlib.sha256(weights.encode()).hexdigest()[:8]}"


# name -> an experiment that starts from it
PRETRAINED = {
    pretrained_name(experiment): experiment
    for experiment in EXPERIMENTS.values()
    if experiment.get("network") == "transfer"
}


def weights_record(experiment):
    """The record of the weights an experiment starts from; none for a network from scratch."""
    if experiment.get("network") != "transfer":
        return []
    return results(f"weights/{pretrained_name(experiment)}.json")


def experiment_weights(experiment):
    """The same, of an experiment by name."""
    return weights_record(EXPERIMENTS[experiment])


def trunk_settings(experiment):
    """What decides the frozen layers' output, where it is kept; else nothing."""
    if experiment.get("network") != "transfer" or not experiment["trunk_cache"]:
        return {}
    if experiment["freeze_until"] == "nothing":
        return {}
    keys = ("backbone", "weights", "image_size", "look", "freeze_until", "trunk_cache")
    return {key: experiment[key] for key in keys}


def trunk_name(experiment):
    """One name for equal trunks, so that experiments share what is kept; none without a trunk."""
    settings = trunk_settings(experiment)
    if not settings:
        return None
    kept = [settings[key] for key in ("image_size", "freeze_until", "trunk_cache")]
    look = [settings["look"]] if settings["look"] != "colour" else []
    return "-".join([pretrained_name(experiment), *map(str, kept), *look])


# name -> an experiment that has it
TRUNKS = {
    trunk_name(experiment): experiment
    for experiment in EXPERIMENTS.values()
    if trunk_settings(experiment)
}


def trunk_rows(experiment, *parts):
    """The kept rows of some parts, three files each; none where the network reads the pictures."""
    trunk = trunk_name(EXPERIMENTS[experiment])
    if trunk is None:
        return []
    suffixes = ("npy", "ids.csv", "origin.json")
    return [results(f"trunks/{trunk}/{part}.{suffix}") for part in parts for suffix in suffixes]


def viewed_rows(wildcards):
    """The kept rows of a part that is described; none where the pictures themselves are read.

    They are where a network looks at them in several ways, and in a challenge, whose gallery is
    large and looked at once.
    """
    if EXPERIMENTS[wildcards.experiment]["views"] or wildcards.part in CHALLENGE_PARTS:
        return []
    return trunk_rows(wildcards.experiment, wildcards.part)


def training_parts(experiment):
    """The parts whose pictures an experiment learns from or is watched on; none without epochs."""
    if not EXPERIMENTS[experiment].get("epochs"):
        return []
    copies = ["augmented"] if augmented_copies(experiment) else []
    return ["training", *copies, "validation"]


def training_rows(experiment):
    """The kept rows that a network is trained on."""
    return trunk_rows(experiment, *training_parts(experiment))


def augmented_copies(experiment):
    """The manifest of augmented copies, where there are any and the experiment trains on them."""
    wanted = EXPERIMENTS[experiment].get("augmented")
    return manifest("augmented") if wanted and config["augmentation"]["copies"] else []


def feature_files(folder, experiment, part):
    """Vectors, ids and origin of one part."""
    stem = results(f"{folder}/{experiment}/{part}")
    return [f"{stem}.npy", f"{stem}.ids.csv", f"{stem}.origin.json"]


def described(part):
    """The vectors of a part as the experiment's describer gave them."""
    return lambda wildcards: feature_files("features", wildcards.experiment, part)


def searched(part):
    """The vectors of a part as they are searched: reduced, where the experiment says so."""
    return lambda wildcards: searched_features(wildcards.experiment, part)


def searched_features(experiment, part):
    """The same, of an experiment by name."""
    folder = "reduced" if EXPERIMENTS[experiment]["reduction"] else "features"
    return feature_files(folder, experiment, part)


def name_before_verification(experiment):
    """The ranking whose first answers are verified; the last one where none are."""
    return ranking_name(experiment, {**EXPERIMENTS[experiment], "geometric_verification": None})


def ranked_by_distance(experiment):
    """Whether an answer's place depends on nothing but its own distance to the query."""
    settings = EXPERIMENTS[experiment]
    neighbours = settings.get("k_reciprocal") or settings.get("geometric_verification")
    search = settings.get("search", {})
    mixed = any(search.get(key) for key in ("index", "database_augmentation", "query_expansion"))
    return experiment not in JOINED_RANKINGS and not neighbours and not mixed


def ranking_of(experiment):
    """The ranking that an experiment is judged by."""
    return results(f"{ranking_name(experiment, EXPERIMENTS[experiment])}.csv")


def member_features(experiment, part):
    """The vectors of a part by all experiments that this one is combined from, as they search."""
    return [file for name in members(experiment) for file in searched_features(name, part)]


def training_pictures(experiment):
    """The history of a network's training and the picture of it; none without a network."""
    if experiment not in NETWORKS:
        return []
    return [results(f"models/{experiment}/{name}") for name in ("curves.png", "history.csv")]


def explanations(experiment):
    """The pictures that explain an experiment, beside those of its evaluation."""
    settings = EXPERIMENTS[experiment]
    found = []
    wanted = config["evaluation"]["explanations"]
    if "map" in wanted and experiment not in JOINED_RANKINGS:
        found.append(results(f"evaluation/{experiment}/map.png"))
    if "similarity" in wanted and experiment in NETWORKS:
        found.append(results(f"evaluation/{experiment}/similarity.png"))
    if experiment in VOCABULARIES:
        found.append(results(f"vocabularies/{experiment}.png"))
    if settings.get("geometric_verification"):
        found.append(results(f"rankings/{experiment}.matches.png"))
    return found


def data_records():
    """The records of the jobs that made the data what it is."""
    return [
        *([] if SOURCE == "folder" else [results("source.record.json")]),
        *(results(f"manifests/{part}.record.json") for part in IMPORTED),
        results("manifests/split.record.json"),
        *(
            [results("manifests/extended_training.record.json")]
            if config["dataset"]["extend"]
            else []
        ),
    ]


def network_records(experiment):
    """The records of a network's weights, copies, trunk and training."""
    searched = [] if EXPERIMENTS[experiment]["views"] else ["gallery", "query"]
    trunk = trunk_rows(experiment, *training_parts(experiment), *searched)
    weights = experiment_weights(experiment)
    return [
        *([results("manifests/augmented.record.json")] if augmented_copies(experiment) else []),
        *([weights.replace(".json", ".record.json")] if weights else []),
        *(rows.replace(".npy", ".record.json") for rows in trunk if rows.endswith(".npy")),
        results(f"models/{experiment}/training.record.json"),
    ]


def own_records(experiment):
    """The records of the jobs that are this experiment's own, up to the vectors it searches."""
    if experiment in JOINED_RANKINGS:
        return []
    found = []
    if experiment in NETWORKS:
        found += network_records(experiment)
    if experiment in VOCABULARIES:
        found.append(results(f"vocabularies/{experiment}.record.json"))
    if EXPERIMENTS[experiment].get("fusion") == "weighted":
        found.append(results(f"fusions/{experiment}.record.json"))
    folders = ["features"]
    if EXPERIMENTS[experiment]["reduction"]:
        found.append(results(f"reductions/{experiment}.record.json"))
        folders.append("reduced")
    return found + [
        results(f"{folder}/{experiment}/{part}.record.json")
        for folder in folders
        for part in ("gallery", "query")
    ]


def ranking_records(experiment):
    """The records of the search and of what ordered its answers again."""
    names = name_before_verification(experiment), ranking_name(experiment, EXPERIMENTS[experiment])
    return [results(f"{name}.record.json") for name in dict.fromkeys(names)]


def upstream_records(experiment):
    """The records of every job that this experiment's accuracy rests on."""
    found = [*data_records()]
    for member in members(experiment):
        found += own_records(member)
        if experiment in JOINED_RANKINGS:
            found += ranking_records(member)
    found += own_records(experiment) + ranking_records(experiment)
    return list(dict.fromkeys(found))


def challenge_ranking(experiment):
    """The ranking that is submitted."""
    return results(f"challenge/{ranking_name(experiment, EXPERIMENTS[experiment])}.csv")


def challenge_truth():
    """The file to grade by; none where nobody has it."""
    if not CHALLENGE:
        return []
    return CHALLENGE["truth"] or ([] if CHALLENGE["folder"] else results("challenge/truth.json"))


def challenge_results():
    """All that a challenge leaves; nothing without one."""
    if not CHALLENGE:
        return []
    submissions = expand(rules.write_submission.output, experiment=EXPERIMENTS)
    return [*submissions, *(rules.grade_challenge.output if challenge_truth() else [])]


def registered_experiments():
    """The experiments of which models are made, or may be: of all that can, one is the best."""
    searchable = [name for name, settings in EXPERIMENTS.items() if is_searchable(settings)]
    named = [name for name in REGISTERED if name != "best"]
    return list(dict.fromkeys([*named, *(searchable if "best" in REGISTERED else [])]))


def model_files():
    """What their models are made of."""
    files = [
        name
        for experiment in registered_experiments()
        for name in describing_files(experiment, EXPERIMENTS)
    ]
    return [results(name) for name in dict.fromkeys(files)]


def registered_models():
    """What a run registers; nothing, unless the configuration says so."""
    return rules.register_models.output if config["registry"]["experiments"] else []
