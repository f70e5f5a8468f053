# SPDX-License-Identifier: Apache-2.0
"""The kinds of value that a definition is written in: each declared once, with its form in words.

A value's type carries its validator (which says what is expected, with an example) and its JSON Schema
pattern, so that the loader's messages, the schema and the reference cannot disagree.
"""

from __future__ import annotations

import datetime as dt
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
_channel = _form(
    r"(?!snapshots$)[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?",
    "the name of a channel: lower-case letters, digits, '.', '_' and '-', and not \"snapshots\"",
)
ChannelName = Annotated[str, *_channel]
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
_module = _form(
    r"[A-Za-z0-9_*?\[\]/.-]+(?: \[(?:amd64|arm64)\])?",
    'the name of a kernel module or a glob pattern of names, such as "nf_*"; with " [arm64]", only there',
)
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
# The file of a layer is what gzip or zstd of the tools tree makes of it: gzip(1), zstd(1).
_layer_compressor = _form(
    r"gzip,[1-9]|zstd,(?:[1-9]|1[0-9])",
    'a compressor of layers with its level, "gzip,1" to "gzip,9" or "zstd,1" to "zstd,19"',
)
LayerCompressor = Annotated[str, *_layer_compressor]
# image-spec, config.md: "user, uid, user:group, uid:gid, uid:group, user:gid"
_container_user = _form(
    r"(?:[a-z_][a-z0-9_-]{0,30}|[0-9]{1,5})(?::(?:[a-z_][a-z0-9_-]{0,30}|[0-9]{1,5}))?",
    'a user, a number, or either with its group, such as "nonroot" or "65532:65532"',
)
ContainerUser = Annotated[str, *_container_user]
_label = _form(r"[a-z0-9]+(?:[./_-][a-z0-9]+)*", 'the key of a label, such as "com.example.team"')
LabelKey = Annotated[str, *_label]
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
# dpkg's build options and profiles, names of RPM's %bcond, Go's build tags
_option = _form(r"[A-Za-z0-9][A-Za-z0-9+._=,-]*", 'an option of the build, such as "nodoc" or "parallel=4"')
BuildOption = Annotated[str, *_option]
_variable = _form(r"[A-Za-z_][A-Za-z0-9_]*", 'the name of a variable, such as "CGO_ENABLED"')
VariableName = Annotated[str, *_variable]
_macro = _form(r"[A-Za-z_][A-Za-z0-9_]{2,}", 'the name of an RPM macro: three or more letters, digits or "_"')
MacroName = Annotated[str, *_macro]
# Debian policy 7.1 and RPM's dependencies: one of them, with its alternatives and conditions
_relation = _form(
    r"[A-Za-z0-9(/$%][^,\n\0]*(?<=\S)", 'one dependency, such as "libexpat1-dev (>= 2.5)" or "pkgconfig(expat) >= 2.5"'
)
Relation = Annotated[str, *_relation]
_depended = _form(
    r"\([^,\n\0]+\)|[A-Za-z0-9/$%][^\s,\0]*", 'the name in a dependency, such as "libexpat1-dev" or "pkgconfig(expat)"'
)
DependencyName = Annotated[str, *_depended]
_installed = _form(
    r"(?!\.\.?(?:/|$))[^\s/\0]+(?:/(?!\.\.?(?:/|$))[^\s/\0]+)*",
    'an installed path or glob pattern without its first "/", such as "usr/bin/ctr"',
)
PathPattern = Annotated[str, *_installed]
_version = _form(_VERSION, 'a version, such as "2.1.12-8"')
VersionString = Annotated[str, *_version]
# golang.org/x/mod/module (CheckPath): no part of it is empty, or begins or ends with a dot.
_MODULE_PART = r"[A-Za-z0-9~_-](?:[A-Za-z0-9.~_-]*[A-Za-z0-9~_-])?"
_module_path = _form(rf"{_MODULE_PART}(?:/{_MODULE_PART})*", 'the path of a Go module, such as "go.example/tool"')
GoModulePath = Annotated[str, *_module_path]
_module_version = _form(
    r"v[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+incompatible)?", 'the version of a Go module, such as "v1.34.2"'
)
GoModuleVersion = Annotated[str, *_module_version]
_module_sum = _form(r"h1:[A-Za-z0-9+/]{43}=", 'a checksum as in go.sum: "h1:" and 44 characters of base64')
GoModuleSum = Annotated[str, *_module_sum]
_go_package = _form(
    r"\.(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)*", 'a package of the module, such as "./cmd/kubelet" or "."'
)
GoPackage = Annotated[str, *_go_package]
_ELSEWHERE = r"https?://\S+|CVE-[0-9]{4}-[0-9]{4,}|GHSA(?:-[0-9a-z]{4}){3}|D[LS]A-[0-9]+(?:-[0-9]+)?|[a-z]+#[0-9]+"
_link = _form(
    rf"{_ELSEWHERE}|(?!\.\.?(?:/|$))[A-Za-z0-9._-]+(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._-]+)*",
    'a URL, a known hole or bug such as "CVE-2026-1234" or "debian#1012345", or a file of the component',
)
Link = Annotated[str, *_link]


