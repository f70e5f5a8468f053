# SPDX-License-Identifier: Apache-2.0
"""What a word on the command line names, and its packages."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from zaffre.advisory.subject import Subject
from zaffre.definition import Distribution
from zaffre.errors import DefinitionError
from zaffre.manifest import MANIFEST_NAME
from zaffre.upstream.lock import LOCK_NAME, load_lock

_ROOT_MARKS = (
    *(
        "etc/os-release",
        "usr/lib/os-release",
        "var/lib/dpkg",
        "usr/lib/sysimage/rpm",
        "var/lib/rpm",
        "etc/debian_version",
    ),
)


@dataclass(frozen=True)
class Reader:
    """Reads what is to be scanned. Without a distribution, only roots and SBOMs can be."""

    distribution: Distribution | None
    image: str | None = None
    architecture: str | None = None

    def read(self, given: str) -> tuple[Subject, ...]:
        """A path before the name of an image. Raises DefinitionError for what is none of these, and what readers do."""
        path = Path(given)
        if (path / MANIFEST_NAME).is_file():
            return (self._build(path),)
        if path.is_file() and (path.parent / MANIFEST_NAME).is_file() and path.suffix != ".json":
            return (self._build(path.parent),)
        if (path / LOCK_NAME).is_file():
            path /= LOCK_NAME
        if path.is_file():
            return self._lock(path) if _is_lock(path) else (self._sbom(path),)
        if path.is_dir() and any((path / mark).exists() for mark in _ROOT_MARKS):
            return (self._root(path),)
        if self.distribution is not None and given in self.distribution.images:
            return self._lock(self.distribution.lock_file, given)
        raise self._unknown(given)

    def _root(self, path: Path) -> Subject:
        from zaffre.advisory.subjects.root import root_subject  # noqa: PLC0415 - each loads what it needs

        return root_subject(path, self.distribution)

    def _sbom(self, path: Path) -> Subject:
        from zaffre.advisory.subjects.sbom import sbom_subject  # noqa: PLC0415 - likewise

        return sbom_subject(path, self.distribution)

    def _build(self, path: Path) -> Subject:
        from zaffre.advisory.subjects.build import build_subject  # noqa: PLC0415 - likewise

        return build_subject(path, self._needed(str(path)))

    def _lock(self, path: Path, image: str | None = None) -> tuple[Subject, ...]:
        from zaffre.advisory.subjects.locked import lock_subjects  # noqa: PLC0415 - likewise

        distribution = self._needed(str(path))
        lock = load_lock(path)
        if lock is None:
            raise DefinitionError("there is no lock yet", where=str(path), resolution="run `zaffre lock`")
        chosen = image or self.image
        architecture = self.architecture
        if chosen is not None:
            architecture = str(distribution.architecture_for(distribution.image(chosen), architecture))
        title = f"image {image} of lock {lock.version}" if image else f"lock {path}, {lock.version}"
        return lock_subjects(lock, distribution, title=title, image=chosen, architecture=architecture)

    def _needed(self, given: str) -> Distribution:
        if self.distribution is None:
            raise DefinitionError(
                "it does not say by itself what its packages are derived from, and there is no distribution here",
                where=given,
                resolution="go to the distribution that it was made from, or name it with --distro DIR",
            )
        return self.distribution

    def _unknown(self, given: str) -> DefinitionError:
        images = self.distribution.images if self.distribution else {}
        near = get_close_matches(given, images, n=1)
        if Path(given).is_dir():
            brief = "the folder is no build, no distribution and no root file tree"
        else:
            brief = "there is no such file or folder, and no image of that name"
        return DefinitionError(
            brief,
            where=given,
            resolution=f"did you mean {near[0]!r}?"
            if near
            else "name an image, the folder of a build, a CycloneDX document, the top of a root file tree, or a lock",
        )


def _is_lock(path: Path) -> bool:
    """By its first key: an SBOM is JSON too."""
    if path.name == LOCK_NAME or path.suffix == ".lock":
        return True
    with path.open("rb") as file:
        return file.read(64).lstrip(b"{ \n").startswith(b'"format"')
