# Where things are. Rules name files through these functions, never by joining strings.
import os

from gallerist.workflow.dependencies import library_files
from gallerist.data.folders import folder_fingerprint

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

# The two folders of an unlabelled challenge, as parts.
CHALLENGE = config["challenge"]
CHALLENGE_PARTS = ["challenge_gallery", "challenge_query"] if CHALLENGE else []

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


def challenge_folder():
    """The folder that holds the challenge's gallery/ and query/."""
    return CHALLENGE["folder"] or results("challenge/source")


def part_is_flat(wildcards):
    """Whether the pictures of a part lie side by side, and nothing says of which class they are."""
    return wildcards.part in CHALLENGE_PARTS


def part_folder(wildcards):
    """The folder a part is imported from."""
    if part_is_flat(wildcards):
        return os.path.join(challenge_folder(), wildcards.part.removeprefix("challenge_"))
    if wildcards.part == "pool":
        return config["dataset"]["extend"]["pool"]
    return os.path.normpath(os.path.join(source_folder(), FOLDERS[wildcards.part]))


def part_made_here(wildcards):
    """What must exist before a part can be imported: nothing, where the pictures are the user's."""
    if part_is_flat(wildcards):
        return [] if CHALLENGE["folder"] else results("challenge/source")
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
