"""Section `cluster`: what is sent to other machines."""

from gallerist.settings.base import NonNegative, Settings, key


class Cluster(Settings):
    """What is sent to other machines, where a profile has some: docs/cluster.md."""

    least_minutes: NonNegative = key(2.0, "processor minutes")
    """The least work of a job that is sent; the jobs of a rule that have less run where the
    workflow runs. A job that is sent takes 8 processor seconds and some 30 seconds more than one
    that is not. 0: all are sent."""
