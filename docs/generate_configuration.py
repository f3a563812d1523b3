"""Prints docs/configuration.md, the reference of every setting, from the settings classes themselves.

    python docs/generate_configuration.py > docs/configuration.md

Only what raysim's own distribution registers is listed, so that the page does not depend on what else is installed.
"""

from collections.abc import Iterator
from importlib.metadata import distribution

from raysim.core.settings import Settings
from raysim.experiment.reference import SettingsGroup, settings_groups

HEAD = """\
# Configuration

<!-- Written by docs/generate_configuration.py; change the settings classes, not this page. -->

An experiment is one YAML file. Every setting is checked before anything starts, and an error names the field, what was
given and what is allowed. Only `name`, `organizations`, `tokenizer`, `model` and `strategies` must be there.

- `--set a.b=c` on the command line overrides one setting; `c` is YAML. A path runs into `strategies` by label:
  `--set strategies.fedyogi.eta=0.03`.
- `raysim schema` prints all of this as a JSON schema, from which editors complete and check a file.
- A **size** is a number of bytes or text such as `40 KB` (1 KB = 1000 bytes). A **share** is a number up to 1 or text
  such as `20 %`. Relative paths start from the folder of the experiment file.
- *required*: there is no default. *unset*: nothing is there unless you write it.
"""


def link(path: str) -> str:
    """The anchor that the site makes of a heading."""
    return "#" + "".join(c for c in path.lower() if c.isalnum() or c in "_-")


def rows(group: SettingsGroup) -> Iterator[tuple[str, str, str, str]]:
    for setting in group.settings():
        shown = f"`{setting.path}`"
        if setting.groups:
            shown = f"[{shown}]({link(setting.groups[0])})"
        yield shown, setting.type, setting.default, setting.meaning


def escaped(cell: str) -> str:
    """Text for a cell: a bar would end it, and asterisks outside code would be emphasis."""
    if "`" not in cell and not cell.startswith("*"):
        cell = cell.replace("*", "\\*")
    return cell.replace("|", "\\|")


def page() -> str:
    parts = [HEAD]
    seen: dict[type[Settings], str] = {}
    own = distribution("raysim").entry_points
    groups = "raysim.strategies", "raysim.measures", "raysim.mitigations"
    points = [point for group in groups for point in own.select(group=group)]
    for group in settings_groups(points):
        path, owner = group.path, group.owner
        parts.append(f"## {path or 'The file'}\n")
        if owner in seen:
            parts.append(f"The settings of [`{seen[owner]}`]({link(seen[owner])}).\n")
            continue
        seen[owner] = path
        parts += [group.about + "\n", "| setting | type | default | meaning |", "|---|---|---|---|"]
        for row in rows(group):
            parts.append("| " + " | ".join(map(escaped, row)) + " |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
