# SPDX-License-Identifier: Apache-2.0
"""What a node fetches when one thing of its host has changed, beside the whole files; and what applying that takes.

Three versions of the container host are built from the project's lock: with its own packages, with another openssl, and
with another kernel. The other packages are those that another image of the lock has, so they are real ones, of a real
day. Deltas are made as `zaffre release publish` makes them, and applied by the sealed agent's own Python.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Figure, Limit, Unit
from measure import BenchError, tail
from noise import Noise, wait_for_calm

from zaffre.cli.context import Workspace
from zaffre.cli.making import Making
from zaffre.definition import reference_root
from zaffre.digest import sha256_file
from zaffre.release.candidate import UPDATE_FILES
from zaffre.release.encode import write_delta
from zaffre.sandbox import Mount, Sandbox
from zaffre.trust.gpt import read_partitions

IMAGE = "container-host"
ARCHITECTURE = "amd64"
CHANGES: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "one security fix (openssl)": lambda package: str(package["name"]) if package["source"] == "openssl" else None,
    "a new kernel": lambda package: _kernel(str(package["name"])),
}
"""By what has changed: the name under which a package of it has its like in another set; None for all others."""
LIMITS = (0.10, 0.45)
MEMORY = 60e6
_SECONDS = 1800.0

_SCRIPT = """\
import json, resource, sys, time
sys.path.insert(0, "/usr/lib/zaffre-agent")
from pathlib import Path
import zaffre.agent.program
from zaffre.agent.bring import Bringer
from zaffre.agent.download import Downloads
from zaffre.agent.handover import Expected
from zaffre.agent.source import Folder
from zaffre.offer import Listed

class Old:
    def source(self, file):
        return Path("/job/old") / file

told = json.loads(Path("/job/told.json").read_text())
files = {name: Expected(**one) for name, one in told["files"].items()}
deltas = [Listed(zaffre.offer.Delta.model_validate(one["delta"]), one["path"], one["length"], one["sha256"])
          for one in told["deltas"]]
begun = time.perf_counter()
found, brought = Bringer(Downloads(Folder(Path("/job/place")), Path("/job/parts")), Old()).bring(files, deltas, "1")
print(json.dumps({
    "seconds": time.perf_counter() - begun,
    "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "by_delta": brought.by_delta,
    "fell_back": brought.fell_back,
}))
"""


@dataclass(frozen=True)
class Delivered:
    """Of one change: bytes of its deltas and of the whole files, seconds and bytes of memory to apply them."""

    title: str
    delta: int
    whole: int
    seconds: float
    memory: int


def _kernel(name: str) -> str | None:
    """Its package has the kernel's release in its name."""
    if name.startswith("linux-image-cloud"):
        return "the newest kernel"
    return "a kernel" if name.startswith("linux-image-") and "-cloud-" in name else None


def swapped(lock: Mapping[str, Any], like: Callable[[Mapping[str, Any]], str | None]) -> list[dict[str, Any]] | None:
    """The image's packages, with those that are alike from another set that has them in other versions; None when no
    set has.
    """
    sets = [one for one in lock["sets"] if one["architecture"] == ARCHITECTURE]
    mine = next(one["packages"] for one in sets if one["name"] == IMAGE)
    have = {key: package["version"] for package in mine if (key := like(package)) is not None}
    for other in sets:
        theirs = {key: package for package in other["packages"] if (key := like(package)) in have}
        if have and theirs.keys() == have.keys() and all(theirs[key]["version"] != have[key] for key in have):
            changed = [theirs[key] if (key := like(package)) is not None else package for package in mine]
            return sorted(changed, key=lambda package: str(package["name"]))
    return None


def measure_deltas(folder: Path, *, say: Callable[[str], None]) -> tuple[list[Delivered], list[float]]:
    """Build the versions, make the deltas, apply them. With it, the shares of the machine that others used."""
    place = folder / "deltas"
    place.mkdir()
    _run([_program(), "--keys", str(place / "keys"), "keys", "init", "--owner", "bench"], folder / "deltas.log")
    say("building a container host, and its neighbours")
    base = _definition(place / "definition-0", 0, None)
    old = _build(base, place, IMAGE, folder / "deltas.log")
    root = _root(place, _build(base, place, "agent", folder / "deltas.log"), old)
    found, others = [], []
    for number, (title, like) in enumerate(CHANGES.items(), 1):
        definition = _definition(place / f"definition-{number}", number, like)
        new = _build(definition, place, IMAGE, folder / "deltas.log")
        told = _publish(old, new, place / f"job-{number}")
        wait_for_calm()
        noise = Noise()
        one = _apply(root, place / f"job-{number}", title, told)
        others.append(noise.share())
        found.append(one)
        say(f"{title}: {one.delta / 1e6:.1f} of {one.whole / 1e6:.1f} MB, {one.memory / 1e6:.0f} MB of memory")
        shutil.rmtree(place / f"job-{number}")
    return found, others


