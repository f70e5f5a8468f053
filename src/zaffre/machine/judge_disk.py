# SPDX-License-Identifier: Apache-2.0
"""From what a host says of its file systems to verdicts: a root that nobody writes to, a /var that lasts. Pure."""

from __future__ import annotations

from zaffre.machine.facts import Facts, MountPoint, mount_points
from zaffre.machine.judging import DISK_GROWS_BY, Expectations, file_system_bytes, line_of
from zaffre.machine.report import CheckLine


def _mounts(facts: Facts) -> list[MountPoint]:
    return mount_points(facts.get("system.mounts").text)


def root(facts: Facts, _: Expectations) -> CheckLine:
    mounts = [mount for mount in _mounts(facts) if mount.target == "/"]
    found = f"{mounts[-1].type}, {'read-only' if 'ro' in mounts[-1].options else 'writable'}" if mounts else ""
    remount, write = facts.get("root.remount"), facts.get("root.write")
    refused = remount.status > 0 and write.status > 0
    if mounts and not refused:
        found += "; a write or a remount for writing was not refused"
    passed = found == "erofs, read-only"
    return line_of("root", "root file system", passed=passed, found=found, wanted="erofs, read-only, never writable")


def verity(facts: Facts, expected: Expectations) -> CheckLine:
    status, table = facts.get("verity.status").text.split(), facts.get("verity.table").text.split()
    arguments = facts.get("system.command-line").text.split()
    promised = next((word.partition("=")[2] for word in arguments if word.startswith("roothash=")), None)
    # dm-verity's table (kernel, admin-guide/device-mapper/verity.rst): the digest is the ninth parameter.
    actual = table[11] if len(table) > 11 and table[2] == "verity" else None
    verified = len(status) > 3 and status[2:4] == ["verity", "V"]
    passed = verified and actual is not None and actual == promised and expected.root_hash in {None, actual}
    if actual is None:
        found = "the root is not a dm-verity device" if facts.get("verity.table").status >= 0 else ""
    elif not verified:
        found = "corruption was seen"
    elif actual != promised:
        found = f"root hash {actual[:12]}…, though the kernel image says {(promised or 'none')[:12]}…"
    else:
        found = f"verified, root hash {actual[:12]}…"
    return line_of(
        "verity",
        "dm-verity",
        passed=passed,
        found=found,
        wanted=f"verified, with the root hash {(expected.root_hash or promised or 'of the kernel image')[:12]}…",
    )


def usr(facts: Facts, _: Expectations) -> CheckLine:
    write = facts.get("usr.write")
    passed = write.status > 0 and "Read-only file system" in write.text
    found = (
        "refused: read-only file system" if passed else write.text or ("it was written" if write.status == 0 else "")
    )
    return line_of("usr", "a write to /usr", passed=passed, found=found, wanted="refused")


def etc(facts: Facts, expected: Expectations) -> CheckLine:
    written = facts.get("etc.write").text == expected.nonce
    after = facts.get("etc.kept", 2)
    gone = after.status > 0 and expected.nonce not in after.text
    found = "gone" if written and gone else "still there" if written and after.status == 0 else "could not be made"
    return line_of("etc", "a change in /etc, after a restart", passed=found == "gone", found=found, wanted="gone")


def var(facts: Facts, expected: Expectations) -> CheckLine:
    kept = facts.get("var.write").text == expected.nonce and facts.get("var.kept", 2).text == expected.nonce
    return line_of(
        "var", "a change in /var, after a restart", passed=kept, found="kept" if kept else "gone", wanted="kept"
    )


def var_grows(facts: Facts, _: Expectations) -> CheckLine:
    sizes = [file_system_bytes(facts.get("var.size", boot).text) for boot in (1, 2)]
    passed = sizes[0] > 0 and sizes[1] - sizes[0] > 0.9 * DISK_GROWS_BY
    found = " then ".join(f"{size / 1e9:.1f} GB" for size in sizes)
    return line_of(
        "var-grows",
        "/var, when the disk has grown",
        passed=passed,
        found=f"grew: {found}" if passed else found,
        wanted=f"larger by {DISK_GROWS_BY / 1e9:.1f} GB",
    )


def var_encrypted(facts: Facts, _: Expectations) -> CheckLine:
    table = facts.get("var.table").text.split()  # of dm-crypt (kernel, admin-guide/device-mapper/dm-crypt.rst)
    cipher = table[3] if len(table) > 3 and table[2] == "crypt" else None
    luks = facts.get("var.uuid").text.startswith("CRYPT-LUKS2-")
    mapped = any(mount.target == "/var" and mount.source == "/dev/mapper/var" for mount in _mounts(facts))
    found = f"encrypted: LUKS2, {cipher}, unlocked by the TPM" if luks and cipher else "not encrypted"
    return line_of(
        "var-encrypted",
        "/var on the disk",
        passed=bool(cipher) and luks and mapped,
        found=found if mapped else "not what is mounted",
        wanted="encrypted (LUKS2), and unlocked without anybody's help",
    )
