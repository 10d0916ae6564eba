# The configuration, checked and completed before any rule is read.
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))  # before another library of that name

from gallerist.io.environment import settle

settle(SCRIPTS)

from gallerist.config.completion import ConfigurationError, check
from gallerist.config.reading import Unreadable, load
from gallerist.config.warnings import find_warnings
from gallerist.io.files import canonical_json
from gallerist.workflow.wildcards import one_of


def checked_config(given):
    """The configuration with every default, or the end: one line for each thing that is wrong."""
    source = ", ".join(map(str, workflow.configfiles)) or "config"
    try:
        for path in workflow.configfiles:
            load(path)  # Snakemake has dropped the first of two equal keys.
        return check(given)
    except Unreadable as error:
        sys.exit(str(error))
    except ConfigurationError as error:
        # Of an exception Snakemake would print lines of this file, where nothing is wrong.
        sys.exit("\n".join(f"{source}: {problem}" for problem in error.problems))


def as_text(settings):
    """A group of settings as a parameter of a rule: equal ones give equal texts."""
    return canonical_json(settings and settings.model_dump())


def as_is(text):
    """A text of the user's as a parameter of a rule: braces in it are no wildcards."""
    return lambda wildcards: text


# The rules read CONFIG; the jobs, and whoever runs them elsewhere, get it in plain values.
CONFIG = checked_config(config)

# How picture files are read, the same for all that read them.
READING = canonical_json(CONFIG.dataset.images.reading)
config.clear()
config.update(CONFIG.model_dump())
