# SPDX-License-Identifier: Apache-2.0
"""All figures of Zaffre beside its peers, in one run: `make bench`.

Prints one table of ratios to standard output, progress to standard error. What is measured uses no network, but for
the first scan and a patch; one thing at a time, in a folder that is removed in the end. Exit code 0: every limit is
held; 1: one is missed; 3: a measurement could not be made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bills import bill_figures, measure_bills
from boots import boot_figures, measure_boots
from builds import build_figures, measure_builds, release_build
from confining import HOSTS, confining_figures, measure_confining
from containers import container_figures, container_requests, measure_containers
from customise import customising_figures, measure_customising
from deciding import AGENT, deciding_figures, measure_deciding
from deltas import delta_figures, measure_deltas
from drift import drift_figures, measure_drift
from figures import Figure, Plain, markdown, plain, table
from fleet import fleet_figures, measure_fleet
from indexes import index_figures, measure_indexes
from lab import CONTAINERS, PROFILE, Extra, Lab, Say, lab
from measure import BenchError
from metadata import measure_metadata, metadata_figures
from mkosi import INITRD_PACKAGES, LOADER_PACKAGE
from noise import CALM
from patches import measure_patch, patch_figures
from polls import measure_polls, poll_figures
from publishing import measure_publishing, publishing_figures
from rebuild import measure_rebuilds, rebuild_figures, rebuild_requests
from scanning import measure_scans, scan_figures
from servers import SERVER, measure_servers, server_figures
from stock import make_stock_disk, stock_requests
from stockcloud import cloud_requests, make_cloud_disk
from switching import measure_switches, switching_figures

from repository import make_repository
from zaffre.cli.failure import describe, show
from zaffre.errors import ExitCode, ZaffreError
from zaffre.sandbox import become_root_in_namespace
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.solving import SetRequest

GROUPS = (
    "indexes",
    "metadata",
    "drift",
    "fleet",
    "bills",
    "scan",
    "patch",
    "deltas",
    "deciding",
    "polls",
    "publishing",
    "rebuild",
    "containers",
    "customise",
    "builds",
    "boots",
    "switching",
    "selinux",
    "server",
)
"""What can be measured by itself."""


def main() -> int:
    options = _options()
    try:
        become_root_in_namespace([sys.executable, *sys.argv])
        with _scratch(options.scratch, keep=options.keep) as folder:
            figures, others = _measure(folder, options.only or GROUPS, builds=options.builds, boots=options.boots)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return ExitCode.WORLD
    except ZaffreError as error:
        show(describe(error), as_json=False)
        return ExitCode.WORLD
    now = datetime.now(UTC)
    if options.json:
        options.json.write_text(json.dumps(_record(figures, others, now), indent=1, ensure_ascii=False) + "\n")
    if others > CALM:
        print(
            f"bench: other programs used up to {others:.0%} of the machine: measure again when it is idle",
            file=sys.stderr,
        )
    print(_for_readme(figures, now) if options.markdown else f"{_machine()}, {now:%Y-%m-%d}\n\n{table(figures)}")
    return ExitCode.FINDING if any(figure.held is False for figure in figures) else ExitCode.DONE


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure Zaffre beside mkosi, mmdebstrap, sbuild, a stock Debian and its cloud image."
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=GROUPS,
        metavar="NAME",
        help=f"measure this alone, or several: {', '.join(GROUPS)} (default: all)",
    )
    parser.add_argument("--builds", type=int, default=3, metavar="N", help="rounds of builds (default: 3)")
    parser.add_argument("--boots", type=int, default=2, metavar="N", help="rounds of boots (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measured value there")
    parser.add_argument("--markdown", action="store_true", help="print the table as the README has it")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path("/var/tmp"),
        metavar="DIR",
        help="a folder on a disk with 8 GB free (default: /var/tmp)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder with its logs behind")
    options = parser.parse_args()
    if options.builds < 1 or options.boots < 1:
        parser.error("at least one round is needed")
    return options


@contextmanager
def _scratch(parent: Path, *, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="zaffre-bench-", dir=parent))
    try:
        yield folder
    finally:
        if keep:
            print(f"bench: all is kept in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)


def _measure(folder: Path, groups: Collection[str], *, builds: int, boots: int) -> tuple[list[Figure], float]:
    """The figures, and the largest share of the machine that others used during a measurement."""
    begun = time.monotonic()

    def say(words: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begun), 60)
        print(f"[{minutes:2}:{seconds:02}] {words}", file=sys.stderr, flush=True)

    found = _Found()
    if "indexes" in groups:
        begun_with = measure_indexes(folder, say=say)
        found.add("indexes", index_figures(begun_with), begun_with.others)
    if "drift" in groups:
        costs = measure_drift(folder, say=say)
        found.add("drift", drift_figures(costs), [cost.others for cost in costs])
    if "fleet" in groups:
        rolled = measure_fleet(folder, say=say)
        found.add("fleet", fleet_figures(rolled), [rolled.others])
    if "bills" in groups:
        written = measure_bills(say=say)
        found.add("bills", bill_figures(written), written.others)
    if "scan" in groups:
        scans = measure_scans(folder, say=say)
        found.add("scan", scan_figures(scans), [cost.others for cost in (scans.cold, *scans.warm)])
    if "patch" in groups:
        patched = measure_patch(folder, say=say)
        found.add("patch", patch_figures(patched), [patched.cost.others])
    if "deltas" in groups:
        delivered, others = measure_deltas(folder, say=say)
        found.add("deltas", delta_figures(delivered), others)
    if set(groups) - {"indexes", "drift", "fleet", "bills", "scan", "patch", "deltas"}:
        images = [*((SERVER,) if "server" in groups else ()), *(CONTAINERS if "containers" in groups else ())]
        images += [AGENT] if "deciding" in groups else []
        images += [name for pair in HOSTS.items() for name in pair] if "selinux" in groups else []
        with lab(folder, extra=_for_peers(groups), images=images, say=say) as place:
            _measure_in(place, found, groups, builds=builds, boots=boots, say=say)
    return found.figures, max(found.others)


@dataclass
class _Found:
    """Figures by what was measured."""

    groups: dict[str, list[Figure]] = field(default_factory=dict)
    others: list[float] = field(default_factory=list)

    def add(self, group: str, figures: list[Figure], others: Iterable[float]) -> None:
        self.groups[group] = figures
        self.others += others

    @property
    def figures(self) -> list[Figure]:
        """In the order of the table, whatever was measured first."""
        order = (
            "builds",
            "customise",
            "boots",
            "switching",
            "selinux",
            "server",
            "containers",
            "indexes",
            "metadata",
            "drift",
            "fleet",
            "bills",
            "scan",
            "patch",
            "deltas",
            "deciding",
            "polls",
            "rebuild",
            "publishing",
        )
        return [figure for group in order for figure in self.groups.get(group, ())]


def _measure_in(place: Lab, found: _Found, groups: Collection[str], *, builds: int, boots: int, say: Say) -> None:
    if "metadata" in groups:
        say("making a large RPM repository")
        read = measure_metadata(place, rounds=builds, say=say)
        found.add("metadata", metadata_figures(read), read.others)
    if "publishing" in groups:
        published = measure_publishing(place, rounds=builds, say=say)
        found.add("publishing", publishing_figures(published), published.others)
    if "polls" in groups:
        polled = measure_polls(place, rounds=builds, say=say)
        found.add("polls", poll_figures(polled), polled.others)
    if "deciding" in groups:
        decided = measure_deciding(place, say=say)
        found.add("deciding", deciding_figures(decided), [decided.others])
    if "switching" in groups:
        switches = measure_switches(place, rounds=boots, say=say)
        found.add("switching", switching_figures(switches), switches.others)
    if "rebuild" in groups:
        say("making a chroot for sbuild")
        rebuilt = measure_rebuilds(place, rounds=builds, say=say)
        found.add("rebuild", rebuild_figures(rebuilt), rebuilt.others)
    if "containers" in groups:
        contained = measure_containers(place, rounds=builds, say=say)
        found.add("containers", container_figures(contained), contained.others)
    if "customise" in groups:
        customised = measure_customising(place, rounds=builds, say=say)
        found.add("customise", customising_figures(customised), customised.others)
    if "builds" in groups:
        say("making a local archive of the locked packages")
        repository = make_repository(place, "repository", place.same)
        measured = measure_builds(place, repository, rounds=builds, say=say)
    if "server" in groups:
        server = release_build(place, SERVER, say=say) / "image.raw"
        say("making the like of Debian's cloud image")
        cloud = make_cloud_disk(place, make_repository(place, "cloud-repository", place.stock))
        served = measure_servers(place, server, cloud, rounds=boots, say=say)
        found.add("server", server_figures(served), served.others)
    if "selinux" in groups:
        built = {name: release_build(place, name, say=say) for pair in HOSTS.items() for name in pair}
        held = measure_confining(place, built, rounds=boots, say=say)
        found.add("selinux", confining_figures(held), held.others)
    if not {"builds", "boots"} & set(groups):
        return
    release = release_build(place, say=say)
    if "builds" in groups:
        found.add("builds", build_figures(measured, release), measured.others)
    if "boots" in groups:
        say("making a stock Debian")
        stock = make_stock_disk(place, make_repository(place, "stock-repository", place.stock))
        booted = measure_boots(place, release / "image.raw", stock, rounds=boots, say=say)
        found.add("boots", boot_figures(booted), booted.others)


def _for_peers(groups: Collection[str]) -> Extra:
    """What the peers of these groups need besides."""

    def requests(indexes: Indexes, architecture: str, asked: tuple[str, ...]) -> Iterable[SetRequest]:
        if "builds" in groups:
            yield SetRequest("mkosi", (*INITRD_PACKAGES, LOADER_PACKAGE), architecture)
        if "containers" in groups:
            yield from container_requests(indexes, architecture)
        if "boots" in groups:
            yield from stock_requests(indexes, architecture, asked)
        if "rebuild" in groups:
            yield from rebuild_requests(architecture)
        if "server" in groups:
            yield from cloud_requests(indexes, architecture)

    return requests


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} processors, {memory:.0f} GiB of memory, QEMU without KVM"


def _for_readme(figures: list[Figure], now: datetime) -> str:
    return (
        f"Measured {now:%Y-%m-%d} on {_machine()}, profile {PROFILE} unless said; medians, and the median of the "
        f"pairs' ratios.\n\n{markdown(figures)}"
    )


def _record(figures: list[Figure], others: float, now: datetime) -> Plain:
    return {
        "date": now.isoformat(timespec="seconds"),
        "machine": _machine(),
        "used_by_others": round(others, 3),
        "figures": plain(figures),
    }


if __name__ == "__main__":
    sys.exit(main())
