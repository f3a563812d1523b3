"""The JSON schema of an experiment file, for editors that complete and check what a person writes."""

from importlib.metadata import entry_points
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from raysim.core.extensions import load_class
from raysim.experiment.config import Experiment
from raysim.mitigations.registry import mitigation_settings
from raysim.simulation.registry import GROUP
from raysim.simulation.strategy import Strategy, StrategySettings


class _Generator(GenerateJsonSchema):
    """Leaves out titles, which would repeat the names of the settings."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def experiment_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of an experiment, with every setting's description, those of strategies and mitigations too.

    It knows types, bounds and names; what depends on several settings at once is checked when the file is read.

    Raises:
        InputError: an installed strategy or mitigation cannot be loaded.
    """
    settings, mitigations = _strategy_settings(), mitigation_settings()
    classes = [Experiment, *dict.fromkeys([*settings.values(), *mitigations.values()])]
    references, schema = models_json_schema([(c, "validation") for c in classes], schema_generator=_Generator)
    definitions = schema["$defs"]
    experiment = definitions.pop("Experiment")
    experiment["properties"]["strategies"]["items"] = {
        "oneOf": [
            entry
            for name, owner in sorted(settings.items())
            for entry in _entries(name, references[owner, "validation"])
        ]
    }
    own = {name: {"anyOf": [references[c, "validation"], {"type": "null"}]} for name, c in sorted(mitigations.items())}
    together = {"type": "object", "properties": own, "additionalProperties": False, "minProperties": 1}
    experiment["properties"]["mitigations"]["items"] = {"anyOf": [{"enum": sorted(own)}, together]}
    return {"$schema": GenerateJsonSchema.schema_dialect, **experiment, "$defs": definitions}


def _strategy_settings() -> dict[str, type[StrategySettings]]:
    """The settings class of every installed strategy, by the strategy's name."""
    return {point.name: load_class(point, "strategy", Strategy).Settings for point in entry_points(group=GROUP)}


def _entries(name: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The two ways to write an entry of `strategies`: its name, or its name with settings."""
    whole = {
        "type": "object",
        "properties": {name: {"anyOf": [settings, {"type": "null"}]}},
        "required": [name],
        "additionalProperties": False,
    }
    return [{"const": name}, whole]
