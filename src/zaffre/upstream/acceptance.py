# SPDX-License-Identifier: Apache-2.0
"""Whether a package file may be used, for families that sign packages and not only their lists.

The digest in the lock comes from verified metadata, and holds for every family. The archive that a package is locked
from says whose it is, and one of an archive that no upstream has is not used at all. Where packages carry signatures
of their own, each file is held against the keyring once, when it has come; that it was accepted by that keyring
is kept in the store, for that time and this code. Keys are judged at the time of the lock, as old locks outlive keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from zaffre.definition import RpmUpstream, Upstream
from zaffre.digest import Sha256, sha256_file, source_digest
from zaffre.errors import IntegrityError
from zaffre.store import Action, ActionResult, Store
from zaffre.upstream.lock import COMPONENTS, LockedPackage

if TYPE_CHECKING:
    from zaffre.upstream.keyring import Keyring


class Acceptance:
    """The signatures that packages of upstreams must have. Safe to share between threads."""

    def __init__(self, upstreams: Iterable[Upstream], store: Store, *, now: datetime) -> None:
        self._store = store
        self._now = now
        self._known: set[str] = set()
        self._signers: dict[str, dict[str, list[_Signers]]] = {}
        for upstream in upstreams:
            self._known.update(upstream.used_archives)
            if isinstance(upstream, RpmUpstream):
                signers = _Signers(upstream.keyring_file)
                for repository in upstream.repositories:
                    suites = self._signers.setdefault(repository.archive, {})
                    for architecture in upstream.architectures:
                        suites.setdefault(repository.path_for(architecture), []).append(signers)

    def pending(self, packages: Iterable[LockedPackage]) -> tuple[LockedPackage, ...]:
        """Those whose signature has to be checked still. Raises IntegrityError for an unknown archive's."""
        return tuple(
            package
            for package in packages
            if (signers := self._of(package))
            and not any(self._store.lookup(self._action(package, one).key) for one in signers)
        )

    def accept(self, package: LockedPackage, path: Path) -> None:
        """Check the file of a package, if its archive's packages are signed. Raises IntegrityError."""
        from zaffre.upstream.rpm.package import verify_package  # noqa: PLC0415 - an OpenPGP library, seldom needed

        refused: IntegrityError | None = None
        for signers in self._of(package):
            action = self._action(package, signers)
            if self._store.lookup(action.key) is not None:
                return
            try:
                verify_package(path, package, signers.keyring, now=self._now)
            except IntegrityError as error:
                refused = refused or error
            else:
                self._store.record(action.key, action, ActionResult({}, {}))
                return
        if refused is not None:
            raise refused

    def _of(self, package: LockedPackage) -> Sequence[_Signers]:
        """Whose signatures count: of the upstreams with that repository; for one that none has, of its archive's.

        None for packages that carry no signature, which are those of Debian archives and those that were built here.
        """
        if package.archive not in self._known and package.archive != COMPONENTS:
            raise IntegrityError(
                f"no upstream has the archive '{package.archive}', so nobody can vouch for the package",
                where=f"{package.name} {package.version}",
                resolution="run `zaffre lock`; if the lock is not your own, find out who made it",
            )
        suites = self._signers.get(package.archive, {})
        return suites.get(package.suite) or [one for signers in suites.values() for one in signers]

    def _action(self, package: LockedPackage, signers: _Signers) -> Action:
        return Action(
            kind="accept-package",
            label=f"accept {package.name}",
            inputs={
                "package": package.sha256,
                "name": [package.name, package.version, package.architecture],
                "keyring": signers.digest,
                "time": self._now.isoformat(),
                "code": source_digest("upstream"),
                "pysequoia": version("pysequoia"),
            },
            reason="a package must be signed by a key of its upstream's keyring",
        )


class _Signers:
    """A keyring that is read when it is needed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @cached_property
    def keyring(self) -> Keyring:
        from zaffre.upstream.keyring import Keyring  # noqa: PLC0415 - an OpenPGP library, seldom needed

        return Keyring.load(self._file)

    @cached_property
    def digest(self) -> Sha256:
        return sha256_file(self._file)
