# SPDX-License-Identifier: Apache-2.0
"""Package metadata in libsolv's own form, kept in the store by the key of what it was read from.

Reading XML costs a second for a large repository, reading the kept form a tenth of that. What comes out is
libsolv's; what goes in has been verified by digest and cannot hold a document type (see `xml`).
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import solv

from zaffre.digest import source_digest
from zaffre.errors import IntegrityError
from zaffre.store import Action, ActionResult, Store
from zaffre.upstream.obtain import known_blob
from zaffre.upstream.rpm.index import FILELISTS, PRIMARY, Metadata, RpmIndex
from zaffre.upstream.rpm.repomd import MetadataFile
from zaffre.upstream.rpm.unpack import unpack
from zaffre.upstream.rpm.xml import HostileXmlError, refuse_declarations

_OUTPUT = "solv"


def is_read(index: RpmIndex, store: Store) -> bool:
    """Whether the repository's packages are in the store in libsolv's form, so that the XML is not needed."""
    return store.lookup(_action(index, (PRIMARY,)).key) is not None


def solv_file(index: RpmIndex, metadata: Metadata, *, file_lists: bool = False) -> Path:
    """The repository's packages in libsolv's form, with the names of all their files if that is asked for.

    Raises IntegrityError for metadata that is not what repomd.xml announces, or malformed.
    """
    kinds = (PRIMARY, FILELISTS) if file_lists else (PRIMARY,)
    store = metadata.store

    def produce(scratch: Path) -> ActionResult:
        packed = metadata.packed([(index, kind) for kind in kinds], f"metadata of {index.where}")
        pool = solv.Pool()  # held by its name: a repository does not keep its pool alive
        repository = pool.add_repo(index.where)
        for kind, path in zip(kinds, packed, strict=True):
            plain = scratch / f"{kind}.xml"
            _unpack(index, index.file(kind), path, plain)
            _read(repository, plain, index, kind)
            plain.unlink()
        target = scratch / "solv"
        _write(repository, target)
        facts = {"packages": repository.nsolvables}
        return ActionResult({_OUTPUT: store.add_file(target, move=True)}, facts)

    action = _action(index, kinds)
    kept = known_blob(store.perform(action, produce).result.outputs[_OUTPUT], store)
    return kept or store.path(store.perform(action, produce).result.outputs[_OUTPUT])


def _action(index: RpmIndex, kinds: tuple[str, ...]) -> Action:
    return Action(
        kind="read-rpm-metadata",
        label=f"read {' and '.join(kinds)} of {index.where}",
        inputs={
            "metadata": {kind: index.file(kind).sha256 for kind in kinds},
            "libsolv": version("solv"),
            "code": source_digest("upstream/rpm"),
        },
        reason="the solver loads its own form of package metadata many times faster than XML",
    )


def _unpack(index: RpmIndex, file: MetadataFile, packed: Path, plain: Path) -> None:
    try:
        unpack(file, packed, plain)
        refuse_declarations(plain)
    except ValueError as error:
        raise IntegrityError(
            f"the {file.kind} metadata is hostile"
            if isinstance(error, HostileXmlError)
            else f"the {file.kind} metadata does not unpack to what repomd.xml announces",
            where=f"{index.where} {file.path}",
            details=str(error),
            resolution="use another mirror; if every mirror says so, tell the repository's owner",
        ) from error


def _read(repository: solv.Repo, plain: Path, index: RpmIndex, kind: str) -> None:
    """Let libsolv read a file. Its own messages go to the error output; its verdict is what counts."""
    flags = solv.Repo.REPO_EXTEND_SOLVABLES if kind == FILELISTS else 0
    file = solv.xfopen(str(plain))
    try:
        good = repository.add_rpmmd(file, None, flags)
    finally:
        file.close()
    if not good:
        raise IntegrityError(
            f"the {kind} metadata is malformed",
            where=f"{index.where} {index.file(kind).path}",
            details=str(repository.pool.errstr),
            resolution="tell the repository's owner; it was published like this",
        )


def _write(repository: solv.Repo, target: Path) -> None:
    with target.open("wb") as out:
        file = solv.xfopen_fd("", os.dup(out.fileno()))
        try:
            if not repository.write(file) or not file.flush():
                raise OSError(f"libsolv cannot write {target}")
        finally:
            file.close()
