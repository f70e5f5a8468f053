# SPDX-License-Identifier: Apache-2.0
"""New versions that do not come up, each in another way, and are left for the one before: containerd that answers
nobody, a boot that never ends, a root with a flipped bit. And a bit that flips in a version that was good.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.lab import Lab
from support.updates import Story, Version, Versions
from zaffre.slots import root_uuids

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot-trouble")]

UNITS = "usr/lib/systemd/system"
DEAF = {
    f"{UNITS}/containerd.service.d/20-deaf.conf": "[Service]\nType=exec\nExecStart=\nExecStart=sleep infinity\n",
}
ENDLESS = {
    f"{UNITS}/endless.service": "[Service]\nType=oneshot\nExecStart=sleep infinity\nTimeoutStartSec=infinity\n",
    f"{UNITS}/multi-user.target.d/20-endless.conf": (
        "[Unit]\nRequires=endless.service\nAfter=endless.service\nJobTimeoutSec=40s\n"
    ),
}
"""As its own 15 minutes are, if shorter."""
UNUSED = 512
"""A byte of the first block that says nothing to erofs, whose superblock begins at 1024."""

Played = tuple[Story, tuple[Version, ...]]


def one_try(distro: Path) -> None:
    """Three tries have a test of their own, and take three times as long."""
    profile = distro / "profiles/immutable.toml"
    text = profile.read_text()
    assert "tries = 3" in text
    profile.write_text(text.replace("tries = 3", "tries = 1"))


def flip(version: Version) -> str:
    """A script that changes one byte of that version's root on the disk."""
    device = f"/dev/disk/by-partuuid/{root_uuids(version.manifest.root_hash or '')[0]}"
    return f"udevadm settle && printf Z | dd of={device} bs=1 seek={UNUSED} conv=notrunc,fsync"


@pytest.fixture(scope="module")
def played(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Played:
    made = Versions(lab, tmp_path_factory.mktemp("trouble"), one_try)
    versions = first, deaf, endless, flipped = (
        made.build(0),
        made.build(1, DEAF),
        made.build(2, ENDLESS),
        made.build(3),
    )
    return made.played(first, (deaf, endless, flipped), after={flipped.name: flip(flipped)}), versions


def test_each_is_tried_and_left(played: Played) -> None:
    story, (first, deaf, *_) = played
    assert story.ended, story.console[-3000:].decode(errors="replace")
    # The endless one never comes to where it would tell, and the one with the flipped bit panics before that.
    assert story.boots == [one.name for one in (first, deaf, first, first, first)]
    assert story.console.count(b"Kernel panic") >= 1


def test_each_is_remembered_and_the_old_one_is_whole(played: Played) -> None:
    story, (first, *others) = played
    assert set(story.told[-1]["bad"].split()) == {one.name for one in others}
    verdict = json.loads(story.told[-1]["verdict"])
    assert (verdict["version"], verdict["trial"], verdict["healthy"]) == (first.name, False, True)
    flipped = others[-1]
    assert set(story.told[-1]["entries"].split()) == {f"{first.entry}.efi", f"{flipped.entry}+0-1.efi"}


def every_boot(distro: Path) -> None:
    one_try(distro)
    profile = distro / "profiles/immutable.toml"
    profile.write_text(profile.read_text().replace("tries = 1", "tries = 1\nevery_boot = true"))


def test_a_version_that_was_good_is_left_when_a_bit_of_its_root_flips(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = Versions(lab, tmp_path_factory.mktemp("damage"), every_boot)
    first, second = made.build(0), made.build(1)
    story = made.played(first, (second,), last=flip(second))
    assert story.ended, story.console[-3000:].decode(errors="replace")
    assert story.boots == [first.name, second.name, first.name]
    before, after = story.told[1:]
    assert set(before["entries"].split()) == {f"{first.entry}+1.efi", f"{second.entry}+1.efi"}
    assert set(after["entries"].split()) == {f"{first.entry}+1.efi", f"{second.entry}+0-1.efi"}
    assert after["bad"].split() == [second.name]
    assert story.console.count(b"Kernel panic") == 1
