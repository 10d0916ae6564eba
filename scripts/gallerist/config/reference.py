"""The reference of the configuration, config/README.md, written from its models.

python -m gallerist.config.reference > config/README.md
"""

import sys
from collections.abc import Iterable

from gallerist.config.schema import (
    Key,
    Model,
    Schema,
    expectation,
    json_schema,
    keys,
    kinds,
    types,
    yaml_scalar,
)
from gallerist.settings.configuration import Configuration

_INTRODUCTION = """\
# Configuration

*Generated from the models in [scripts/gallerist/settings](../scripts/gallerist/settings); do not
edit. After a change there:*

```
make reference
```

Editors that know JSON schemas (such as those with yaml-language-server) complete and explain the
keys of a file whose first line is `# yaml-language-server: $schema=schema.json`.

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
Unknown keys are refused. `1e-5` is the number that it looks like, though YAML 1.1 takes it for
text. Names that YAML takes for true or false (yes, no, on, off, true, false) stand in quotes. A
file is UTF-8, and a key that stands twice in it is refused.

In the column *Default*, *required* is a key that its group cannot do without, a dash a key that is
unused unless given. A group may be left out, or be `{}`, when none of its keys is required.
"""

_HEADER = "| Key | Value | Unit | Default | Effect |\n|---|---|---|---|---|\n"


def reference(model: Model) -> str:
    """Return the reference as Markdown: a section for each group, a row for each key."""
    all_keys = list(keys(model))
    text = _INTRODUCTION
    for section in model.model_fields:
        [top] = [key for key in all_keys if key.path == section]
        members = [key for key in all_keys if key.path.startswith(f"{section}.")]
        text += f"\n## {section}\n\n{top.schema['description']}\n"
        for kind in dict.fromkeys(key.kind for key in members):
            if kind:
                word, name = kind.split(": ")
                text += f"\n### {kind}\n\n{json_schema(kinds(model)[word][name])['description']}\n"
            text += "\n" + _HEADER + _rows(key for key in members if key.kind == kind)
    return text


def _rows(members: Iterable[Key]) -> str:
    return "".join(
        f"| `{key.path}` | {_allowed(key.schema)} | {key.schema.get('x-unit', '')} "
        f"| {_default(key)} | {_effect(key.schema)} |\n"
        for key in members
    )


def _allowed(schema: Schema) -> str:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values:
        return ", ".join(f"`{yaml_scalar(each)}`" for each in values)
    if "object" in types(schema):
        return "group or `null`" if "null" in types(schema) else "group"
    return expectation(schema)


def _default(key: Key) -> str:
    if "default" in key.schema:
        default = key.schema["default"]
        return "as below" if default == {} else f"`{yaml_scalar(default)}`"
    return "*required*" if key.required else "–"


def _effect(schema: Schema) -> str:
    examples = [f" Example: `{yaml_scalar(each)}`." for each in schema.get("examples", [])[:1]]
    return "".join([schema["description"], *examples]).replace("|", "\\|")


def main() -> None:
    """Write the reference of the configuration to standard output."""
    sys.stdout.write(reference(Configuration))


if __name__ == "__main__":
    main()
