# SPDX-License-Identifier: Apache-2.0
"""What a node fetches when one thing of its host has changed, beside the whole files; and what applying that takes.

Three versions of the container host are built from the project's lock: with its own packages, with another openssl, and
with another kernel. The other packages are those that another image of the lock has, so they are real ones, of a real
day. They are published with deltas, and the sealed agent comes to them from the first, over HTTP, verifying all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import agent_root, make_node
from figures import Figure, Limit, Unit
from measure import BenchError
from neighbours import CHANGES, IMAGE, build, make_definition, program, run
from noise import Noise, wait_for_calm
from publisher import Publisher

from zaffre.release.kinds import UPDATE_FILES
from zaffre.sandbox import Mount, Sandbox

LIMITS = (0.10, 0.45)
MEMORY = 60e6
_SECONDS = 1800.0

_SCRIPT = """\
import json, resource, subprocess, sys, time
sys.path.insert(0, "/usr/lib/zaffre-agent")
from pathlib import Path
from zaffre.agent.home import Home
from zaffre.agent.host import Machine
from zaffre.agent.program import main

server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/job/repo"],
                          stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
time.sleep(2)

class Here(Machine):
    staged = ()
    def blessed(self): return True
    def versions(self): return self.staged
    def installed(self, version): return version in self.staged
    def forget(self, version): pass
    def stage(self, version): Here.staged = (version,)

words = ["--root", "/job/root", "--settings", "/job/agent.toml", "--state", "/job/state", "--trusted", "/job/root.json"]
begun = time.perf_counter()
code = main([*words, "update"], host=Here(Path("/job/root")))
print(json.dumps({
    "code": code,
    "seconds": time.perf_counter() - begun,
    "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "brought": Home(Path("/job/state")).brought,
}))
server.kill()
"""


@dataclass(frozen=True)
class Delivered:
    """Of one change: bytes that were fetched and those of the whole files; seconds and bytes of memory of the agent."""

    title: str
    delta: int
    whole: int
    seconds: float
    memory: int


def measure_deltas(folder: Path, *, say: Callable[[str], None]) -> tuple[list[Delivered], list[float]]:
    """Build the versions, make the deltas, apply them. With it, the shares of the machine that others used."""
    place = folder / "deltas"
    place.mkdir()
    run([program(), "--keys", str(place / "keys"), "keys", "init", "--owner", "bench"], folder / "deltas.log")
    say("building a container host, and its neighbours")
    base = make_definition(place / "definition-0", 0, None)
    old = build(base, place, IMAGE, folder / "deltas.log")
    root = agent_root(place, build(base, place, "agent", folder / "deltas.log"), old)
    delivered, others = [], []
    for number, (title, like) in enumerate(CHANGES.items(), 1):
        definition = make_definition(place / f"definition-{number}", number, like)
        new = build(definition, place, IMAGE, folder / "deltas.log")
        job = place / f"job-{number}"
        job.mkdir()
        publisher = Publisher(job)
        publisher.publish(old, deltas=0)
        publisher.publish(new, deltas=1)
        (job / "root.json").write_bytes(publisher.root)
        make_node(old, job)
        wait_for_calm()
        noise = Noise()
        one = _update(root, job, title)
        others.append(noise.share())
        delivered.append(one)
        say(f"{title}: {one.delta / 1e6:.1f} of {one.whole / 1e6:.1f} MB, {one.memory / 1e6:.0f} MB of memory")
        shutil.rmtree(job)
    return delivered, others


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
        Figure("the agent updates by deltas: peak memory", Unit.BYTES, (worst.memory,), limit=Limit(value=MEMORY)),
        Figure("the agent updates by deltas: wall time", Unit.SECONDS, (max(one.seconds for one in found),)),
    ]


def _update(root: Path, job: Path, title: str) -> Delivered:
    """What the agent does on that node."""
    done = Sandbox(None).run(
        ["/usr/bin/python3.13", "-IB", "-c", _SCRIPT],
        root=root,
        mounts=[Mount(job, "/job", writable=True)],
        timeout=_SECONDS,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    brought = said["brought"]
    if said["code"] or brought.get("fell_back") or set(brought.get("by_delta", ())) != set(UPDATE_FILES):
        raise BenchError(f"not all came by delta: {said}\n{done.stderr_tail}")
    return Delivered(title, brought["fetched"], brought["whole"], said["seconds"], said["bytes"])
