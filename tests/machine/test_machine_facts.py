# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_facts import EXPECTED, facts, sound

from zaffre.machine.facts import (
    MISSING,
    Facts,
    addresses,
    blocks,
    listeners,
    memory_bytes,
    mount_points,
    settings_path,
)
from zaffre.machine.judge import judge
from zaffre.machine.measure import Outside, boot_times


def test_a_guest_cannot_break_the_reader() -> None:
    found = Facts()
    for message in (
        {},
        {"fact": "a", "boot": 1, "status": 0},
        {"fact": "a", "boot": "1", "status": 0, "data": ""},
        {"fact": "a", "boot": 1, "status": 0, "data": "not base64!"},
        {"fact": ["a"], "boot": 1, "status": 0, "data": ""},
    ):
        found.add(message)
    assert found.get("a") is MISSING
    assert found.last() is None


@given(data=st.binary(max_size=200), name=st.sampled_from(sorted({name for _, name in sound()})))
def test_whatever_a_guest_reports_is_judged(data: bytes, name: str) -> None:
    reports = sound()
    reports[1, name] = (0, data)
    assert judge(facts(reports), EXPECTED)


def test_settings_paths_follow_the_first_separator() -> None:
    assert settings_path("net.ipv4.ip_forward") == "net/ipv4/ip_forward"
    assert settings_path("net.ipv4.conf.eth0/1.rp_filter") == "net/ipv4/conf/eth0.1/rp_filter"
    assert settings_path("net/ipv4/conf/eth0.1/rp_filter") == "net/ipv4/conf/eth0.1/rp_filter"


def test_listeners_read_the_kernel_s_byte_order() -> None:
    table = (
        "header\n"
        "  0: 0100007F:0016 00000000:0000 0A 0:0 0:0 0 0 0 1\n"
        "  1: B80D01200000000000000000 short:0 0A\n"
        "  2: 0F02000A:9999 00000000:0000 01 0:0 0:0 0 0 0 1\n"
    )
    found = list(listeners("tcp", table))
    assert [(str(one), one.user) for one in found] == [("tcp 127.0.0.1:22", 0)]
    six = "header\n  0: B80D0120000000000000000001000000:0050 0:0 0A 0:0 0:0 0 7 0 1\n"
    (door,) = listeners("tcp6", six)
    assert str(door) == "tcp [2001:db8::1]:80"
    assert door.user == 7


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"Interfaces": [{"Addresses": [{}]}]}', "{" * 9])
def test_no_addresses_from_what_is_no_report_of_them(text: str) -> None:
    assert addresses(text) == []


def test_addresses_of_both_kinds() -> None:
    text = sound()[1, "network.links"][1].decode()
    assert [str(address) for address in addresses(text)] == ["10.0.2.15/24", "fe80::1/64", "fd5a::1/64"]
    assert isinstance(addresses(text)[0], ipaddress.IPv4Interface)


def test_mounts_memory_and_blocks() -> None:
    (mount,) = mount_points("61 1 254:0 / / ro,relatime shared:1 - erofs /dev/mapper/root rw,acl\nnonsense\n")
    assert (mount.target, mount.type, "ro" in mount.options, "acl" in mount.options) == ("/", "erofs", True, True)
    assert memory_bytes("MemTotal: 2 kB\nHugePages_Total: 3\nbad\n") == {"MemTotal": 2048, "HugePages_Total": 3}
    assert blocks("Id=a\nX=1\n\nX=2\n\nId=b\nX=3") == {"a": {"Id": "a", "X": "1"}, "b": {"Id": "b", "X": "3"}}


def test_boot_times_by_stage() -> None:
    times = boot_times(facts(sound()), 1, Outside(began=100.0, loader=103.5, kernel=110.0))
    assert (times.firmware, times.loader) == (3.5, 6.5)
    assert (times.kernel, times.initrd, times.userspace) == (2.0, 3.0, 10.5)
    assert (times.containerd, times.multi_user, times.since_kernel) == (14.0, 15.0, 15.0)


def test_boot_times_of_a_silent_guest_are_unknown() -> None:
    times = boot_times(Facts(), 1, Outside(began=1.0))
    assert set(times.model_dump().values()) == {None}
    assert times.since_kernel == 0.0
