"""The errors that a user can mend: their message is all that is shown of them."""


class UserError(ValueError):
    """Something of the user's is wrong. The message says what, in which file, and what to do."""
