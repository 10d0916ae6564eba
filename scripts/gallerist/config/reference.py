"""The reference of the configuration, config/README.md, written from the schema.

python -m gallerist.config.reference > config/README.md
"""

import sys
from collections.abc import Iterable

from gallerist.config.schema import (
    PACKAGED_SCHEMA,
    Knob,
    Schema,
    expectation,
    knobs,
    read_schema,
    types,
    yaml_scalar,
)

_INTRODUCTION = """\
# Configuration

*Generated from [schema.yaml](schema.yaml); do not edit. After a change there:*
`PYTHONPATH=scripts python -m gallerist.config.reference > config/README.md`

`config.yaml` is used unless another file is named. [published.yaml](published.yaml) has the
published settings:

```
snakemake --cores 8 --configfile config/published.yaml
```

To change a few keys, write them into a file of their own and name it last; its keys win. `null`
takes a source of pictures away, as in `dataset: {embedded: null, folder: data/animals}`.

```
snakemake --cores 8 --configfile config/config.yaml mine.yaml
```

`--config` suits text only: Snakemake makes text of every number inside a group that is given there.

The whole configuration is checked before any job starts, and every problem is named at once.
Unknown keys are refused. Write `1.0e-5`, not `1e-5`: YAML takes the latter for text.

In the column *Default*, *required* is a key that its group cannot do without, a dash a key that is
unused unless given. A group may be left out, or be `{}`, when none of its keys is required.
"""

_HEADER = "| Key | Value | Unit | Default | Effect |\n|---|---|---|---|---|\n"


def reference(schema: Schema) -> str:
    """Return the reference as Markdown: a section for each group, a row for each key."""
    all_knobs = list(knobs(schema))
    text = _INTRODUCTION
    for section in schema["properties"]:
        [top] = [knob for knob in all_knobs if knob.path == section]
        members = [knob for knob in all_knobs if knob.path.startswith(f"{section}.")]
        text += f"\n## {section}\n\n{top.schema['description']}\n"
        for kind in dict.fromkeys(knob.kind for knob in members):
            if kind:
                text += f"\n### {kind}\n\n{_description(schema, kind)}\n"
            text += "\n" + _HEADER + _rows(knob for knob in members if knob.kind == kind)
    return text


def _description(schema: Schema, kind: str) -> str:
    """What the definition behind a choice such as `network: transfer` says of itself."""
    key, _, name = kind.partition(": ")
    definitions = schema["$defs"].values()
    [chosen] = [
        each for each in definitions if each.get("properties", {}).get(key, {}).get("const") == name
    ]
    return str(chosen["description"])


def _rows(members: Iterable[Knob]) -> str:
    return "".join(
        f"| `{knob.path}` | {_allowed(knob.schema)} | {knob.schema.get('x-unit', '')} "
        f"| {_default(knob)} | {_effect(knob.schema)} |\n"
        for knob in members
    )


def _allowed(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{yaml_scalar(each)}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{yaml_scalar(schema['const'])}`"
    if "object" in types(schema):
        return "group or `null`" if "null" in types(schema) else "group"
    return expectation(schema)


def _default(knob: Knob) -> str:
    if "default" in knob.schema:
        default = knob.schema["default"]
        return "as below" if default == {} else f"`{yaml_scalar(default)}`"
    return "*required*" if knob.required else "–"


def _effect(schema: Schema) -> str:
    text = str(schema["description"])
    if "examples" in schema:
        text += f" Example: `{yaml_scalar(schema['examples'][0])}`."
    return text.replace("|", "\\|")


def main() -> None:
    """Write the reference of the schema that comes along to standard output."""
    sys.stdout.write(reference(read_schema(PACKAGED_SCHEMA)))


if __name__ == "__main__":
    main()
