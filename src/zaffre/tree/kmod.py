# SPDX-License-Identifier: Apache-2.0
"""Which kernel modules a tree has, and what each needs: modules.dep, .softdep and .builtin as depmod(8) wrote them."""

from __future__ import annotations

import difflib
import gzip
import lzma
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import zstandard

from zaffre.definition import for_architecture
from zaffre.errors import DefinitionError
from zaffre.tree.rootfs import inside

_MODULES = "usr/lib/modules"
_PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
"""How distributions compress modules (depmod(8)), by what their names end in."""


@dataclass(frozen=True)
class KernelModules:
    """The modules of one kernel. Names have `_` for `-`; paths are relative to the version's folder."""

    version: str
    paths: Mapping[str, str]
    needs: Mapping[str, tuple[str, ...]]
    builtin: frozenset[str]

    @classmethod
    def of_root(cls, root: Path) -> KernelModules:
        """Read the single kernel of a root file tree. Raises DefinitionError when there is none, or several."""
        folder = root / _MODULES
        versions = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        if len(versions) != 1:
            raise DefinitionError(
                f"the tree has {len(versions)} kernels ({', '.join(versions) or 'none'}); an image takes exactly one",
                where="kernel.package",
            )
        base = folder / versions[0]
        paths: dict[str, str] = {}
        needs: dict[str, tuple[str, ...]] = {}
        for line in (base / "modules.dep").read_text().splitlines():
            path, _, after = line.partition(":")
            paths[_name(path)] = path
            needs[_name(path)] = tuple(_name(other) for other in after.split())
        aliases = _aliases(base / "modules.alias")
        for line in (base / "modules.softdep").read_text().splitlines():
            words = line.split()
            if words[:1] == ["softdep"] and words[1].replace("-", "_") in needs:
                name = words[1].replace("-", "_")
                for word in (word.replace("-", "_") for word in words[2:] if not word.endswith(":")):
                    # A soft dependency may be what several modules are, such as a sum: libcrc32c wants a "crc32c".
                    needs[name] += (word,) if word in paths else aliases.get(word, ())
        builtin = frozenset(_name(line) for line in (base / "modules.builtin").read_text().splitlines())
        return cls(versions[0], paths, needs, builtin)

    def closure(self, patterns: Iterable[str], *, key: str, architecture: str) -> frozenset[str]:
        """Paths of the modules that match the names or globs for `architecture`, with all that they need.

        A built-in module needs nothing. Raises DefinitionError for a name that the kernel does not know; `key` is
        the list of the definition that holds the patterns.
        """
        wanted: list[str] = []
        for number, item in enumerate(patterns):
            if (pattern := for_architecture(item, architecture)) is None:
                continue
            normal = pattern.replace("-", "_")
            found = [name for name in self.paths if fnmatchcase(name, normal)]
            if not found and normal not in self.builtin:
                near = difflib.get_close_matches(normal, [*self.paths, *self.builtin], n=3)
                raise DefinitionError(
                    f"the kernel {self.version} has no module {pattern}",
                    where=f"{key}[{number}]",
                    resolution=f"did you mean {', '.join(near)}?"
                    if near
                    else "look at modules.dep of the kernel package",
                )
            wanted.extend(found)
        seen: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name not in seen and name in self.paths:
                seen.add(name)
                wanted.extend(self.needs[name])
        return frozenset(self.paths[name] for name in seen)


def _aliases(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Modules by the plain names that they answer to; patterns of devices are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        kind, alias, module = (*line.split(), "", "", "")[:3]
        if kind == "alias" and not set(alias) & set("*?[:"):
            name = alias.replace("-", "_")
            found[name] = (*found.get(name, ()), module.replace("-", "_"))
    return found


def plain_name(path: str) -> str:
    """The path of a module when it is not compressed."""
    if ".ko." not in path:  # as with nearly all
        return path
    return next((path.removesuffix(suffix) for suffix in _PACKED if path.endswith(f".ko{suffix}")), path)


def plain_content(module: Path) -> bytes:
    """A module, as the kernel wants it. The images are compressed as a whole: packed twice it only loads slower."""
    data = module.read_bytes()
    return _PACKED[module.suffix](data) if module.suffix in _PACKED else data


def kernel_image(root: Path, version: str) -> Path:
    """The kernel itself: beside its modules, or in /boot. Raises DefinitionError when it is in neither."""
    paths = (f"{_MODULES}/{version}/vmlinuz", f"boot/vmlinuz-{version}")
    found = next((place for place in (inside(root, path) for path in paths) if place.is_file()), None)
    if found is None:
        raise DefinitionError(
            f"the tree has no kernel {version}",
            where="kernel.package",
            details="\n".join(f"/{path} is not there" for path in paths),
        )
    return found


def _name(path: str) -> str:
    return PurePosixPath(path).name.split(".ko")[0].replace("-", "_")
