"""Files changed at places that a seed chooses, as disks, editors and strangers change them."""

import random as generator

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gallerist.io.errors import UserError

PIECES = (
    *(
        b"\0",
        b"\r",
        b"\n",
        b"\t",
        b'"',
        b",",
        b" ",
        b"\xff",
        b"\xef\xbb\xbf",
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(b"-1", b"1e999", b"nan", b"NaN", b"9" * 400, b"9" * 5000, b"0x", b"true", b"null", b"{}"),
    *(
        b"&a [*a]",
        b"*a",
        b"? ",
        b"!!binary x",
        b"!!timestamp x",
        b"!!set {a}",
        b"2026-99-99",
        b"<<: 1",
    ),
    *(b"\\ud800", b"\xed\xa0\x80", "日".encode(), b"[" * 3000, b'{"a":' * 2000, b"x" * 150_000),
)


def damaged(content, random):
    """The content, changed once to five times."""
    data = bytearray(content)
    for _ in range(random.randint(1, 5)):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.choice((0, 1, 2, 8, 60)))
        other = random.randrange(len(data) + 1)
        data[start:end] = random.choice(
            (
                random.choice(PIECES),
                bytes(random.choices(range(256), k=random.randint(0, 4))),
                bytes(data[other : other + random.choice((1, 10, 100))]),
                data[start:end] * random.choice((2, 3, 50)),
                b"",
            )
        )
    if random.random() < 0.1:
        del data[random.randrange(len(data) + 1) :]
    return bytes(data)


def refusals(content, read, count):
    """What `read` said when it refused, of `count` damaged forms of the content.

    What it raises beside UserError is raised, as is a refusal without a word.
    """
    said, tried = [], 0

    @settings(
        max_examples=count,
        derandomize=True,  # a seed of the test's own
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.integers(0, 2**64))
    def damage(seed):
        nonlocal tried
        try:
            read(damaged(content, generator.Random(seed)))
        except UserError as error:
            said.append(str(error))
        tried += 1

    damage()
    assert tried == count
    assert all(each.strip() for each in said)
    return said
