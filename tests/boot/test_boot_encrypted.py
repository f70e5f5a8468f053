# SPDX-License-Identifier: Apache-2.0
"""A host whose /var is encrypted to its TPM: one machine that is checked, and one that goes from version to version,
the last of them signed with another PCR key.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.lab import Lab
from support.pcr import pcr_11
from support.updates import IMAGE, Story, Version, Versions
from zaffre.image.encryption import RECOVERY_KEY
from zaffre.trust import Role
from zaffre.trust.generate import add_keys

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot-encrypted")]

KEY = "a recovery key of a test"
KEEP = "echo kept >/var/lib/kept"
LOOK = "cat /var/lib/kept /sys/class/tpm/tpm0/pcr-sha256/11; dmsetup table var"
OPEN = f"""\
cat /var/lib/kept
dd if=/dev/disk/by-partlabel/var of=/run/copy bs=1M count=20 2>/dev/null
for key in "{KEY}" "another key"; do
    printf %s "$key" >/run/recovery-key
    systemd-cryptsetup attach rescued /run/copy /run/recovery-key luks,headless=yes 2>/dev/null
    echo "$key: $?"
    systemd-cryptsetup detach rescued 2>/dev/null
done
"""

Played = tuple[Story, tuple[Version, ...]]


def adapted(lab: Lab, root: Path) -> Lab:
    """A lab of its own, in which the container host has an encrypted /var."""
    made = Lab(root)
    shutil.copytree(lab.distro, made.distro, symlinks=True)
    shutil.copytree(lab.keys, made.keys)
    image = made.distro / f"images/{IMAGE}.toml"
    text = image.read_text()
    assert 'profiles = ["immutable", "kubernetes", ' in text
    image.write_text(text.replace('"kubernetes", ', '"kubernetes", "encrypted-var", ', 1))
    for path in (made.distro / "images").glob("*.toml"):
        if path.stem not in {IMAGE, "agent", "check"}:  # some are made of the same host, and would be locked anew
            path.unlink()
    made.zaffre("lock")
    return made


def with_other_pcr_key(lab: Lab, root: Path) -> Lab:
    made = Lab(root)
    shutil.copytree(lab.distro, made.distro, symlinks=True)
    shutil.copytree(lab.keys, made.keys)
    for name in (Role.PCR.private_name, Role.PCR.public_name):
        (made.keys / name).unlink()
    add_keys(made.keys, owner="Somebody else", now=datetime.now(UTC))
    return made


def one_try(distro: Path) -> None:
    profile = distro / "profiles/immutable.toml"
    text = profile.read_text()
    assert "tries = 3" in text
    profile.write_text(text.replace("tries = 3", "tries = 1"))


@pytest.fixture(scope="module")
def encrypted(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return adapted(lab, tmp_path_factory.mktemp("encrypted") / "lab")


@pytest.fixture(scope="module")
def played(encrypted: Lab, tmp_path_factory: pytest.TempPathFactory) -> Played:
    root = tmp_path_factory.mktemp("versions")
    made = Versions(encrypted, root / "own", one_try)
    other = Versions(with_other_pcr_key(encrypted, root / "lab"), root / "other", one_try)
    versions = first, second, foreign = made.build(0), made.build(1), other.build(2)
    story = made.played(
        first,
        (second, foreign),
        after={second.name: f"{KEEP}; {LOOK}", foreign.name: LOOK},
        last=OPEN,
        credentials={RECOVERY_KEY: KEY.encode()},
    )
    return story, versions


def test_a_version_unlocks_what_another_one_made_if_the_same_key_signed_it(played: Played) -> None:
    story, (first, second, _) = played
    assert story.ended, story.console[-3000:].decode(errors="replace")
    # The one of another key comes up nowhere, and the machine goes back by itself.
    assert story.boots == [first.name, second.name, second.name, second.name]
    assert b"/var, unlocked by the TPM of this machine" in story.console
    assert [told["after"].splitlines()[0] for told in story.told[:2]] == ["kept", "kept"]
    assert story.told[2]["last"].splitlines()[0] == "kept"


def test_the_phase_that_the_key_is_given_in_is_over_when_the_root_runs(played: Played) -> None:
    story, versions = played
    for told, version in zip(story.told, versions[:2], strict=False):
        _, pcr, table = told["after"].splitlines()
        assert bytes.fromhex(pcr) == pcr_11(version.folder / "uki.efi", ("enter-initrd", "leave-initrd"))
        assert " crypt aes-xts-plain64 " in table


def test_a_recovery_key_opens_what_it_was_given_for(played: Played) -> None:
    story, _ = played
    statuses = dict(line.rsplit(": ", 1) for line in story.told[2]["last"].splitlines()[1:])
    assert statuses[KEY] == "0"
    assert statuses["another key"] != "0"


def test_signed_values_by_another_key_are_found_without_a_machine(encrypted: Lab, played: Played) -> None:
    _, (first, _, foreign) = played

    def failing(version: Version) -> list[str]:
        report = encrypted.json("verify", str(version.folder), check=False)
        assert "signed PCR values" in [one["name"] for one in report["checks"]]
        return [one["name"] for one in report["checks"] if not one["ok"]]

    assert failing(first) == []
    assert failing(foreign) == ["signed PCR values"]


def test_the_check_says_so_and_var_grows(encrypted: Lab) -> None:
    encrypted.build(IMAGE)
    done = encrypted.zaffre("check", IMAGE, "--out", str(encrypted.out), "--timeout", "1500", "--json", check=False)
    told = json.loads(done.stdout)
    assert "lines" in told, told
    lines = {line["name"]: line for line in told["lines"]}
    failed = {name: line["found"] for name, line in lines.items() if line["verdict"] == "failed"}
    assert failed == {}, "\n".join(told["denials"])
    assert lines["var-encrypted"]["found"] == "encrypted: LUKS2, aes-xts-plain64, unlocked by the TPM"
    assert {"var", "var-grows", "health", "machine-id"} <= lines.keys()
