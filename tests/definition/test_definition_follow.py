# SPDX-License-Identifier: Apache-2.0
"""A host that follows a channel: what it has to say, and what is wrong with each way of saying it otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop import HOST, Workshop

from support.releases import CHANNELS, make_keys, now, open_ring
from zaffre.definition import digest
from zaffre.release.metadata import DEFAULT_DAYS
from zaffre.release.rotate import found, trustees_by_name

AGENT = 'kind = "sysext"\nbase = "host"\nagent = true\n'
PLACE = 'place = "https://releases.example/acme"\n'
FOLLOWS = f'tries = 3\n{PLACE}channel = "stable"\ntrusted = "trust/root.json"\n'


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root of trust as `zaffre release init` writes it."""
    ring = open_ring(make_keys(tmp_path_factory.mktemp("keys") / "signers"))
    change = found(trustees_by_name(ring, CHANNELS, 2), CHANNELS, DEFAULT_DAYS, now=now())
    change.signed_by(ring, None)
    return change.roles["root"].to_bytes().decode()


@pytest.fixture
def following(workshop: Workshop, root: str) -> Workshop:
    workshop.write("images/agent.toml", AGENT)
    workshop.write("trust/root.json", root)
    workshop.write("images/host.toml", f"{HOST}[update]\n{FOLLOWS}")
    return workshop


def test_a_host_follows_a_channel(following: Workshop) -> None:
    settings = f'{FOLLOWS}window = "22:30-04:00"\nrate = 2_000_000\nrestart = false\n'
    following.write("images/host.toml", f"{HOST}[update]\n{settings}")
    update = following.load().image("host").update
    assert (update.place, update.channel, update.trusted) == (
        "https://releases.example/acme",
        "stable",
        "trust/root.json",
    )
    assert (update.window, update.rate, update.restart, update.agent) == ("22:30-04:00", 2_000_000, False, "agent")


def test_another_root_of_trust_makes_another_host(following: Workshop, root: str) -> None:
    before = following.load()
    first = digest(before, before.image("host"))
    following.write("trust/root.json", f"{root}\n")
    assert digest(following.load(), before.image("host")) != first


NO_PLACE = "is for a host that follows a channel, and this one has no update.place"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("https://", "ftp://", "place: 'ftp://releases.example/acme' is not the URL of a place of releases"),
        ("https://", "https://me:secret@", "is not the URL of a place of releases"),
        ('"stable"', '"Stable"', "channel: 'Stable' cannot be a channel: use small letters"),
        ('"stable"', '"snapshot"', "channel: 'snapshot' cannot be a channel"),
        ('channel = "stable"\n', "", "channel: is required with update.place"),
        ('trusted = "trust/root.json"\n', "", "trusted: is required with update.place"),
        ("root.json", "rot.json", "trusted: cannot read 'trust/rot.json': No such file"),
        ("trust/root.json", "images/host.toml", "trusted: 'images/host.toml' is no root of trust"),
        ("tries = 3", "tries = 0", "tries: must be at least 1 for a host that follows a channel"),
        ("tries = 3", 'tries = 3\nwindow = "4-5"', "window: '4-5' is not a window of the day, like 22:30-04:00"),
        ("tries = 3", "tries = 3\nrate = 100", "rate: must be at least 64000"),
        ("tries = 3", 'tries = 3\nagent = "agnt"', "agent: 'agnt' is no image (did you mean 'agent'?)"),
        ("tries = 3", 'tries = 3\nextensions = ["agnt"]', "extensions: 'agnt' is no image"),
        ("tries = 3", 'tries = 3\nextensions = ["host"]', "extensions: 'host' is no sysext and no confext"),
        ("tries = 3", 'tries = 3\nextensions = ["agent"]', "extensions: 'agent' is the agent's own"),
        ("tries = 3", 'tries = 3\nagent = "host"', "agent: 'host' is no sysext with agent = true"),
        (
            "tries = 3",
            "every_boot = true",
            "every_boot: is for a host that counts boots, and this one has no update.tries",
        ),
        (PLACE, "", f"channel: {NO_PLACE}"),
        (FOLLOWS, 'tries = 3\nwindow = "22:30-04:00"\n', f"window: {NO_PLACE}"),
    ],
)
def test_what_is_wrong_is_said(following: Workshop, old: str, new: str, message: str) -> None:
    assert old in FOLLOWS
    following.write("images/host.toml", f"{HOST}[update]\n{FOLLOWS.replace(old, new)}")
    found = following.problems()
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"_type":"root"', '"_type":"targets"', "is no root of trust"),
        ('"version":1', '"version":2', "is no root of trust: root was signed by 0/2 keys"),
        ('"sig":"', '"sig":"00', "was signed by"),
    ],
)
def test_a_root_of_trust_that_does_not_hold_is_refused(
    following: Workshop, root: str, old: str, new: str, message: str
) -> None:
    compact = root.replace('": ', '":').replace(",\n", ",")
    assert old in compact
    following.write("trust/root.json", compact.replace(old, new))
    assert any(message in problem for problem in following.problems()), following.problems()


def test_a_root_of_trust_has_a_size(following: Workshop, root: str) -> None:
    following.write("trust/root.json", root + " " * (1 << 20))
    assert "has more than 1048576 bytes" in str(following.refused())


def test_a_root_that_is_no_file_is_said(following: Workshop) -> None:
    (following.root / "trust/root.json").unlink()
    Path(following.root / "trust/root.json").mkdir()
    assert "cannot read 'trust/root.json': Is a directory" in str(following.refused())
