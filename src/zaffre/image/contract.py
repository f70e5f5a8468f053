# SPDX-License-Identifier: Apache-2.0
"""What a host must have so that no update can leave it without a system that boots: a tree in, breaches out.

Each rule was measured: what happens without it is in docs/explanation/updates.md. Sources: loader.conf(5),
sysupdate.d(5), systemd.unit(5), systemd.special(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.image.settings import Settings, files_of, required_by, unit_settings
from zaffre.image.updates import ESP_CHECK, LOADER_VENDOR
from zaffre.slots import INCOMING, INSTANCES

LOADER = "loader/loader.conf"
GATE = "boot-complete.target"

_TRANSFER_FOLDERS = ("usr/lib", "usr/local/lib", "etc")
_PROGRAMS = (
    "usr/lib/systemd/systemd-sysupdate",
    "usr/lib/systemd/systemd-import",
    "usr/lib/systemd/systemd-bless-boot",
    "usr/lib/systemd/systemd-fsck",
    "usr/sbin/fsck",
    "usr/sbin/fsck.vfat",
)
_REBOOTS = frozenset({"reboot", "reboot-force", "reboot-immediate"})
_ENDLESS = frozenset({"", "0", "infinity"})
_BLESS = "systemd-bless-boot.service"


@dataclass(frozen=True)
class Breach:
    """`where` is a file of the image or a place on its disk; `wanted` says what would hold."""

    rule: str
    where: str
    found: str
    wanted: str


def loader_breaches(text: str) -> Iterator[Breach]:
    """Of the text of loader.conf."""
    for line in text.splitlines():
        key = line.split(maxsplit=1)[0] if line.strip() else ""
        if key in {"default", "preferred"}:
            yield Breach(
                "loader-default",
                LOADER,
                line.strip(),
                "no such line: with it an entry whose tries are used up is booted again and again",
            )


def variable_breaches(folder: Path) -> Iterator[Breach]:
    """Of the firmware's variables, as efivarfs shows them: files `NAME-GUID` of four bytes of attributes and the value.

    Raises DefinitionError for a folder in which there is none.
    """
    if not any(folder.glob("*-????????-????-????-????-????????????")):
        raise DefinitionError(
            "there is no variable of a firmware in this folder",
            where=str(folder),
            resolution="take /sys/firmware/efi/efivars of a machine that was started by UEFI, or a copy of it",
        )
    for name in ("LoaderEntryDefault", "LoaderEntryPreferred"):
        path = folder / f"{name}-{LOADER_VENDOR}"
        value = path.read_bytes()[4:].decode("utf-16-le", "replace").strip("\0") if path.is_file() else ""
        if value:
            yield Breach(
                "loader-default",
                path.name,
                value,
                "no such variable (bootctl set-default ''): with it an entry whose tries are used up is booted again "
                "and again",
            )


def tree_breaches(root: Path) -> Iterator[Breach]:
    """Of a host's root as it will be sealed."""
    for program in _PROGRAMS:
        if not (root / program).is_file():
            yield Breach("program", f"/{program}", "not there", "the package that has it, in the image's packages")
    yield from _transfer_breaches(root)
    yield from _esp_breaches(root)
    yield from _health_breaches(root)


def slot_breaches(roots: Sequence[int], trees: Sequence[int], *, esp: int, kernel: int) -> Iterator[Breach]:
    """Of a disk: sizes in bytes of its root and verity partitions, of its ESP, and of its largest kernel image."""
    for what, sizes in (("root", roots), ("verity", trees)):
        if len(sizes) != INSTANCES or len(set(sizes)) != 1:
            found = f"{len(sizes)} of {', '.join(str(size) for size in sizes)} bytes"
            yield Breach("slots", f"partitions for {what}", found, f"{INSTANCES} of one size")
    if esp < INSTANCES * kernel:
        found = f"{esp} bytes, and a kernel image of {kernel}"
        yield Breach("slots", "EFI system partition", found, f"room for {INSTANCES} kernel images")


def require_contract(root: Path, *, where: str) -> None:
    """Raise DefinitionError for a tree from which a host could be updated into what does not come back."""
    if breaches := tuple(tree_breaches(root)):
        raise DefinitionError(
            "an update could leave this host without a system that boots",
            where=where,
            details="\n".join(f"{one.where}: {one.found}; wanted: {one.wanted}" for one in breaches),
            resolution="mend these files of the image, or set update.tries = 0, with which it is not updated in place",
        )


