"""The errors that a user can correct: their message is all that is shown of them."""

from collections.abc import Sequence


class UserError(ValueError):
    """Something of the user's is wrong. The message says what, in which file, and what to do."""


def first_of(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
