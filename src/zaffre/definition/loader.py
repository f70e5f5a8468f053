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

from zaffre.definition.check import check_architectures, check_files, check_image, check_references
from zaffre.definition.component_loader import ComponentLoader
from zaffre.definition.distribution import DISTRIBUTION_FILE, TOOLS, Distribution, DistributionFile
from zaffre.definition.following import check_agent, check_update
from zaffre.definition.image import Fragment, Image, ImageFile
from zaffre.definition.lineage import Lineage
from zaffre.definition.merge import Layer, Origin, additions, merge, origin_of
from zaffre.definition.problems import near, problems_of, raise_problems
from zaffre.definition.reader import Reader
from zaffre.definition.repository import OWN
from zaffre.definition.upstream import (
    UPSTREAM_FILES,
    DebUpstream,
    DebUpstreamFile,
    RpmUpstream,
    RpmUpstreamFile,
    Upstream,
)
from zaffre.definition.values import KeyPath, Verification
from zaffre.definition.vex import StatementLoader
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
        if main:
            self._check_debian(TOOLS, main.tools.upstream, main, upstreams, known_upstreams)
        if main and main.repository and (main.repository.packages or main.repository.upstream):
            self._check_debian(OWN, main.repository.upstream, main, upstreams, known_upstreams)
        images, lineage, provenance = self._images(main, known_upstreams)
        for image in images.values():
            origins = provenance[image.name]
            self.problems += check_architectures(image, origins, images, upstreams.get(image.upstream))
        statements = StatementLoader(self.root, self.problems).load(set(self._files("images", quiet=True)))
        if main:
            self._check_feeds(main, upstreams, known_upstreams)
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
            repository=main.repository,
            release=main.release,
            advisories=main.advisories,
            statements=statements,
        )

    def _check_feeds(
        self, main: DistributionFile, upstreams: Mapping[str, Upstream], known_upstreams: set[str]
    ) -> None:
        if main.advisories.candidates is not None:
            given = main.advisories.candidates
            self._check_debian("advisories", given, main, upstreams, known_upstreams, key="candidates")
        for number, feed in enumerate(main.advisories.feeds):
            key: KeyPath = ("advisories", "feeds", number)
            if feed.upstream is not None and feed.upstream not in known_upstreams:
                said = f"there is no upstream {feed.upstream!r} in upstreams/"
                self._add(DISTRIBUTION_FILE, (*key, "upstream"), said, near(feed.upstream, known_upstreams))
            for name, file in (("file", feed.file), ("keyring", feed.keyring)):
                if file is not None and not (self.root / file).is_file():
                    self._add(DISTRIBUTION_FILE, (*key, name), f"there is no file {file}")

    def _check_debian(
        self,
        table: str,
        given: str | None,
        main: DistributionFile,
        upstreams: Mapping[str, Upstream],
        known_upstreams: set[str],
        *,
        key: str = "upstream",
    ) -> None:
        """The packages of that table are those of a Debian archive, whatever the images derive from."""
        name = given or main.defaults.upstream
        place: KeyPath = (table, key)
        if given and name not in known_upstreams:
            self._add(
                DISTRIBUTION_FILE, place, f"there is no upstream {name!r} in upstreams/", near(name, known_upstreams)
            )
        elif (found := upstreams.get(name)) and not isinstance(found, DebUpstream):
            others = sorted(one.name for one in upstreams.values() if isinstance(one, DebUpstream))
            self._add(
                DISTRIBUTION_FILE,
                place,
                f'upstream {name!r} has packages of the family "{found.family}", those of [{table}] are of "deb" ones',
                f"write {key} = {others[0]!r} in [{table}]" if others else f"add a Debian upstream for [{table}]",
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
            if name in {TOOLS, OWN}:
                self._add(file, (), f"{name!r} is what the packages of [{name}] are called: name the image otherwise")
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
            self.problems += check_update(image, origins, self.root)
        self.problems += ancestry.problems
        known = set(self._files("images", quiet=True))
        for image in images.values():
            self.problems += check_references(image, provenance[image.name], images, known, known_upstreams)
            self.problems += check_agent(image, provenance[image.name], images)
        return images, lineage, provenance

    def _upstream(self, name: str, file: str) -> Upstream | None:
        table = self._read(file)
        if table is None:
            return None
        family = table.get("family")
        model = UPSTREAM_FILES.get(family) if isinstance(family, str) else None
        if model is None:
            choices = " or ".join(f'"{choice}"' for choice in UPSTREAM_FILES)
            wrong = "is required" if family is None else f"must be {choices}"
            meant = near(family, UPSTREAM_FILES) if isinstance(family, str) else f"write {choices}"
            self._add(file, ("family",), wrong, meant)
            return None
        try:
            loaded = model.model_validate(table)
        except ValidationError as error:
            self.problems += problems_of(error, model, table, file)
            return None
        self._check_sources(loaded, file)
        keyring = self._keyring(loaded.keyring, file)
        if keyring is None:
            return None
        if isinstance(loaded, DebUpstreamFile):
            return DebUpstream(**dict(loaded), name=name, keyring_file=keyring)
        return RpmUpstream(**dict(loaded), name=name, keyring_file=keyring)

    def _check_sources(self, loaded: DebUpstreamFile | RpmUpstreamFile, file: str) -> None:
        """Suites or repositories that are named twice, and archives that none of them is in."""
        if isinstance(loaded, DebUpstreamFile):
            what = "suite"
            places = [("suites", index, one.archive, one.suite) for index, one in enumerate(loaded.suites)]
        else:
            what = "repository"
            given = [("repositories", index, one) for index, one in enumerate(loaded.repositories)]
            given += [("source_repositories", index, one) for index, one in enumerate(loaded.source_repositories)]
            places = [(key, index, one.archive, one.path) for key, index, one in given]
            for key, index, repository in given:
                if (repository.verify is Verification.METALINK) != (repository.metalink is not None):
                    needed = "is required" if repository.metalink is None else "is not used"
                    said = f'{needed} with verify = "{repository.verify}"'
                    self._add(file, (key, index, "metalink"), said)
                if repository.verify is Verification.SIGNATURE and repository.max_age_days is None:
                    said = 'is required with verify = "signature": an old signature is good for ever'
                    self._add(file, (key, index, "max_age_days"), said)
        archives = {archive for _, _, archive, _ in places}
        if OWN in archives:
            key, index = next((key, index) for key, index, archive, _ in places if archive == OWN)
            said = f"{OWN!r} is what a repository of your own is called: name the archive otherwise"
            self._add(file, (key, index, "archive"), said)
        for archive in sorted(set(loaded.archives) - archives):
            self._add(file, ("archives", archive), f"no {what} is in archive {archive!r}", near(archive, archives))
        seen: set[tuple[str, str]] = set()
        for key, index, archive, place in places:
            if (archive, place) in seen:
                self._add(file, (key, index), f"{what} {place!r} of {archive!r} is named twice")
            seen.add((archive, place))

    def _keyring(self, name: str, file: str) -> Path | None:
        keyring = self.root / "upstreams" / name
        try:
            size, start = keyring.stat().st_size, keyring.open("rb").read(4096)
        except OSError as error:
            self._add(file, ("keyring",), f"cannot read upstreams/{name}: {error.strerror}")
            return None
        if size > _MAX_KEYRING_BYTES or _ARMOUR not in start:
            self._add(
                file,
                ("keyring",),
                f"upstreams/{name} is not an ASCII-armoured OpenPGP keyring",
                "make one with `gpg --armor --export`",
            )
            return None
        return keyring

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