def _transfer_breaches(root: Path) -> Iterator[Breach]:
    texts = files_of(root, _TRANSFER_FOLDERS, "sysupdate.d", ".transfer")
    transfers = {f"sysupdate.d/{name}": Settings([text]) for name, text in texts.items()}
    kinds = [_kind(one) for one in transfers.values()]
    if sorted(kinds) != ["kernel image", "root", "root-verity"]:
        found = ", ".join(kinds) or "none"
        yield Breach("transfers", "sysupdate.d", found, "one each for the verity tree, the root and the kernel image")
    for name, kind in zip(transfers, kinds, strict=True):
        if kind == "kernel image" and name != list(transfers)[-1]:
            yield Breach(
                "kernel-last",
                name,
                "not the last in order",
                "a name after all others: no entry before its root is there",
            )
    for (name, one), kind in zip(transfers.items(), kinds, strict=True):
        for rule, section, key, wanted in _SETTINGS:
            if one.last(section, key) != wanted:
                yield Breach(rule, name, f"{key}={one.last(section, key)}", f"{key}={wanted} in [{section}]")
        yield from _counted(name, one) if kind == "kernel image" else _identified(name, one)


_SETTINGS = (
    ("protect-version", "Transfer", "ProtectVersion", "%A"),
    ("two-versions", "Target", "InstancesMax", str(INSTANCES)),
    ("local-source", "Source", "Type", "regular-file"),
    ("local-source", "Source", "Path", INCOMING),
)


def _esp_breaches(root: Path) -> Iterator[Breach]:
    """One that a power cut left damaged becomes read-only at the next write: no update, and no boot blessed."""
    unit = unit_settings(root, "boot.mount")
    keys = ("Wants", "Requires", "BindsTo")
    asked = [word for key in keys for word in unit.words("Unit", key)] if unit is not None else []
    if unit is None or ESP_CHECK not in asked or ESP_CHECK not in unit.words("Unit", "After"):
        found = "not there" if unit is None else "mounted without a check"
        yield Breach("esp-mended", "boot.mount", found, f"Wants= and After={ESP_CHECK} in [Unit]")


def _kind(transfer: Settings) -> str:
    if transfer.last("Target", "Type") == "partition":
        return re.sub(r"^root-(?:x86-64|arm64)", "root", transfer.last("Target", "MatchPartitionType")) or "partition"
    return "kernel image" if transfer.last("Target", "Path").strip("/") == "EFI/Linux" else "file"


def _counted(name: str, transfer: Settings) -> Iterator[Breach]:
    tries, done = transfer.last("Target", "TriesLeft"), transfer.last("Target", "TriesDone")
    patterns = transfer.words("Target", "MatchPattern")
    if not tries.isdigit() or tries == "0" or done != "0":
        yield Breach("counted", name, f"TriesLeft={tries}, TriesDone={done}", "tries of at least 1, and none done")
    if not any("+@l-@d" in one for one in patterns) or not any("+" not in one for one in patterns):
        yield Breach("counted", name, " ".join(patterns), "patterns of a name with +@l-@d, with +@l and without either")


def _identified(name: str, transfer: Settings) -> Iterator[Breach]:
    if "@u" not in transfer.last("Source", "MatchPattern"):
        found = transfer.last("Source", "MatchPattern")
        yield Breach("identified", name, found, "@u in the source's pattern: the initrd finds the root by that UUID")
    if (path := transfer.last("Target", "Path")) != "/":
        yield Breach(
            "disk-of-root", name, f"Path={path}", "Path=/ in [Target]: the disk is found, whatever lies over /usr"
        )


def _health_breaches(root: Path) -> Iterator[Breach]:
    units = required_by(root, GATE)
    reboots = False
    for unit in units:
        one = unit_settings(root, unit)
        if one is None:
            yield Breach("health", unit, "not there or masked", f"a unit, as {GATE} requires it")
            continue
        if GATE not in one.words("Unit", "Before"):
            yield Breach(
                "health-order", unit, "not ordered", f"Before={GATE}, or a boot is blessed before it is judged"
            )
        if one.last("Service", "TimeoutStartSec") in _ENDLESS:
            yield Breach("health-limit", unit, "no time limit", "TimeoutStartSec=")
        reboots |= one.last("Unit", "FailureAction") in _REBOOTS
    if not reboots:
        yield Breach("health-reboots", GATE, _listed(units), "a required unit with FailureAction=reboot")
    if _BLESS not in required_by(root, GATE, kind="wants") or unit_settings(root, _BLESS) is None:
        yield Breach("blessed", _BLESS, f"not wanted by {GATE}", "a good boot is marked, or it counts as failed")


def _listed(units: Sequence[str]) -> str:
    return f"required: {', '.join(units)}" if units else "nothing is required"
