# SPDX-License-Identifier: Apache-2.0
"""`go-module`: programs of a Go module, built from modules whose checksums are known.

The module's zip has the checksum that the component names; all that it needs has the checksums of its go.sum, as
the overlays left it. All of it is fetched first, by `goproxy`, and lies in a directory that is Go's only proxy while
it builds: no network, no checksum database, no other toolchain, and go.mod stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from zaffre.component.buildroot import build_root
from zaffre.component.goproxy import Modules
from zaffre.component.gosum import GoFile, parse_go_sum, unpack_zip
from zaffre.component.model import Bench, Choice, Made, Order
from zaffre.component.overlay import apply_overlays
from zaffre.component.ownpackage import Origin, pack_own
from zaffre.component.settings import Settings, settings_of
from zaffre.component.version import mark_of
from zaffre.definition.component import GoModule
from zaffre.digest import Sha256, sha256_json
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.sandbox import Mount
from zaffre.tree.rootfs import inside, is_plain, plain_files
from zaffre.upstream.lock import BUILD_PREFIX, LockedSource
from zaffre.upstream.solving import SetRequest
from zaffre.upstream.world import Chosen

_TOOLCHAIN = "golang-go"
_MODULES = "/run/zaffre-modules"
_OUT = "/build/out"
_ENVIRONMENT = {
    "GOPROXY": f"file://{_MODULES}",
    "GOSUMDB": "off",
    "GONOSUMDB": "*",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
    "GOCACHE": "/build/cache",
    "GOMODCACHE": "/build/modules",
    "GOTELEMETRY": "off",
    # Without a C compiler: programs that need nothing but a kernel, and whose bytes only Go decides.
    "CGO_ENABLED": "0",
}
# Programs first: a test that fails leaves a log and no package, as the whole build has failed then.
_BUILD = r"""
go version
go build -o "$OUT/bin/" -tags "$TAGS" -ldflags "$LDFLAGS" "$@"
if [ "$TESTS" = yes ]; then go test -tags "$TAGS" "$@"; fi
"""


class GoBuild:
    """Programs of one module at one version."""

    def __init__(self, source: GoModule) -> None:
        self._source = source
        self._module = GoFile(source.module, source.version)

    def choose(self, bench: Bench, choice: Choice) -> Chosen:
        modules = Modules(bench.store, limits=bench.limits)
        with bench.store.scratch("go") as scratch:
            files = self._needed(bench, modules, self._unpacked(bench, modules, scratch))
        time = modules.time(self._module) or choice.now
        return Chosen(
            source=LockedSource(
                name=self._source.module,
                version=self._source.version,
                modules=modules_digest(files),
                epoch=int(time.timestamp()),
            ),
            gives=tuple(sorted(package.name for package in bench.component.packages)),
            build=SetRequest(f"{BUILD_PREFIX}{bench.component.name}", (_TOOLCHAIN,), bench.architecture),
        )

    def fetch(self, bench: Bench, source: LockedSource) -> None:  # noqa: ARG002 - what it needs, its go.sum says
        self.files(bench, Modules(bench.store, limits=bench.limits))

    def make(self, bench: Bench, order: Order, scratch: Path) -> Made:
        locked = order.locked.source
        if order.installed is None or locked.epoch is None:
            raise AssertionError
        modules = Modules(bench.store, limits=bench.limits)
        name = f"{self._source.module.rpartition('/')[2]}-{self._source.version.removeprefix('v')}"
        with build_root(bench, order.installed, name) as root:
            root.folder.rmdir()
            tree = self._unpacked(bench, modules, root.folder.parent, name=name)
            files = self._needed(bench, modules, tree)
            if modules_digest(files) != locked.modules:
                raise IntegrityError(
                    f"the modules that '{bench.component.name}' needs are not those that are locked",
                    where=self._source.module,
                    resolution=f"run `zaffre lock --update {bench.component.name}`",
                )
            proxy = lay_proxy(bench, files, scratch / "proxy")
            out = root.root / _OUT.lstrip("/")
            out.mkdir()
            os.chown(out, *_owner(root.root / "build"))
            settings = settings_of(bench.component)
            log = root.run(
                ["/bin/sh", "-euc", _BUILD, "sh", *self._source.packages],
                env=self._environment(bench, settings, locked),
                mounts=[Mount(proxy, _MODULES)],
                scratch=scratch,
            )
            licence = f"{root.place}/LICENSE"
            origin = Origin(
                folder=bench.folder,
                source=bench.component.name,
                version=self._version(bench),
                epoch=locked.epoch,
                programs={path.name: path for path in plain_files(root.root, f"{_OUT}/bin")},
                licence=inside(root.root, licence) if is_plain(root.root, licence) else None,
            )
            return Made(pack_own(bench, origin, scratch), log)

    def files(self, bench: Bench, modules: Modules) -> dict[GoFile, Sha256]:
        """All that is fetched for a build, from the store if it is there: the module and what it needs."""
        with bench.store.scratch("go") as scratch:
            needed = self._needed(bench, modules, self._unpacked(bench, modules, scratch))
        return {**needed, **modules.fetch({self._module: self._source.sum}, bench.progress)}

    def _version(self, bench: Bench) -> str:
        """`<version>-0zN`: older than any Debian package of the same version would be; v1.0.0-rc.1 is before 1.0.0."""
        revision = mark_of(bench.component.overlays).revision
        return f"{self._source.version.removeprefix('v').replace('-', '~')}-0z{revision}"

    def _environment(self, bench: Bench, settings: Settings, locked: LockedSource) -> dict[str, str]:
        return {
            **_ENVIRONMENT,
            "GOARCH": bench.architecture,
            "SOURCE_DATE_EPOCH": str(locked.epoch),
            **settings.environment,
            "OUT": _OUT,
            "TAGS": ",".join(settings.options),
            "LDFLAGS": " ".join(_expanded(flag, locked, bench) for flag in bench.component.build.link_flags),
            "TESTS": "yes" if settings.tests else "no",
        }

    def _unpacked(self, bench: Bench, modules: Modules, folder: Path, *, name: str = "source") -> Path:
        """The module's own files below `folder`, changed by the overlays."""
        zipped = modules.fetch({self._module: self._source.sum}, bench.progress)[self._module]
        pristine, tree = folder / f"{name}.upstream", folder / name
        pristine.mkdir()
        unpack_zip(bench.store.path(zipped), self._module, pristine)
        apply_overlays(
            bench.component,
            folder=bench.folder,
            source=pristine,
            target=tree,
            maintainer=bench.distribution.identity.maintainer,
        )
        return tree

    def _needed(self, bench: Bench, modules: Modules, tree: Path) -> Mapping[GoFile, Sha256]:
        sums = tree / "go.sum"
        if not sums.is_file():
            return {}
        where = f"{self._source.module} go.sum"
        return modules.fetch(parse_go_sum(sums.read_text(encoding="utf-8"), where=where), bench.progress)


def modules_digest(files: Mapping[GoFile, Sha256]) -> Sha256:
    """Identity of a module cache: what lies where in it."""
    return sha256_json({file.path: digest for file, digest in files.items()})


def lay_proxy(bench: Bench, files: Mapping[GoFile, Sha256], target: Path) -> Path:
    """The layout of a proxy, of further names of the store's own files. Everybody may read it: Go runs as another."""
    target.mkdir()
    for file, digest in files.items():
        place = target / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(bench.store.path(digest))
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)
    return target


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def _expanded(flag: str, locked: LockedSource, bench: Bench) -> str:
    """A link flag, in which {version}, {major}, {minor} and {date} may stand for what they say of the module."""
    major, minor, *_ = locked.version.removeprefix("v").split(".")
    date = f"{datetime.fromtimestamp(locked.epoch or 0, UTC):%Y-%m-%dT%H:%M:%SZ}"
    try:
        return flag.format(version=locked.version, major=major, minor=minor, date=date)
    except (KeyError, IndexError, ValueError) as error:
        raise DefinitionError(
            f"the link flag '{flag}' holds braces of which nothing is known",
            where=f"{bench.component.file}: build.link_flags",
            resolution="{version}, {major}, {minor} and {date} are known",
        ) from error
