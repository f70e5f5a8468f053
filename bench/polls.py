# SPDX-License-Identifier: Apache-2.0
"""Polls of ten thousand agents, answered by one static web server: how many in a second, and what one costs it.

What an agent asks for when there is nothing new is not written here: an agent's look at a repository of releases is
recorded. Then nginx serves that repository, and h2load asks for the same as so many clients, each over a connection
of its own. Both run on the same processors: a server by itself answers more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, Unit
from lab import Lab, Say
from measure import BenchError
from noise import Noise, wait_for_calm
from publisher import CHANNEL, Publisher

from zaffre.agent.look import look
from zaffre.agent.source import Folder, Place
from zaffre.sandbox import Mount

AGENTS = 10_000
_SECONDS = 600.0
_CONFIG = """\
user root;
pid /tmp/nginx.pid;
worker_processes 2;
worker_rlimit_nofile 16384;
error_log /tmp/error.log;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp; uwsgi_temp_path /tmp; scgi_temp_path /tmp;
  server { listen 127.0.0.1:8000 backlog=16384; root /job/repo; }
}
"""
_SCRIPT = """\
set -eu
ulimit -n "$(ulimit -H -n)"
nginx -c /job/nginx.conf
h2load --h1 --requests="$1" --clients="$2" --input-file=/job/uris
cat /proc/[0-9]*/stat
nginx -c /job/nginx.conf -s quit
"""
_TOOK = re.compile(r"^finished in (\d+(?:\.\d+)?)(ms|s),", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: \d+ total, \d+ started, (\d+) done, .* (\d+) errored, (\d+) timeout$", re.MULTILINE)
_TICKS = re.compile(r"^\d+ \(nginx\) \S (?:\S+ ){10}(\d+) (\d+) ", re.MULTILINE)
"""utime and stime of proc_pid_stat(5)."""


@dataclass
class Polls:
    """Seconds of each round: of all agents' polls, and of the server's processors."""

    requests: int
    """What one poll asks for."""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


class _Recorded:
    """A place that keeps what it was asked for."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.asked: list[str] = []

    def size(self, path: str) -> int | None:
        self.asked.append(path)
        return self._place.size(path)

    def chunks(self, path: str) -> Iterator[bytes]:
        return self.rest(path, 0)[1]

    def rest(self, path: str, start: int) -> tuple[int, Iterator[bytes]]:
        self.asked.append(path)
        return self._place.rest(path, start)


def poll_paths(repository: Path, trusted: bytes, state: Path) -> list[str]:
    """What an agent asks a repository for that it has looked at before, in order."""
    asked: list[str] = []
    for _ in range(2):
        place = _Recorded(Folder(repository))
        look(place, state, trusted, CHANNEL, "none")
        asked = place.asked
    return asked


def measure_polls(lab: Lab, *, rounds: int, say: Say, agents: int = AGENTS) -> Polls:
    """Rounds of polls, each by a server that was just started. Raises BenchError when one was not answered."""
    job = lab.folder / "polls"
    job.mkdir()
    publisher = Publisher(job)
    (job / "state").mkdir()
    paths = poll_paths(job / "repo", publisher.root, job / "state")
    (job / "uris").write_text("".join(f"http://127.0.0.1:8000/{path}\n" for path in paths))
    (job / "nginx.conf").write_text(_CONFIG)
    found = Polls(len(paths))
    for number in range(1, rounds + 1):
        wait_for_calm()
        noise = Noise()
        done = lab.sandbox.run(
            ["sh", "-c", _SCRIPT, "polls", str(agents * len(paths)), str(agents)],
            mounts=[Mount(job, "/job")],
            timeout=_SECONDS,
        )
        found.others.append(noise.share())
        wall, cpu = read_round(done.stdout.decode(), agents * len(paths))
        found.wall.append(wall)
        found.cpu.append(cpu)
        say(f"round {number} of {rounds}: {agents:,} polls: {wall:.1f} s, CPU of the server {cpu:.1f} s")
    return found


def read_round(said: str, requests: int) -> tuple[float, float]:
    """Seconds that all requests took, and processor seconds of nginx. Raises BenchError when any was not answered."""
    took, counts = _TOOK.search(said), _REQUESTS.search(said)
    if took is None or counts is None or (int(counts[1]), counts[2], counts[3]) != (requests, "0", "0"):
        raise BenchError(f"not all of {requests} requests were answered:\n{said}")
    ticks = sum(int(user) + int(system) for user, system in _TICKS.findall(said))
    return float(took[1]) / (1000 if took[2] == "ms" else 1), ticks / os.sysconf("SC_CLK_TCK")


def poll_figures(found: Polls, agents: int = AGENTS) -> list[Figure]:
    """The lines of the table that are about polls."""
    title = f"{agents:,} agents' polls"
    rates = tuple(agents * found.requests / wall for wall in found.wall)
    return [
        Figure(f"{title}, all at once: requests answered in a second", Unit.COUNT, rates),
        Figure(f"{title}: CPU time of the server for all", Unit.SECONDS, tuple(found.cpu)),
    ]