def delta_figures(found: Sequence[Delivered]) -> list[Figure]:
    """The lines of the table that are about deltas."""
    figures = [
        Figure(
            f"an update for {one.title}: bytes fetched",
            Unit.BYTES,
            (one.delta,),
            "the whole files",
            (one.whole,),
            Limit(ratio=limit),
        )
        for one, limit in zip(found, LIMITS, strict=True)
    ]
    worst = max(found, key=lambda one: one.memory)
    return [
        *figures,
        Figure("the agent applies deltas: peak memory", Unit.BYTES, (worst.memory,), limit=Limit(value=MEMORY)),
        Figure("the agent applies deltas: wall time", Unit.SECONDS, (max(one.seconds for one in found),)),
    ]


def _definition(target: Path, number: int, like: Callable[[Mapping[str, Any]], str | None] | None) -> Path:
    """The reference distribution with other packages in its lock, as a lock that is `number` later."""
    shutil.copytree(reference_root(), target, symlinks=True)
    path = target / "zaffre.lock"
    lock = json.loads(path.read_text())
    lock["serial"] += number
    if like is not None:
        packages = swapped(lock, like)
        if packages is None:
            raise BenchError(
                f"no image of the lock has these packages in another version than {IMAGE}: lock one of them anew, "
                "and not the others (zaffre lock --update --image NAME)"
            )
        host = next(one for one in lock["sets"] if (one["name"], one["architecture"]) == (IMAGE, ARCHITECTURE))
        host["packages"] = packages
    path.write_text(json.dumps(lock))
    return target


def _build(definition: Path, place: Path, image: str, log: Path) -> Path:
    """A build in the user's store, which has most of its steps."""
    out = place / f"out-{definition.name}"
    words = ["--distro", str(definition), "--keys", str(place / "keys"), "--quiet"]
    _run([_program(), *words, "build", image, "--profile", "release", "--out", str(out)], log)
    return next(out.glob(f"{image}-*"))


def _root(place: Path, agent: Path, host: Path) -> Path:
    """The host's root with the agent laid over it, as systemd-sysext does it."""
    with Workspace() as work:
        work.distro = reference_root()
        sandbox = Making(work).sandbox
    data = read_partitions(agent / "extension.raw")[0]
    with (agent / "extension.raw").open("rb") as file:
        file.seek(data.offset)
        (place / "agent.erofs").write_bytes(file.read(data.size))
    shutil.copy(host / "root.erofs", place / "host.erofs")
    for name in ("host", "agent"):
        sandbox.run(
            ["fsck.erofs", f"--extract=/job/{name}", f"/job/{name}.erofs"],
            mounts=[Mount(place, "/job", writable=True)],
            timeout=_SECONDS,
        )
    shutil.copytree(place / "agent", place / "host", symlinks=True, dirs_exist_ok=True)
    return place / "host"


def _publish(old: Path, new: Path, job: Path) -> dict[str, Any]:
    """A folder with what the agent needs, and what a channel would tell it."""
    (job / "place").mkdir(parents=True)
    (job / "old").mkdir()
    files: dict[str, Any] = {}
    deltas: list[dict[str, Any]] = []
    for name in UPDATE_FILES:
        shutil.copy(old / name, job / "old" / name)
        path = job / "place" / f"{name}.delta"
        write_delta(old / name, new / name, path)
        source, target = (
            {"version": version, "sha256": sha256_file(build / name), "length": (build / name).stat().st_size}
            for version, build in (("1", old), ("2", new))
        )
        digest = sha256_file(path)
        listed = job / "place/targets" / f"{digest}.{path.name}"
        listed.parent.mkdir(exist_ok=True)
        path.rename(listed)
        files[name] = {"place": name, "length": target["length"], "sha256": target["sha256"]}
        deltas.append(
            {
                "delta": {"file": name, "source": source, "target": target},
                "path": path.name,
                "length": listed.stat().st_size,
                "sha256": digest,
            }
        )
    return {"files": files, "deltas": deltas}


def _apply(root: Path, job: Path, title: str, told: dict[str, Any]) -> Delivered:
    (job / "told.json").write_text(json.dumps(told))
    done = Sandbox(None).run(
        ["/usr/bin/python3.13", "-IB", "-c", _SCRIPT],
        root=root,
        mounts=[Mount(job, "/job", writable=True)],
        timeout=_SECONDS,
    )
    said = json.loads(done.stdout)
    if said["fell_back"] or len(said["by_delta"]) != len(UPDATE_FILES):
        raise BenchError(f"not all came by delta: {said}")
    whole = sum(one["length"] for one in told["files"].values())
    return Delivered(title, sum(one["length"] for one in told["deltas"]), whole, said["seconds"], said["bytes"])


def _program() -> str:
    return str(Path(sys.executable).parent / "zaffre")


def _run(argv: Sequence[str], log: Path) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=_SECONDS, check=False
        )
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} failed (exit {done.returncode})\n{tail(log)}")
