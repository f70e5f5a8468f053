# SPDX-License-Identifier: Apache-2.0
"""How long the agent takes to decide by what it has seen: its channel's metadata as it keeps them, and its own state.

The sealed agent's own Python, over the host's root. The channel has `RELEASES` releases of that host, so the agent
reads as much as a node whose channel is some years old. Memory is measured where it has most to do, in deltas.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from agents import agent_root, make_node
from builds import release_build
from figures import Figure, Limit, Unit
from lab import IMAGE, Lab, Say
from measure import BenchError
from noise import Noise, wait_for_calm
from publisher import Publisher

from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.sandbox import Mount, Sandbox

RELEASES = 30
"""Two or three years of one a month."""
MOST = Limit(value=0.05, strict=True)
AGENT = "agent"
_SECONDS = 600.0
_SCRIPT = """\
import json, subprocess, sys, time
sys.path.insert(0, "/usr/lib/zaffre-agent")
from datetime import UTC, datetime
from pathlib import Path
from zaffre.agent.home import Home
from zaffre.agent.host import Machine
from zaffre.agent.look import remembered
from zaffre.agent.program import main
from zaffre.agent.settings import read_settings
from zaffre.agent.work import node_of
from zaffre.offer import decide

class Here(Machine):
    def blessed(self): return True
    def versions(self): return ()

words = ["--root", "/job/root", "--settings", "/job/agent.toml", "--state", "/job/state", "--trusted", "/job/root.json"]
server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/job/repo"],
                          stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
time.sleep(2)
host = Here(Path("/job/root"))
if main([*words, "check"], host=host):
    sys.exit("the agent could not look at its channel")
server.kill()
settings, home = read_settings([Path("/job/agent.toml")]), Home(Path("/job/state"))
decided = []
for _ in range(21):
    begun = time.perf_counter()
    mine = host.identity()
    offers = remembered(home.metadata, settings.channel, mine.product)
    decision = decide(node_of(host, home, mine), offers.records, settings.policy, datetime.now(UTC))
    decided.append(time.perf_counter() - begun)
print(json.dumps({"decided": decided, "act": decision.act.value, "records": len(offers.records)}))
"""


@dataclass(frozen=True)
class Decided:
    """Seconds of each decision, in order, and the share of the machine that others used."""

    seconds: tuple[float, ...]
    others: float


def measure_deciding(lab: Lab, *, say: Say) -> Decided:
    """Raises BenchError when the agent read less than all releases, or decides anything but to go to the newest."""
    old = release_build(lab, say=say)
    job = lab.folder / "deciding"
    job.mkdir()
    root = agent_root(job, release_build(lab, AGENT, say=say), old)
    publisher, manifest = Publisher(job), Manifest.model_validate_json((old / MANIFEST_NAME).read_bytes())
    for number in range(1, RELEASES + 1):
        publisher.publish(old, deltas=0, version=f"{manifest.version}.{number}")
    (job / "root.json").write_bytes(publisher.root)
    make_node(old, job)
    wait_for_calm()
    noise = Noise()
    done = Sandbox(None).run(
        ["/usr/bin/python3.13", "-IB", "-c", _SCRIPT],
        root=root,
        mounts=[Mount(job, "/job", writable=True)],
        timeout=_SECONDS,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    if (said["act"], said["records"]) != ("stage", RELEASES):
        raise BenchError(f"the agent of {IMAGE} did not decide what it was to: {said}\n{done.stderr_tail}")
    found = Decided(tuple(said["decided"][1:]), noise.share())
    say(f"{len(found.seconds)} decisions among {RELEASES} releases: at most {max(found.seconds) * 1e3:.0f} ms")
    return found


def deciding_figures(found: Decided) -> list[Figure]:
    """The line of the table that is about a decision."""
    title = f"the agent decides by what it has seen, {RELEASES} releases"
    return [Figure(title, Unit.SECONDS, found.seconds, limit=MOST)]
