"""Section `challenge`: unlabelled pictures that every experiment ranks too."""

from gallerist.settings.base import Count, Int, Seed, Settings, key
from gallerist.settings.texts import File, Folder, Text


class EmbeddedChallenge(Settings):
    """Source: silhouettes and their outlines, with digits as confusion images, which come with
    Gallerist. `{}` takes every default.
    """

    gallery_per_class: Int = key(5, "pictures", ge=1, le=100)
    """Silhouettes of each class to find."""
    query_per_class: Int = key(4, "pictures", ge=1, le=100)
    """Queries of each class, silhouettes and outlines by turns."""
    distractors: Int = key(150, "pictures", ge=0, le=1700, doc="Digits, which are of no class.")
    image_size: Int = key(96, "pixels", ge=28, le=1024, doc="Side of the written pictures.")
    seed: Seed = key(99, doc="Chooses and numbers the pictures.")


class Challenge(Settings):
    """An unlabelled challenge beside the data set: flat folders `gallery/` and `query/`, which
    every experiment ranks too. `null`: none.
    """

    folder: Folder | None = key(None, expects="the path of a folder", example="data/challenge")
    """Source: a folder of your own that holds `gallery/` and `query/`."""
    embedded: EmbeddedChallenge | None = key(None)
    truth: File | None = key(
        None,
        expects="null or the path of a .json or .csv file",
        example="data/challenge/ground_truth.json",
    )
    """A file that says the class of every picture, to grade by: JSON in the published form, or CSV.
    The embedded challenge has its own. `null`: nothing is graded."""
    group: Text = key("gallerist", doc="The name by which the server knows who submits.")
    submit_to: str | None = key(
        None,
        expects="null or an address that begins with http:// or https://",
        example="https://server.example/submit",
        pattern=r"^https?://[^\s/?#]\S*$",
    )
    """Where `gallerist submit --experiment NAME` posts the answers. No rule of the workflow sends
    any. A user and password belong into `~/.netrc`."""
    k: Count = key(10, "answers", doc="Answers submitted for each query.")
    distractor_step: Count = key(500, "pictures")
    """The growth curve adds so many confusion images at a time."""
