# SPDX-License-Identifier: Apache-2.0
"""Container bases: how large they are, and what one costs to build, beside Debian's own slim root made in the same run.

Debian's root is made as its images are: mmdebstrap's `minbase`, without what debuerreotype's slim form leaves out
(its `scripts/.slimify-excludes` and `.slimify-includes`). Both roots are compressed by one gzip, at one level. The
peer's time is that of an uncompressed directory, ours that of all that `zaffre build` gives: it is compressed, hashed,
packed twice and signed. `base` has ca-certificates, whose scripts run thousands of programs; minbase has not. So beside
the root of `minbase` one of the same packages as ours is made, too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from debstrap import make_root
from figures import Figure, Limit, Unit
from lab import PROFILE, Lab, Say, again_text
from measure import Cost, measure
from noise import wait_for_calm

from repository import make_repository
from zaffre.sandbox import Mount
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.solving import SetRequest

_SET = "minbase"
_MORE = ("ca-certificates",)
"""What `base` asks for that minbase has not."""
_AGAIN = "base-again"
_REQUIRED = b"\nPriority: required\n"
_SECONDS = 900.0
_SLIM = (
    *("/usr/share/doc/*", "/usr/share/groff/*", "/usr/share/info/*", "/usr/share/linda/*", "/usr/share/lintian/*"),
    *("/usr/share/locale/*", "/usr/share/man/*"),
)
_SLIM_KEPT = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")
_LIMITS = {"distroless": 8e6, "distroless-static": 1e6}


@dataclass
class Containers:
    """The costs of each round, in order; sizes in bytes, by the image's name."""

    peer: list[Cost] = field(default_factory=list)
    same: list[Cost] = field(default_factory=list)
    cold: list[Cost] = field(default_factory=list)
    unpacked: list[Cost] = field(default_factory=list)
    sizes: dict[str, float] = field(default_factory=dict)
    slim: float = 0.0

    @property
    def others(self) -> list[float]:
        """The share of the machine that other programs used, for each measurement."""
        return [cost.others for cost in (*self.peer, *self.same, *self.cold, *self.unpacked)]


def container_requests(indexes: Indexes, architecture: str) -> Iterable[SetRequest]:
    """What `minbase` takes: the packages of priority "required", and apt; and what `base` has besides."""
    required = {
        name
        for index in indexes.universe(architecture).indexes
        for name, blocks in index.stanzas.items()
        if any(_REQUIRED in block for block in blocks)
    }
    yield SetRequest(_SET, tuple(sorted({*required, "apt", *_MORE})), architecture)


def measure_containers(lab: Lab, *, rounds: int, say: Say) -> Containers:
    """Rounds of both builders, and the sizes of what is released."""
    found = Containers()
    names = set(lab.sets[_SET])
    archive = make_repository(lab, "slim-archive", [one for one in lab.stock if one.name in names])
    out, peer = lab.folder / "containers", lab.folder / "slim"
    # Another setting of what configures a root and another word in it: its packages are unpacked already, and nothing
    # else is done, the layer neither.
    again = lab.definition / f"images/{_AGAIN}.toml"
    for number in range(1, rounds + 1):
        again.write_text(again_text(number))
        for title, costs, work in (
            ("mmdebstrap", found.peer, lambda: make_root(lab, archive, peer, (), variant="minbase", recommends=False)),
            (
                "mmdebstrap, same packages",
                found.same,
                lambda: make_root(lab, archive, peer, _MORE, variant="minbase", recommends=False),
            ),
            ("base, cold", found.cold, lambda: _build(lab, "base", out, "--no-cache")),
            ("base, packages unpacked", found.unpacked, lambda: _build(lab, _AGAIN, out)),
        ):
            wait_for_calm()
            cost = work()
            costs.append(cost)
            say(f"round {number} of {rounds}: {title}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} s ({cost.others:.0%})")
    found.slim = _slim_size(lab, archive, peer)
    for name in ("base", *_LIMITS):
        _build(lab, name, out, profile="release")
        found.sizes[name] = _layers(out, name)
    shutil.rmtree(out)
    shutil.rmtree(peer)
    return found


def container_figures(found: Containers) -> list[Figure]:
    peer = tuple(cost.cpu for cost in found.peer)

    def cpu(title: str, costs: list[Cost], limit: Limit | None = None) -> Figure:
        return Figure(title, Unit.SECONDS, tuple(cost.cpu for cost in costs), "mmdebstrap minbase", peer, limit)

    same = tuple(cost.cpu for cost in found.same)
    unpacked = tuple(cost.cpu for cost in found.unpacked)

    slim = Limit(ratio=0.9)
    return [
        Figure("base, compressed, release", Unit.BYTES, (found.sizes["base"],), "Debian slim", (found.slim,), slim),
        *(
            Figure(f"{name}, compressed, release", Unit.BYTES, (found.sizes[name],), limit=Limit(value=most))
            for name, most in _LIMITS.items()
        ),
        cpu("base from unpacked packages, CPU time", found.unpacked, Limit(ratio=0.3)),
        Figure("base from unpacked packages, CPU time", Unit.SECONDS, unpacked, "mmdebstrap, same packages", same),
        cpu("base from package files, CPU time", found.cold),
    ]


def _build(lab: Lab, image: str, out: Path, *words: str, profile: str = PROFILE) -> Cost:
    argv = lab.zaffre("build", image, "--profile", profile, "--out", str(out), *words)
    return measure(argv, log=lab.log("zaffre"), timeout=_SECONDS)


def _layers(out: Path, image: str) -> float:
    """Bytes of the layers, as a registry keeps them."""
    (layout,) = out.glob(f"{image}-[0-9]*/oci")
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(_blob(layout, index["manifests"][0]["digest"]).read_bytes())
    return float(sum(layer["size"] for layer in manifest["layers"]))


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def _slim_size(lab: Lab, archive: Path, folder: Path) -> float:
    """Bytes of Debian's slim root, as one compressed layer."""
    options = [f"path-exclude={path}" for path in _SLIM] + [f"path-include={path}" for path in _SLIM_KEPT]
    make_root(lab, archive, folder, (), variant="minbase", recommends=False, dpkg_options=options)
    packed, layer = folder / "root.tar", folder / "root.tar.gz"
    mounts = [Mount(folder, "/run/slim")]
    lab.sandbox.run(
        ["tar", "--create", "--numeric-owner", "--xattrs", "--directory=/run/slim/root", "."],
        mounts=mounts,
        stdout=packed,
        timeout=_SECONDS,
    )
    lab.sandbox.run(["gzip", "--no-name", "-9", "--stdout"], stdin=packed, stdout=layer, timeout=_SECONDS)
    return float(layer.stat().st_size)
