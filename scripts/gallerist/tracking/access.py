"""Who may write to a tracking server: passwords are repeated nowhere, refusals are plain words."""

import re
from urllib.parse import unquote, urlsplit, urlunsplit

USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""The environment variables that MLflow takes a user and a password from."""

# Up to the last @ of the word, so that a password with an @ is not shown in part; a port is none.
_BEFORE_HOST = re.compile(r"(://[^\s:/@]*):(?!\d+/)\S*@")
_AS_OPTION = re.compile(r"([?&]password=)[^\s&]*")
_OTHER_NAME = (
    "server goes by another name than the address in tracking.uri: start it with that name and "
    "the port among its --allowed-hosts"
)
_REFUSALS = {
    401: f"refuses the user or the password: set {USERNAME} and {PASSWORD}, or write them into "
    "~/.mlflow/credentials",
    403: "refuses this user: its administrator may grant EDIT on the MLflow experiment, or give "
    "the data set a name that nobody else uses",
}


def holds_password(uri: str) -> bool:
    """Whether an address has a password, as in SCHEME://USER:PASSWORD@HOST."""
    return hide_passwords(uri) != uri


def hide_passwords(text: str) -> str:
    """A text in which the password of every address is ***."""
    return _AS_OPTION.sub(r"\1***", _BEFORE_HOST.sub(r"\1:***@", text))


def separated(uri: str) -> tuple[str, dict[str, str]]:
    """The address of a server without user and password, and the variables that hold them instead.

    MLflow repeats the address in its errors, so it must not know it with the password. Any other
    address, such as that of a database, comes back as it is.
    """
    if not uri.startswith(("http://", "https://")) or not _BEFORE_HOST.search(uri):
        return uri, {}
    parts = urlsplit(uri)
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    variables = {USERNAME: unquote(name), PASSWORD: unquote(password)}
    return urlunsplit(parts._replace(netloc=host)), variables


def what_it_said(error: BaseException) -> str:
    """Why a store failed: a sentence but for its subject, MLflow. A refusal says what to do."""
    said = in_short(error)
    if "Invalid Host header" in said:
        return _OTHER_NAME
    status = getattr(error, "get_http_status_code", lambda: 0)()
    return _REFUSALS.get(status, f"could not be reached: {said}")


def in_short(error: BaseException) -> str:
    """The first line of an error, at most 300 characters: some of MLflow's fill a page."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return hide_passwords(lines[0])[:300]
