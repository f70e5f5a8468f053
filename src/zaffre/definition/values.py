# SPDX-License-Identifier: Apache-2.0
"""The kinds of value that a definition is written in: each declared once, with its form in words.

A value's type carries its validator (which says what is expected, with an example) and its JSON Schema
pattern, so that the loader's messages, the schema and the reference cannot disagree.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema


class Model(BaseModel):
    """Base of all models: unknown keys are errors, nothing is converted silently, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


def _form(pattern: str, what: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Metadata of a string type: `pattern` must match all of it, `what` is said when it does not."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            message = f"{value!r} is not {what}"
            raise ValueError(message)
        return value

    schema = {"type": "string", "pattern": f"^(?:{pattern})$", "description": what}
    return AfterValidator(check), WithJsonSchema(schema)


# Debian policy 5.6.1 and 5.6.7; RPM names may hold capitals and underscores too.
_PACKAGE = r"[A-Za-z0-9][A-Za-z0-9+._-]+"
_VERSION = r"[A-Za-z0-9.+~:-]+"

_package = _form(_PACKAGE, 'the name of a package, such as "iproute2"')
PackageName = Annotated[str, *_package]
_package_pattern = _form(
    r"(?:[A-Za-z0-9+._-]|\{arch\})+", 'the name of a package, in which "{arch}" may stand for the architecture'
)
PackagePattern = Annotated[str, *_package_pattern]
_provided = _form(rf"{_PACKAGE}(?: \(= {_VERSION}\))?", 'a virtual package, such as "runc" or "runc (= 1.3)"')
ProvidedName = Annotated[str, *_provided]
_identifier = _form(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", "a name of lower-case letters, digits, '.', '_' and '-'")
Identifier = Annotated[str, *_identifier]
_path = _form(
    r"/(?:(?!\.\.?(?:/|$))[^/\0\n]+(?:/(?!\.\.?(?:/|$))[^/\0\n]+)*)?",
    "an absolute path without '.', '..' or a '/' at its end",
)
AbsolutePath = Annotated[str, *_path]
"""A path, or a glob pattern of paths, in the image."""
_relative = _form(
    r"(?!\.\.?(?:/|$))[^/\0\n]+(?:/(?!\.\.?(?:/|$))[^/\0\n]+)*",
    "a path relative to the definition, without '.' or '..'",
)
RelativePath = Annotated[str, *_relative]
_module = _form(r"[A-Za-z0-9_*?\[\]/.-]+", 'the name of a kernel module or a glob pattern of names, such as "nf_*"')
ModulePattern = Annotated[str, *_module]
_module_name = _form(r"[A-Za-z0-9_-]+", 'the name of a kernel module, such as "br_netfilter"')
ModuleName = Annotated[str, *_module_name]
# systemd.unit(5)
_unit = _form(
    r"[A-Za-z0-9:_.\\@-]+\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)",
    'a systemd unit with its suffix, such as "containerd.service"',
)
UnitName = Annotated[str, *_unit]
_user = _form(r"[a-z_][a-z0-9_-]{0,30}", "the name of a user or group")
UserName = Annotated[str, *_user]
_owner = _form(
    r"[a-z_][a-z0-9_-]*:[a-z_][a-z0-9_-]*:(?:0?[0-7]{3}|[1-7][0-7]{3})",
    'an owner "user:group:mode", such as "root:systemd-network:0640"',
)
Owner = Annotated[str, *_owner]
_argument = _form(r"[^\s\0](?:[^\n\0]*[^\s\0])?", "one argument or line, without white space at its ends")
Line = Annotated[str, *_argument]
# sysctl.d(5); a '/' is the other separator
_sysctl = _form(r"-?[a-z0-9_]+(?:[./][A-Za-z0-9_*:-]+)+", 'a kernel setting, such as "net.ipv4.ip_forward"')
SysctlKey = Annotated[str, *_sysctl]
# os-release(5)
_os_key = _form(r"[A-Z][A-Z0-9_]*", 'a key of os-release in capitals, such as "SUPPORT_END"')
OsReleaseKey = Annotated[str, *_os_key]
# mkfs.erofs(1): -z
_compressor = _form(
    r"none|lz4|lz4hc(?:,(?:[0-9]|1[0-2]))?|zstd(?:,(?:[1-9]|1[0-9]|2[0-2]))?|lzma(?:,[0-9])?|deflate(?:,[0-9])?",
    'a compressor of erofs with its level, such as "lz4hc,9", "zstd,12" or "none"',
)
Compressor = Annotated[str, *_compressor]
_url = _form(r"https?://[^\s]+", 'a URL, such as "https://linux.example/"')
Url = Annotated[str, *_url]
_repository = _form(
    r"(?:(?!\.\.?(?:/|$))(?:[A-Za-z0-9+._~@-]|\{arch\}|\{basearch\})+)(?:/(?!\.\.?(?:/|$))(?:[A-Za-z0-9+._~@-]|\{arch\}|\{basearch\})+)*",
    'a directory below an archive, in which "{basearch}" and "{arch}" may stand for the architecture',
)
RepositoryPath = Annotated[str, *_repository]
_secure_url = _form(
    r"https://[^\s]+", 'an https:// URL, in which "{basearch}" and "{arch}" may stand for the architecture'
)
SecureUrlPattern = Annotated[str, *_secure_url]
_reference = _form(
    r"[a-z0-9.-]+(?:/[a-z0-9._-]+)+:[A-Za-z0-9._-]+", 'an image reference, such as "zaffre.local/probe:1"'
)
ImageReference = Annotated[str, *_reference]

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _parse_size(value: object) -> int:
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9][0-9]{0,8})([KMGT])", value)):
        size = int(match[1]) * _UNITS[match[2]]
        if size % 4096:
            message = f"{value!r} is not a multiple of 4K, the size of a block"
            raise ValueError(message)
        return size
    message = f'{value!r} is not a size: a whole number with K, M, G or T (powers of 1024), such as "96M"'
    raise ValueError(message)


Size = Annotated[
    int,
    BeforeValidator(_parse_size),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,8}[KMGT]$", "description": "a size, such as 96M"}),
]
"""Written as "96M" (powers of 1024), held in bytes; a multiple of 4096."""


def format_size(size: int) -> str:
    """The shortest spelling that `Size` reads as `size` bytes."""
    for unit, factor in reversed(_UNITS.items()):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    message = f"{size} bytes is not a multiple of 1K"
    raise ValueError(message)


class Architecture(StrEnum):
    """Machines that an image can be for, by Debian's names."""

    AMD64 = "amd64"
    ARM64 = "arm64"


class Kind(StrEnum):
    """What an image is sealed into."""

    HOST = "host"
    SYSEXT = "sysext"


class Verification(StrEnum):
    """What vouches for the metadata of a repository of RPM packages."""

    SIGNATURE = "signature"
    METALINK = "metalink"


# An enum is written as its value, which strict mode would refuse.
LaxArchitecture = Annotated[Architecture, Field(strict=False)]
LaxKind = Annotated[Kind, Field(strict=False)]
LaxVerification = Annotated[Verification, Field(strict=False)]

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a TOML file: keys of tables and indexes of lists."""


def dotted(path: KeyPath) -> str:
    """A key path as people write it: `kernel.modules[3]`, with quotes around keys that TOML wants quoted."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            out += f".{name}" if out else name
    return out
