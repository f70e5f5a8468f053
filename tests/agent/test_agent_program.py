# SPDX-License-Identifier: Apache-2.0
"""The program: its settings, its words, its exit codes, and what it says of a node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.nodes import Seat
from support.releases import Yard
from zaffre.agent.commands import Done, run
from zaffre.agent.health import fell_back, health_of
from zaffre.agent.host import Machine
from zaffre.agent.program import main
from zaffre.agent.settings import read_settings
from zaffre.agent.sysupdate import Slots
from zaffre.errors import DefinitionError, ToolError


def lay(seat: Seat, **settings: object) -> list[str]:
    """The options with which the program works on that node."""
    values = {"place": str(seat.yard.repo), "channel": "dev", **settings}
    path = seat.yard.root / "agent.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    trusted = seat.yard.root / "root.json"
    trusted.write_bytes(seat.yard.first)
    places = {"--root": seat.yard.root, "--settings": path, "--state": seat.home.folder, "--trusted": trusted}
    return [word for pair in places.items() for word in map(str, pair)]


def test_order_update_status(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    seat = Seat.at(yard, "1.1")
    options = lay(seat)
    assert main([*options, "check"], host=seat.slots, overlay=seat.layers) == 0
    assert capsys.readouterr().out.startswith("wait: the turn of this node")
    assert main([*options, "order", "1.2"], host=seat.slots, overlay=seat.layers) == 0
    assert main([*options, "update", "--dry-run"], host=seat.slots, overlay=seat.layers) == 0
    assert not seat.slots.written
    assert main([*options, "update"], host=seat.slots, overlay=seat.layers) == 0
    capsys.readouterr()
    assert main([*options, "status", "--json"], host=seat.slots, overlay=seat.layers) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["running"], said["staged"], said["previous"]) == ("1.1", "1.2", [])
    assert said["next"]["act"] == "restart"
    assert said["last"]["reason"] == "somebody ordered 1.2 for this node"
    assert set(said["good_until"]) == {"root", "timestamp", "snapshot", "targets", "dev"}
    assert said["expired"] == []
    assert said["free_bytes"] > 0
    assert main([*options, "status"], host=seat.slots, overlay=seat.layers) == 0
    assert "staged" in capsys.readouterr().out
    assert main([*options, "order", "none"], host=seat.slots, overlay=seat.layers) == 0
    assert seat.home.order is None


def test_a_problem_is_told_and_remembered(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    seat = Seat.at(yard, "1.1")
    options = lay(seat, channel="other")
    assert main([*options, "run"], host=seat.slots, overlay=seat.layers) == 3
    told = capsys.readouterr().err
    assert "there is no channel other" in told
    assert "next:" in told
    assert main([*options, "status"], host=seat.slots, overlay=seat.layers) == 0
    assert "there is no channel other" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("place = 1\nchannel = 'dev'", "place"),
        ("place = 'http://x.example'\nchannel = 'dev'\nspeed = 1", "speed"),
        ("place = 'http://x.example'\nchannel = 'dev'\nwindow = '25:00-26:00'", "window"),
        ("place = 'http://x.example'\nchannel = 'dev'\nrate = 5", "rate"),
        ("place = 'http://user:word@x.example'\nchannel = 'dev'", "place"),
        ("place = 'ftp://x.example'\nchannel = 'dev'", "place"),
        ("place = 'http://x.example'\nchannel = '../dev'", "cannot be a channel"),
        ("place = ", "not TOML"),
        ("", "place"),
    ],
)
def test_settings_that_are_wrong_say_where(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(DefinitionError) as told:
        read_settings([tmp_path / "none.toml", path])
    assert words in f"{told.value} {told.value.details}"
    assert str(path) in str(told.value)


def test_no_settings_and_no_root_of_trust_are_told(
    yard: Yard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DefinitionError, match="follows nothing"):
        read_settings([tmp_path / "none.toml"])
    seat = Seat.at(yard, "1.1")
    options = lay(seat)
    Path(options[-1]).unlink()
    assert main([*options, "check", "--json"], host=seat.slots, overlay=seat.layers) == 2
    assert "no root of trust" in json.loads(capsys.readouterr().out)["error"]


def test_a_host_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(
        '# us\nID=acme\nIMAGE_ID=acme-container-host\nIMAGE_VERSION="1.20261126.1"\n'
    )
    with pytest.raises(DefinitionError, match="machine id"):
        Machine(tmp_path).identity()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    found = Machine(tmp_path).identity()
    assert found.version == "1.20261126.1"
    assert found.product.startswith("container-host-")
    assert "0123456789abcdef" not in found.node
    entries = tmp_path / "boot/EFI/Linux"
    entries.mkdir(parents=True)
    others = {"acme-container-host_1.2.efi", "other_1.20261126.1.efi", "acme-container-host_1.20261126.10+3.efi"}
    name = "acme-container-host_1.20261126.1"
    for one in {*others, f"{name}.efi", f"{name}+3.efi", f"{name}+2-1.efi"}:
        (entries / one).touch()
    Machine(tmp_path).forget("1.20261126.1")
    assert {path.name for path in entries.iterdir()} == others


@pytest.mark.parametrize(
    ("told", "code", "entry", "verdict", "blessed"),
    [
        ("good", 0, "2.efi", None, True),
        ("clean", 0, "2.efi", None, True),
        ("indeterminate", 0, "2+2-1.efi", None, False),
        ("", 1, "2+3.efi", None, True),  # it has its tries again, which systemd-bless-boot takes for no state
        ("", 1, "2+0-3.efi", None, False),
        ("", 1, "3+3.efi", None, False),
        ("", 1, "2+3.efi", False, False),
        ("good", 0, "2.efi", False, False),
    ],
)
def test_a_boot_is_blessed(  # noqa: PLR0917 - a table
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: str,
    code: int,
    entry: str,
    verdict: bool | None,  # noqa: FBT001 - as above
    blessed: bool,  # noqa: FBT001
) -> None:
    for path, text in {
        "etc/os-release": "ID=acme\nIMAGE_ID=acme-host\nIMAGE_VERSION=2\n",
        "etc/machine-id": f"{'0' * 32}\n",
        "proc/sys/kernel/random/boot_id": "a-b\n",
        f"boot/EFI/Linux/acme-host_{entry}": "",
        **({"var/lib/zaffre/health/2.json": '{"healthy": false, "boot": "ab"}'} if verdict is False else {}),
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr("zaffre.agent.host.run", lambda *_, **__: Done(("bless",), code, told, ""))
    assert Machine(tmp_path).blessed() is blessed


def test_health_is_read_leniently(tmp_path: Path) -> None:
    assert health_of("1.1", tmp_path).verdict == "unknown"
    assert fell_back(tmp_path) == frozenset()
    checks = [{"name": "network", "status": 124}, {"name": "root", "status": 0}, 5]
    (tmp_path / "1.1.json").write_text(json.dumps({"healthy": False, "boot": "A-b", "checks": checks}))
    found = health_of("1.1", tmp_path)
    assert (found.verdict, found.boot, found.failed) == ("failed", "ab", ("network",))
    (tmp_path / "1.2.json").write_text("[1]")
    assert health_of("1.2", tmp_path).verdict == "unknown"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/1.3").touch()
    assert fell_back(tmp_path) == {"1.3"}


def test_programs_that_are_missing_or_too_slow_have_failed(tmp_path: Path) -> None:
    assert run("/nothing/here", seconds=1).code == 127
    assert run("sleep", "5", seconds=0.1).code == 124
    with pytest.raises(ToolError, match="does not say"):
        Slots((str(tmp_path / "none"),)).versions()


KILLED = """
import os, sys
from zaffre.agent import files
left = int(sys.argv[1])
real = os.fsync
def fsync(descriptor):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    real(descriptor)
os.fsync = fsync
from zaffre.agent.program import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_process_that_is_killed_at_any_sync_leaves_what_the_next_goes_on_from(yard: Yard) -> None:
    """A real process that ends without a word, while it orders: the order is there or not, and is never half."""
    seat = Seat.at(yard, "1.1")
    options = lay(seat)
    codes = []
    for left in range(8):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(left), *options, "order", f"1.{left}"],
            check=False,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        codes.append(done.returncode)
        assert seat.home.order in {None, *(f"1.{one}" for one in range(left + 1))}
        if done.returncode == 0:
            break
    assert codes[0] == 9
    assert codes[-1] == 0
    assert seat.home.order == f"1.{len(codes) - 1}"
