"""More training pictures from a pool, without letting a held-out picture in."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, replace

from gallerist.data.manifest import Manifest, Picture
from gallerist.data.near_duplicates import near_pictures
from gallerist.io.files import PathLike, sha256_of_text, write_csv


@dataclass(frozen=True, slots=True)
class Refusal:
    """A picture of the pool that was considered and not taken."""

    path: str
    reason: str


@dataclass(frozen=True)
class ExtendedTraining:
    """The outcome of `extend`.

    manifest: the training pictures, as they were, and after them those added, class by class.
    refusals: pool pictures not taken: first those of unknown classes, then class by class.
    shortfalls: class -> pictures it still lacks, of the classes that could not be filled.
    """

    manifest: Manifest
    refusals: tuple[Refusal, ...]
    shortfalls: dict[str, int]


def extend_training(
    training: Manifest,
    pool: Manifest,
    held_out: Sequence[Manifest],
    *,
    per_class: int,
    distance: int,
    seed: int,
) -> ExtendedTraining:
    """Add pictures of `pool` to the classes of `training` until each has `per_class`.

    A class that has as many or more is left alone. Within a class the pool's pictures are
    considered in an order drawn from `seed` and their content, whatever else is in the pool; those
    left when the class is full are in no list. A picture is refused when its class is not one of
    training's, or when it, or one that differs from it in at most `distance` bits of 64 (see
    `near_duplicates`), is in `held_out` (validation, gallery, query), in training, or was added.
    Of two near-duplicates in different classes of the pool only the one drawn earlier can be
    taken, so what one class gets does not depend on how much another lacks.

    Added pictures get part "training".
    """
    present = Counter(training.labels)
    refusals = [
        Refusal(picture.path, f"class '{picture.label}' is not one of the training classes")
        for picture in pool
        if picture.label not in present
    ]
    known = [picture for picture in pool if picture.label in present]
    known.sort(key=lambda picture: sha256_of_text(f"{seed}:{picture.id}"))
    forbidden = _forbidden(known, [*held_out, training], distance)
    alike = _alike(known, forbidden, distance)

    added: list[Picture] = []
    shortfalls: dict[str, int] = {}
    for label in training.classes:
        missing = per_class - present[label]
        taken: dict[str, Picture] = {}
        for picture in (each for each in known if each.label == label):
            if len(taken) >= missing:
                break
            reason = forbidden.get(picture.id) or _clash(picture, alike[picture.id], taken)
            if reason is None:
                taken[picture.id] = replace(picture, part="training")
            else:
                refusals.append(Refusal(picture.path, reason))
        added += taken.values()
        if len(taken) < missing:
            shortfalls[label] = missing - len(taken)
    return ExtendedTraining(Manifest((*training, *added)), tuple(refusals), shortfalls)


def write_refusals(path: PathLike, refusals: Iterable[Refusal]) -> None:
    """Write refused pool pictures as CSV (path, reason), whole or not at all."""
    write_csv(path, ("path", "reason"), map(astuple, refusals))


def _forbidden(
    known: Sequence[Picture], manifests: Sequence[Manifest], distance: int
) -> dict[str, str]:
    """Map the ids of pictures that may not be added, whatever else is added, to the reason."""
    reasons: dict[str, str] = {}
    others = [picture for manifest in manifests for picture in manifest]
    by_id = {picture.id: picture for picture in reversed(others)}
    for picture in known:
        if other := by_id.get(picture.id):
            conflict = _conflict(picture, other)
            reasons[picture.id] = f"same picture as {other.path} ({other.part}){conflict}"
    for picture, other, bits in near_pictures(known, others, distance):
        reasons.setdefault(picture.id, _near(picture, other, bits, other.part))
    return reasons


def _alike(
    known: Sequence[Picture], forbidden: Collection[str], distance: int
) -> dict[str, list[tuple[Picture, int]]]:
    """Map ids to the near-duplicates, with bits, that were drawn before them and might be taken."""
    earlier: dict[str, list[tuple[Picture, int]]] = defaultdict(list)
    possible = [picture for picture in known if picture.id not in forbidden]
    for first, later, bits in near_pictures(possible, None, distance):
        earlier[later.id].append((first, bits))
    return earlier


def _clash(
    picture: Picture, earlier: list[tuple[Picture, int]], taken: Collection[str]
) -> str | None:
    """Why a picture clashes with one drawn before it: taken into its class, or of another class."""
    for other, bits in earlier:
        if other.label != picture.label:
            return _near(picture, other, bits, "pool")
        if other.id in taken:
            return _near(picture, other, bits, "added")
    return None


def _near(picture: Picture, other: Picture, bits: int, where: str) -> str:
    conflict = _conflict(picture, other)
    return f"near-duplicate ({bits} of 64 bits differ) of {other.path} ({where}){conflict}"


def _conflict(picture: Picture, other: Picture) -> str:
    return "" if picture.label == other.label else f", there under another class ({other.label})"
