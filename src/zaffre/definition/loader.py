# SPDX-License-Identifier: Apache-2.0
"""Reads a distribution from its directory: every file, every error at once.

    zaffre.toml  upstreams/*.toml  components/*/component.toml  profiles/*.toml  images/*.toml

Each file is validated alone first, so that an error names the file that holds it; then images are merged with
what they extend and mix in, validated as a whole, and checked for contradictions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from zaffre.definition.check import check_files, check_image, check_references
from zaffre.definition.component_loader import ComponentLoader
from zaffre.definition.distribution import DISTRIBUTION_FILE, Distribution, DistributionFile, Upstream, UpstreamFile
from zaffre.definition.image import Fragment, Image, ImageFile
from zaffre.definition.lineage import Lineage
from zaffre.definition.merge import Layer, Origin, additions, merge, origin_of
from zaffre.definition.problems import near, problems_of, raise_problems
from zaffre.definition.reader import Reader
from zaffre.definition.values import KeyPath
from zaffre.errors import DefinitionError

_MAX_KEYRING_BYTES = 1 << 20
_ARMOUR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


def load_distribution(root: Path) -> Distribution:
    """The distribution in directory `root`. DefinitionError lists all that is wrong with it."""
    if not (root / DISTRIBUTION_FILE).is_file():
        raise DefinitionError(
            f"there is no {DISTRIBUTION_FILE} here",
            where=str(root),
            resolution="name the directory of a distribution, or make one with `zaffre init`",
        )
    loader = _Loader(root, [])
    distribution = loader.load()
    raise_problems(loader.problems, str(root))
    if distribution is None:
        message = "a distribution without problems has not been loaded"
        raise AssertionError(message)
    return distribution


class _Loader(Reader):
    def load(self) -> Distribution | None:
        main = self._model(DISTRIBUTION_FILE, DistributionFile)
        upstreams = {
            name: upstream
            for name, file in self._files("upstreams").items()
            if (upstream := self._upstream(name, file))
        }
        known_upstreams = set(self._files("upstreams", quiet=True))
        if main and main.defaults.upstream not in known_upstreams:
            self._add(
                DISTRIBUTION_FILE,
                ("defaults", "upstream"),
                f"there is no upstream {main.defaults.upstream!r} in upstreams/",
                near(main.defaults.upstream, known_upstreams),
            )
        elif (
            main
            and (default := upstreams.get(main.defaults.upstream))
            and main.defaults.architecture not in default.architectures
        ):
            self._add(
                DISTRIBUTION_FILE,
                ("defaults", "architecture"),
                f"upstream {default.name!r} has no {main.defaults.architecture}",
                f"it has {', '.join(default.architectures)}",
            )
        components = ComponentLoader(self.root, self.problems).load(
            upstreams, known_upstreams, default=main.defaults.upstream if main else None
        )
        images, lineage, provenance = self._images(main, known_upstreams)
        if main is None or self.problems:
            return None
        return Distribution(
            root=self.root,
            identity=main.distribution,
            defaults=main.defaults,
            tools=main.tools,
            seed=main.seed,
            upstreams=upstreams,
            components=components,
            images=images,
            lineage=lineage,
            provenance=provenance,
        )

    def _images(
        self, main: DistributionFile | None, known_upstreams: set[str]
    ) -> tuple[dict[str, Image], dict[str, tuple[str, ...]], dict[str, Mapping[KeyPath, Origin]]]:
        layers: dict[str, Layer | None] = {}
        for folder, model in (("profiles", Fragment), ("images", ImageFile)):
            for file in self._files(folder).values():
                table = self._read(file)
                layers[file] = Layer(file, table) if table is not None and self._valid(file, table, model) else None
        ancestry = Lineage(layers)
        lineage: dict[str, tuple[str, ...]] = {}
        images: dict[str, Image] = {}
        provenance: dict[str, Mapping[KeyPath, Origin]] = {}
        for name, file in self._files("images", quiet=True).items():
            ancestors = ancestry.of(file)
            if ancestors is None:
                continue
            lineage[name] = tuple(layer.file for layer in ancestors)
            merged = merge(ancestors)
            self.problems += merged.problems
            table = {"upstream": main.defaults.upstream if main else "unknown", **merged.table, "name": name}
            origins: dict[KeyPath, Origin] = {
                ("upstream",): Origin(DISTRIBUTION_FILE, ("defaults", "upstream")),
                **merged.origins,
            }
            provenance[name] = origins
            try:
                image = Image.model_validate(table)
            except ValidationError as error:
                for problem in problems_of(error, Image, table, file):
                    origin = origin_of(origins, problem.key)
                    self._add(origin.file, origin.key, problem.message, problem.suggestion)
                continue
            images[name] = image
            self.problems += check_image(image, origins)
            self.problems += check_files(image, origins, self.root)
        self.problems += ancestry.problems
        known = set(self._files("images", quiet=True))
        for image in images.values():
            self.problems += check_references(image, provenance[image.name], images, known, known_upstreams)
        return images, lineage, provenance

    def _upstream(self, name: str, file: str) -> Upstream | None:
        loaded = self._model(file, UpstreamFile)
        if loaded is None:
            return None
        keyring = self.root / "upstreams" / loaded.keyring
        archives = {suite.archive for suite in loaded.suites}
        for archive in sorted(set(loaded.archives) - archives):
            self._add(file, ("archives", archive), f"no suite is in archive {archive!r}", near(archive, archives))
        seen: set[tuple[str, str]] = set()
        for index, suite in enumerate(loaded.suites):
            if (suite.archive, suite.suite) in seen:
                self._add(file, ("suites", index), f"suite {suite.suite!r} of {suite.archive!r} is named twice")
            seen.add((suite.archive, suite.suite))
        try:
            size, start = keyring.stat().st_size, keyring.open("rb").read(4096)
        except OSError as error:
            self._add(file, ("keyring",), f"cannot read upstreams/{loaded.keyring}: {error.strerror}")
            return None
        if size > _MAX_KEYRING_BYTES or _ARMOUR not in start:
            self._add(
                file,
                ("keyring",),
                f"upstreams/{loaded.keyring} is not an ASCII-armoured OpenPGP keyring",
                "make one with `gpg --armor --export`",
            )
            return None
        return Upstream(**dict(loaded), name=name, keyring_file=keyring)

    def _files(self, folder: str, *, quiet: bool = False) -> dict[str, str]:
        """Names and files of a folder; a name that nothing could refer to is a problem unless `quiet`."""
        found = {}
        for path in sorted((self.root / folder).glob("*.toml")):
            file = f"{folder}/{path.name}"
            if re.fullmatch(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", path.stem):
                found[path.stem] = file
            elif not quiet:
                self._add(file, (), "the name of the file must be of lower-case letters, digits, '.', '_' and '-'")
        return found

    def _valid(self, file: str, table: Mapping[str, object], model: type[BaseModel]) -> bool:
        plain = additions(table)
        try:
            model.model_validate(plain)
        except ValidationError as error:
            self.problems += problems_of(error, model, plain, file)
            return False
        return True
