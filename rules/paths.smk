# Where things are. Rules name files through these functions, never by joining strings.
import hashlib
import os

from gallerist.dependencies import library_files
from gallerist.fingerprint import folder_fingerprint

RESULTS = "results"
DATASET = config["dataset"]["name"]
LAYOUT = config["dataset"]["layout"]
SOURCE = next(kind for kind in ("embedded", "folder", "archive") if config["dataset"].get(kind))

# Which folder of the source holds which part, by layout.
FOLDERS = {
    "tree": {
        "originals": "training",
        "gallery": "validation/gallery",
        "query": "validation/query",
    },
    "classes": {"originals": "."},
}[LAYOUT]

# The parts that are imported from a folder.
IMPORTED = [*FOLDERS, *(["pool"] if config["dataset"]["extend"] else [])]


def results(path):
    """A file of this data set's results."""
    return f"{RESULTS}/{DATASET}/{path}"


def logs(path):
    """A job's log."""
    return results(f"logs/{path}")


def benchmarks(path):
    """A job's time and memory, as Snakemake measures them."""
    return results(f"benchmarks/{path}")


def library(script):
    """A script and the library files it runs through: its job is repeated when one changes."""
    source = SCRIPTS / f"{script}.py"
    files = [source, *library_files(source, SCRIPTS / "gallerist")]
    return [os.path.relpath(file) for file in files]


def source_folder():
    """The folder that holds the pictures."""
    if SOURCE == "folder":
        return config["dataset"]["folder"]
    subfolder = config["dataset"]["archive"]["subfolder"] if SOURCE == "archive" else ""
    return os.path.normpath(os.path.join(results("source"), subfolder))


def part_folder(wildcards):
    """The folder a part is imported from."""
    if wildcards.part == "pool":
        return config["dataset"]["extend"]["pool"]
    return os.path.normpath(os.path.join(source_folder(), FOLDERS[wildcards.part]))


def part_made_here(wildcards):
    """What must exist before a part can be imported: nothing, where the pictures are the user's."""
    return [] if wildcards.part == "pool" or SOURCE == "folder" else results("source")


def part_fingerprint(wildcards):
    """Changes when a user's picture is added, removed, renamed or edited; not when it is touched."""
    if part_made_here(wildcards):
        return ""
    folder = part_folder(wildcards)
    cache = results(f"fingerprints/{wildcards.part}.json")
    return folder_fingerprint(folder, cache)


def manifest(part):
    """The manifest that the networks and the search read for a part."""
    if part == "training" and config["dataset"]["extend"]:
        return results("manifests/extended_training.csv")
    return results(f"manifests/{part}.csv")


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
    for experiment in config["experiments"].values()
    if experiment["network"] == "transfer"
}


def weights_record(experiment):
    """The record of the weights an experiment starts from; none for a network from scratch."""
    if experiment["network"] != "transfer":
        return []
    return results(f"weights/{pretrained_name(experiment)}.json")


def experiment_weights(wildcards):
    """The same, of the experiment that a job is about."""
    return weights_record(config["experiments"][wildcards.experiment])


def trunk_settings(experiment):
    """What decides the frozen layers' output, where it is kept; else nothing."""
    if experiment["network"] != "transfer" or not experiment["trunk_cache"]:
        return {}
    if experiment["freeze_until"] == "nothing":
        return {}
    keys = ("backbone", "weights", "image_size", "freeze_until", "trunk_cache")
    return {key: experiment[key] for key in keys}


def trunk_name(experiment):
    """One name for equal trunks, so that experiments share what is kept; none without a trunk."""
    settings = trunk_settings(experiment)
    if not settings:
        return None
    kept = (settings[key] for key in ("image_size", "freeze_until", "trunk_cache"))
    return "-".join([pretrained_name(experiment), *map(str, kept)])


# name -> an experiment that has it
TRUNKS = {
    trunk_name(experiment): experiment
    for experiment in config["experiments"].values()
    if trunk_settings(experiment)
}


def trunk_rows(experiment, *parts):
    """The kept rows of some parts, three files each; none where the network reads the pictures."""
    trunk = trunk_name(config["experiments"][experiment])
    if trunk is None:
        return []
    suffixes = ("npy", "ids.csv", "origin.json")
    return [results(f"trunks/{trunk}/{part}.{suffix}") for part in parts for suffix in suffixes]


def training_parts(wildcards):
    """The parts whose pictures an experiment learns from or is watched on; none without epochs."""
    if not config["experiments"][wildcards.experiment]["epochs"]:
        return []
    copies = ["augmented"] if augmented_copies(wildcards) else []
    return ["training", *copies, "validation"]


def training_rows(wildcards):
    """The kept rows that a network is trained on."""
    return trunk_rows(wildcards.experiment, *training_parts(wildcards))


def augmented_copies(wildcards):
    """The manifest of augmented copies, where there are any and the experiment trains on them."""
    wanted = config["experiments"][wildcards.experiment]["augmented"]
    return manifest("augmented") if wanted and config["augmentation"]["copies"] else []


def upstream_records(wildcards):
    """The records of every job that this experiment's accuracy rests on."""
    experiment = wildcards.experiment
    return [
        *([] if SOURCE == "folder" else [results("source.record.json")]),
        *(results(f"manifests/{part}.record.json") for part in IMPORTED),
        results("manifests/split.record.json"),
        *(
            [results("manifests/extended_training.record.json")]
            if config["dataset"]["extend"]
            else []
        ),
        *([results("manifests/augmented.record.json")] if augmented_copies(wildcards) else []),
        *(
            path.replace(".json", ".record.json")
            for path in [experiment_weights(wildcards)]
            if path
        ),
        *(
            rows.replace(".npy", ".record.json")
            for rows in trunk_rows(experiment, *training_parts(wildcards), "gallery", "query")
            if rows.endswith(".npy")
        ),
        results(f"models/{experiment}/training.record.json"),
        results(f"features/{experiment}/gallery.record.json"),
        results(f"features/{experiment}/query.record.json"),
        results(f"rankings/{experiment}.record.json"),
    ]
