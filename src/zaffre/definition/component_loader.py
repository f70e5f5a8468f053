# SPDX-License-Identifier: Apache-2.0
"""Reads the components of a distribution: `components/*/component.toml` and their overlays, every error at once.

Thousands of them are loaded by each command, so a folder is looked into once and a file is read once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from zaffre.definition.component import COMPONENT_FILE, COMPONENTS, Component, ComponentFile
from zaffre.definition.component_check import check_component, check_component_files
from zaffre.definition.overlay import OVERLAYS, Overlay, OverlayFile
from zaffre.definition.problems import near, problems_of
from zaffre.definition.reader import Reader
from zaffre.definition.upstream import Upstream

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]+")
_OVERLAY = re.compile(r"([0-9]{4})-[a-z0-9][a-z0-9._-]*\.toml")


class ComponentLoader(Reader):
    """Loads components one by one; a faulty one is left out, and `problems` says why."""

    def load(
        self, upstreams: Mapping[str, Upstream], known_upstreams: set[str], *, default: str | None
    ) -> dict[str, Component]:
        """Components by name. Faulty upstreams are known, but say nothing of their family."""
        found: dict[str, Component] = {}
        for name in self._folders():
            component = self._component(name)
            if component is None:
                continue
            found[name] = component
            chosen = component.upstream or default
            if component.upstream is not None and component.upstream not in known_upstreams:
                self._add(
                    component.file,
                    ("upstream",),
                    f"there is no upstream {component.upstream!r} in upstreams/",
                    near(component.upstream, known_upstreams),
                )
            upstream = upstreams.get(chosen) if chosen else None
            self.problems += check_component(component, upstream)
            self.problems += check_component_files(component, self.root)
        return found

    def _folders(self) -> Iterator[str]:
        try:
            with os.scandir(self.root / COMPONENTS) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return
        for name in names:
            if _NAME.fullmatch(name):
                yield name
            else:
                self._add(f"{COMPONENTS}/{name}", (), "the name of the folder must be that of a package")

    def _component(self, name: str) -> Component | None:
        file = f"{COMPONENTS}/{name}/{COMPONENT_FILE}"
        table = self._read(file)
        overlays = self._overlays(name)
        if table is None:
            return None
        try:
            loaded = ComponentFile.model_validate(table)
        except ValidationError as error:
            self.problems += problems_of(error, ComponentFile, table, file)
            return None
        # All of it has been validated, and there are thousands.
        return Component.model_construct(**dict(loaded), name=name, overlays=tuple(overlays))

    def _overlays(self, name: str) -> list[Overlay]:
        folder = f"{COMPONENTS}/{name}/{OVERLAYS}"
        try:
            with os.scandir(f"{self.root}/{folder}") as entries:
                files = sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            self._add(folder, (), "is not a folder")
            return []
        found: list[Overlay] = []
        numbers: dict[int, str] = {}
        for entry in files:
            file = f"{folder}/{entry}"
            match = _OVERLAY.fullmatch(entry)
            if match is None:
                self._add(file, (), 'the name of an overlay is four digits and words, such as "0001-no-gui.toml"')
                continue
            number = int(match[1])
            if number in numbers:
                self._add(file, (), f"has the number of {numbers[number]}, so their order is not defined")
            numbers.setdefault(number, file)
            if loaded := self._model(file, OverlayFile):
                found.append(Overlay(**dict(loaded), number=number, file=file))
        return found
