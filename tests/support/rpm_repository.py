# SPDX-License-Identifier: Apache-2.0
"""An RPM distribution of the tests' own: locked Debian packages, packed anew as signed RPMs, with signed repodata.

    with rpm_repository(packages, store=store, sandbox=sandbox, progress=SILENT) as folder:
        folder / "repo" / "x86_64"       # a repository as createrepo_c makes it, with repomd.xml.asc
        folder / "key.asc"               # the certificate that signed all of it

rpmbuild, rpmsign and createrepo_c come from a tools tree (`EXTRA_TOOLS`). The result lies in the store as a tree, by a
key that names the packages, the tools and this code: a suite pays for it once. The signing key is made with it and is
thrown away, so two stores have other signatures over the same packages.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pysequoia import SignatureMode, Tsk, sign

from support.repository import signing_key
from support.rpm_spec import BUILD_ROOT_DATA, LISTS, Spec, specs
from zaffre.digest import sha256_file, sha256_json
from zaffre.progress import Progress
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, Store
from zaffre.tree import scratch_for
from zaffre.tree.deb.unpack import Unpacked, unpack_all
from zaffre.upstream import LockedPackage, LockedSet

EXTRA_TOOLS = ("createrepo-c", "gpg", "gpg-agent")
EPOCH = 1_700_000_000
"""The time of every build in it, in seconds."""
REPOSITORY = "repo"
CERTIFICATE = "key.asc"

_SECONDS = 600.0
_CODE = ("rpm_repository.py", "rpm_scripts.py", "rpm_spec.py")
_MACROS: Mapping[str, str] = {
    "_topdir": "/tmp/build",
    "_rpmdir": "/job/packages",
    "_dbpath": "/tmp/rpmdb",
    "_tmppath": "/tmp",
    "_buildhost": "test.example",
    "_build_id_links": "none",
    "debug_package": "%{nil}",
    "__os_install_post": "%{nil}",
    "_missing_doc_files_terminate_build": "0",
    "_unpackaged_files_terminate_build": "0",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "_binary_payload": "w1.zstdio",
}
_SIGN = r"""
gpg --batch --quiet --import /job/secret
exec rpmsign --define "_gpg_name $1" --addsign /job/repo/*/*.rpm
"""


@contextmanager
def rpm_repository(
    packages: Sequence[LockedPackage], *, tools: LockedSet, store: Store, sandbox: Sandbox, progress: Progress
) -> Iterator[Path]:
    """The folder of the distribution, made once a store and kept from garbage collection until the block ends.

    `tools` is what the sandbox's tools tree is made of.
    """
    here = Path(__file__).parent
    action = Action(
        kind="rpm-fixture",
        label="RPM distribution for tests",
        inputs={
            "code": sha256_json([sha256_file(here / name) for name in _CODE]),
            "packages": {f"{one.name}:{one.architecture}": one.sha256 for one in packages},
            "tools": {
                one.name: one.sha256 for one in tools.packages if one.source in {"rpm", "createrepo-c", "gnupg2"}
            },
        },
        reason="no mirror of an RPM distribution can be reached where the tests run",
    )
    held = store.tree(action.key)
    if held is None:
        unpacked = unpack_all(packages, store=store, progress=progress)
        store.add_tree(action.key, lambda root: _make(root, unpacked, store=store, sandbox=sandbox))
        held = store.tree(action.key)
    assert held is not None
    with held as root:
        yield root


def _make(root: Path, unpacked: Sequence[Unpacked], *, store: Store, sandbox: Sandbox) -> None:
    data = {one.index.name: one.data for one in unpacked}
    size = sum(path.stat().st_size for path in data.values())
    repository = root / REPOSITORY
    repository.mkdir()
    with scratch_for(store, "rpm-fixture", expected=2 * size) as scratch, ThreadPoolExecutor(sandbox.jobs) as pool:
        # The largest first: a kernel that came last would be waited for alone.
        ordered = sorted(specs([one.index for one in unpacked]), key=lambda spec: -_size(spec, data))
        for done in [pool.submit(_build, spec, data, scratch, repository, sandbox) for spec in ordered]:
            done.result()
    key = signing_key("RPM test distribution <rpm@test.example>")
    _sign_packages(repository, key, store=store, sandbox=sandbox)
    _index(repository, sandbox=sandbox)
    repomd = repository / "repodata/repomd.xml"
    signature = sign(key.signer(), repomd.read_bytes(), mode=SignatureMode.DETACHED)
    repomd.with_suffix(".xml.asc").write_bytes(signature)
    (root / CERTIFICATE).write_text(str(key.extract_certificate()))


def _size(spec: Spec, data: Mapping[str, Path]) -> int:
    return sum(data[one.name].stat().st_size for one in spec.packages)


def _build(spec: Spec, data: Mapping[str, Path], scratch: Path, repository: Path, sandbox: Sandbox) -> None:
    """rpmbuild of one spec; its packages go to the repository's folder of their architecture."""
    job = scratch / spec.name
    for folder in ("lists", "packages"):
        (job / folder).mkdir(parents=True)
    (job / "package.spec").write_text(spec.text)
    for name, text in spec.lists.items():
        (job / "lists" / name).write_text(text)
    sandbox.run(
        ["rpmbuild", "-bb", "--quiet", *_defines(_MACROS), "/job/package.spec"],
        mounts=[
            Mount(job / "package.spec", "/job/package.spec"),
            Mount(job / "lists", LISTS),
            Mount(job / "packages", "/job/packages", writable=True),
            *(Mount(data[one.name], f"{BUILD_ROOT_DATA}/{one.name}.tar") for one in spec.packages),
        ],
        env={"SOURCE_DATE_EPOCH": str(EPOCH)},
        timeout=_SECONDS,
    )
    for package in (job / "packages").glob("*/*.rpm"):
        target = repository / package.parent.name
        target.mkdir(exist_ok=True)
        shutil.move(package, target / package.name)
    shutil.rmtree(job)


def _defines(macros: Mapping[str, str]) -> list[str]:
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]


def _sign_packages(repository: Path, key: Tsk, *, store: Store, sandbox: Sandbox) -> None:
    with store.scratch("rpm-key") as scratch:
        secret = scratch / "secret"
        secret.touch(mode=0o600)
        secret.write_text(str(key))
        sandbox.run(
            ["/bin/sh", "-euc", _SIGN, "sh", "rpm@test.example"],
            mounts=[Mount(repository, "/job/repo", writable=True), Mount(secret, "/job/secret")],
            timeout=_SECONDS,
        )


def _index(repository: Path, *, sandbox: Sandbox) -> None:
    """One repository with all architectures, as small distributions have it."""
    options = ["--general-compress-type=zstd", "--set-timestamp-to-revision", "--revision", str(EPOCH)]
    sandbox.run(
        ["createrepo_c", "--quiet", *options, "/job/repo"],
        mounts=[Mount(repository, "/job/repo", writable=True)],
        timeout=_SECONDS,
    )
