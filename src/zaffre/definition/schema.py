# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the definition's files, derived from the models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from zaffre.definition.component import COMPONENT_FILE, COMPONENTS, ComponentFile
from zaffre.definition.distribution import DistributionFile
from zaffre.definition.forms import Form
from zaffre.definition.image import Disk, Fragment, ImageFile
from zaffre.definition.merge import OWN_KEYS
from zaffre.definition.overlay import OVERLAYS, OverlayFile
from zaffre.definition.upstream import DebUpstreamFile, RpmUpstreamFile
from zaffre.definition.values import format_size
from zaffre.definition.vex import VEX, StatementFile

# A file is of one of several forms where a key of it (`family`) says of which.
_FILES: dict[str, tuple[type[BaseModel], ...]] = {
    "zaffre.toml": (DistributionFile,),
    "upstreams/*.toml": (DebUpstreamFile, RpmUpstreamFile),
    f"{COMPONENTS}/*/{COMPONENT_FILE}": (ComponentFile,),
    f"{COMPONENTS}/*/{OVERLAYS}/*.toml": (OverlayFile,),
    "profiles/*.toml": (Fragment,),
    "images/*.toml": (ImageFile,),
    f"{VEX}/*.toml": (StatementFile,),
}
_MODE: Literal["validation"] = "validation"


def json_schema() -> dict[str, Any]:
    """A schema (2020-12) with a definition for every table; `properties` names the one of each file.

    An editor that checks a file points at the definition of its kind, such as "#/$defs/ImageFile".
    """
    references, schema = models_json_schema([(model, _MODE) for models in _FILES.values() for model in models])
    definitions: dict[str, Any] = schema["$defs"]
    del definitions[Form.__name__]  # the items of `forms` say it themselves
    for name in _inherited_tables(definitions, (Fragment.__name__, ImageFile.__name__)):
        for key, value in definitions[name]["properties"].items():
            if key not in OWN_KEYS and "pattern" in value.get("items", {}):
                pattern = value["items"]["pattern"].removeprefix("^").removesuffix("$")
                value["items"] = {**value["items"], "pattern": f"^-?{pattern}$"}
    for definition in definitions.values():
        for value in definition.get("properties", {}).values():
            _tidy(value)
    for value in definitions[Disk.__name__]["properties"].values():
        if isinstance(value["default"], int):
            value["default"] = format_size(value["default"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The definition of a distribution",
        "description": 'TOML files below one directory. In lists that images inherit, "-x" takes x away.',
        "type": "object",
        "properties": {
            file: choices[0] if len(choices) == 1 else {"oneOf": choices}
            for file, models in _FILES.items()
            if (choices := [references[model, _MODE] for model in models])
        },
        "$defs": definitions,
    }


def _tidy(value: dict[str, Any]) -> None:
    """Take out what TOML cannot write (null) and what the table's own definition says already."""
    if "$ref" in value and isinstance(value.get("default"), dict):
        del value["default"]
    if value.get("default", ...) is None:
        del value["default"]
        (only,) = (choice for choice in value.pop("anyOf") if choice != {"type": "null"})
        value.update({**only, **value})


def _inherited_tables(definitions: dict[str, Any], roots: tuple[str, ...]) -> list[str]:
    """Names of the definitions that are tables of an image, not items of a list: where "-x" has a meaning."""
    found = list(roots)
    for name in found:
        for value in definitions[name]["properties"].values():
            reference = value.get("$ref", "").removeprefix("#/$defs/")
            if "properties" in definitions.get(reference, {}) and reference not in found:
                found.append(reference)
    return found
