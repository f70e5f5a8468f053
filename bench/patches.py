# SPDX-License-Identifier: Apache-2.0
"""From a fix in the archive to a published release that booted: `zaffre patch`, by its own account of its stages.

The container host is locked to the release pocket alone; then the archive has its updates and its security pocket, as
on the day when a fix appears. What `zaffre patch` fetches, it fetches from the network: that is a part of what it does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, Limit, Unit
from measure import BenchError, Cost, measure, tail
from noise import wait_for_calm

from zaffre.definition import reference_root

IMAGE, PROBES = "container-host", "check"
LIMIT = 480.0
"""Seconds from the appearance of a fix to a release of the host."""
_SECONDS = 1800.0
_KUBERNETES = ("crictl", "kubelet")
_UPSTREAM = "upstreams/debian.toml"


@dataclass(frozen=True)
class Patched:
    """What all of it cost, and the wall time of each stage in seconds, by name and in order."""

    cost: Cost
    stages: Mapping[str, float]


def make_definition(target: Path) -> None:
    """The reference's container host alone, for this machine's kind, with no lock."""
    shutil.copytree(reference_root(), target, symlinks=True, ignore=shutil.ignore_patterns("zaffre.lock"))
    for path in (target / "images").glob("*.toml"):
        if path.stem in {IMAGE, PROBES}:
            one = re.sub(r"^architectures = .*$", 'architectures = ["amd64"]', path.read_text(), flags=re.MULTILINE)
            path.write_text(one)
        else:
            path.unlink()
    for name in _KUBERNETES:
        shutil.rmtree(target / "components" / name)
    settings = target / "zaffre.toml"
    text, count = re.subn(r"^\[repository\]\n(?:(?!\[).*\n)*", "", settings.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise BenchError(f"{settings}: there is no [repository] table that could be taken out")
    settings.write_text(text)


def without_pockets(text: str) -> str:
    """An upstream's file with its first suite alone, and the archive of that."""
    head, release, *_ = text.split("[[suites]]")
    return f'{head}[[suites]]{release}[archives.debian]\npath = "debian"\n'


def measure_patch(folder: Path, *, say: Callable[[str], None]) -> Patched:
    """Once. Raises BenchError when the patch does not end in a release, or the archive has nothing to mend."""
    place = folder / "patched"
    place.mkdir()
    definition = place / "definition"
    make_definition(definition)
    secret = place / "secret"
    secret.touch(mode=0o600)
    secret.write_text("a bench's own\n")
    env = {
        **os.environ,
        "ZAFFRE_RELEASE_KEYS": str(place / "signers"),
        "ZAFFRE_RELEASE_PASSPHRASE_FILE": str(secret),
    }
    places = ("--distro", str(definition), "--store", str(place / "store"), "--keys", str(place / "keys"))
    program = [str(Path(sys.executable).parent / "zaffre"), *places, "--quiet"]
    upstream = definition / _UPSTREAM
    whole = upstream.read_text()
    say(f"locking {IMAGE} to the release pocket")
    upstream.write_text(without_pockets(whole))
    for words in (("keys", "init", "--owner", "bench"), ("lock",)):
        _run([*program, *words], place / "steps.log", env)
    upstream.write_text(whole)
    repo = str(place / "repo")
    for words in (("lock",), ("release", "keys", "init"), ("release", "init", repo)):
        _run([*program, *words], place / "steps.log", env)
    say("patching it, as on the day when the fixes come")
    wait_for_calm()
    log = place / "patch.json"
    words = ("patch", IMAGE, "--to", repo, "--out", str(place / "out"), "--timeout", str(_SECONDS), "--json")
    cost = measure([*program, *words], log=log, timeout=_SECONDS, env=env, cwd=place)
    stages = stages_of(log.read_text("utf-8"))
    told = ", ".join(f"{key} {value:.0f}" for key, value in stages.items())
    say(f"a release without them: {cost.wall:.0f} s ({told})")
    return Patched(cost, stages)


def stages_of(text: str) -> dict[str, float]:
    """The stages by the command's report. Raises BenchError for one that did not end in a publication."""
    report = json.loads(text)
    stages = {str(one["stage"]): float(one["seconds"]) for one in report["stages"]}
    if "publish" not in stages or report["broken"] is not None:
        raise BenchError(f"nothing was published: {report['broken'] or 'nothing is behind'}")
    return stages


def patch_figures(found: Patched) -> list[Figure]:
    """The lines of the table that are about patching."""
    title = "a fix in the archive to a release"
    return [
        Figure(f"{title}, wall time", Unit.SECONDS, (found.cost.wall,), limit=Limit(value=LIMIT)),
        Figure(f"{title}, CPU time", Unit.SECONDS, (found.cost.cpu,)),
        *(Figure(f"of that: {name}", Unit.SECONDS, (seconds,)) for name, seconds in found.stages.items()),
    ]


def _run(argv: list[str], log: Path, env: Mapping[str, str]) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, timeout=_SECONDS, check=False
        )
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} failed (exit {done.returncode})\n{tail(log)}")