_vulnerability = _form(
    r"[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9.+_:~-]+", 'the name of a vulnerability, such as "CVE-2026-1234" or a record\'s id'
)
VulnerabilityName = Annotated[str, *_vulnerability]


def is_module_path(text: str) -> bool:
    """Whether it can be a `GoModulePath`: one that leads nowhere but down."""
    return re.fullmatch(rf"{_MODULE_PART}(?:/{_MODULE_PART})*", text) is not None


def is_file_link(link: str) -> bool:
    """Whether a `Link` names a file of the component."""
    return not re.fullmatch(_ELSEWHERE, link)


_DAY = "a date without quotes, such as 2026-11-25"


def _parse_day(value: object) -> dt.date:
    if type(value) is not dt.date:
        message = f"must be {_DAY}"
        raise ValueError(message)
    return value


Day = Annotated[dt.date, BeforeValidator(_parse_day)]


def _parse_until(value: object) -> str | dt.date:
    if type(value) is dt.date:
        return value
    if not isinstance(value, str):
        message = f"must be a version of the upstream in quotes, or {_DAY}"
        raise ValueError(message)  # noqa: TRY004 - pydantic's way to say it
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        message = f"{value!r} is a date: write it without quotes"
        raise ValueError(message)
    if not re.fullmatch(_VERSION, value):
        message = f'{value!r} is not a version, such as "2.1.12-8"'
        raise ValueError(message)
    return value


Until = Annotated[str | dt.date, BeforeValidator(_parse_until)]
"""A version of the upstream, or a day."""

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


_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def _parse_duration(value: object) -> int:
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", value)):
        return int(match[1]) * _SECONDS[match[2]]
    message = f'{value!r} is not a duration: a whole number with m, h or d (minutes, hours, days), such as "36h"'
    raise ValueError(message)


Duration = Annotated[
    int,
    BeforeValidator(_parse_duration),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,5}[mhd]$", "description": "a duration, such as 36h"}),
]
"""Written as "90m", "36h" or "7d", held in seconds."""
Percent = Annotated[float, Field(gt=0, le=100)]


def parse_duration(text: str) -> int:
    """The seconds of a duration as `Duration` spells it. Raises ValueError, with the form in words."""
    return _parse_duration(text)


class Architecture(StrEnum):
    """Machines that an image can be for, by Debian's names."""

    AMD64 = "amd64"
    ARM64 = "arm64"


def for_architecture(pattern: str, architecture: str) -> str | None:
    """A `ModulePattern` without the architecture that it is restricted to, as Debian's relations are ("x [arm64]");
    None on another.
    """
    name, _, only = pattern.partition(" ")
    return name if only in {"", f"[{architecture}]"} else None


class Kind(StrEnum):
    """What an image is sealed into."""

    HOST = "host"
    SERVER = "server"
    SYSEXT = "sysext"
    CONFEXT = "confext"
    CONTAINER = "container"
    WSL = "wsl"

    @property
    def boots(self) -> bool:
        """Whether it is a system of its own, with a kernel."""
        return self in {Kind.HOST, Kind.SERVER}

    @property
    def has_root(self) -> bool:
        """Whether it is a whole system, the files of which can be handed over as they are."""
        return self not in {Kind.SYSEXT, Kind.CONFEXT, Kind.CONTAINER}

    @property
    def has_own_packages(self) -> bool:
        """Whether its package manager goes on changing it, so that what is ours in it comes as packages."""
        return self in {Kind.SERVER, Kind.WSL}


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
