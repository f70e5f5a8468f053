# SPDX-License-Identifier: Apache-2.0
"""From denials to rules: how they are read, what is let through, and what is not."""

from __future__ import annotations

import pytest

from zaffre.selinux import Context, Suggestion, denials_in, module_text, read_denial, suggest

OWN = "my_agent_t"
POD = "container_t:s0:c1,c2"


def line(
    what: str = "read", *, who: str = OWN, whom: str = "etc_t", kind: str = "file", names: str = 'name="a"'
) -> str:
    source, target = (one if ":" in one else f"{one}:s0" for one in (who, whom))
    return (
        f'12:00:00 host kernel: audit: type=1400 audit(1.2:18): avc:  denied  {{ {what} }} for  pid=1 comm="agent" '
        f'{names} dev="dm-0" ino=9 scontext=system_u:system_r:{source} tcontext=system_u:object_r:{target} '
        f"tclass={kind} permissive=1"
    )


def suggested(*lines: str, domain: str | None = None) -> Suggestion:
    read = denials_in(lines)
    return suggest(read.denials, read.unread, domain=domain)


def test_a_denial_is_read_whatever_stands_around_it() -> None:
    denial = read_denial(line("read open", whom="etc_t:s0-s0:c1,c3.c5"))
    assert denial is not None
    assert (denial.source, denial.target) == (Context(OWN), Context("etc_t", frozenset({1, 3, 4, 5})))
    assert (denial.kind, denial.permissions, denial.program, denial.name) == ("file", ("read", "open"), "agent", "a")


def test_a_denial_of_a_service_that_asks_for_itself_is_read() -> None:
    denial = read_denial(
        "type=USER_AVC msg=audit(1.2:3): pid=1 uid=0 msg='avc:  denied  { status } for auid=n/a uid=0 gid=0 "
        'path="/usr/lib/systemd/system/a.service" cmdline="" scontext=system_u:system_r:my_agent_t:s0 '
        'tcontext=system_u:object_r:systemd_unit_t:s0 tclass=service permissive=0 exe="/usr/lib/systemd/systemd"\''
    )
    assert denial is not None
    assert str(denial) == "my_agent_t: status of /usr/lib/systemd/system/a.service (systemd_unit_t), service"


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ("path=2F746D702F6120620A", "/tmp/a b?"),
        ('path="/a b"', "/a b"),
        ('name="scontext=u:r:shadow_t:s0 tcontext=u:r:shadow_t:s0"', "scontext=u:r:shadow_t:s0"),
        ('name="\x1b[31m"', "?[31m"),
    ],
)
def test_names_are_those_of_whoever_chose_them_and_are_shown_harmless(names: str, shown: str) -> None:
    denial = read_denial(line(names=names))
    assert denial is not None
    assert denial.target == Context("etc_t")
    assert denial.name.startswith(shown)


def test_lines_of_other_things_are_passed_over_and_denials_of_another_form_are_not() -> None:
    read = denials_in(
        ["systemd: started", line(), "avc: denied something of a new kind", line(kind="f) (allow a b (c")]
    )
    assert len(read.denials) == 1
    assert len(read.unread) == 2
    assert not suggest(read.denials, read.unread).complete


def test_permissions_of_the_same_kind_become_one_rule_with_all_that_asked_for_it() -> None:
    found = suggested(line("read"), line("open"), line("read"), line("getattr", kind="dir"))
    assert [rule.text for rule in found.rules] == [
        "(allow my_agent_t etc_t (dir (getattr)))",
        "(allow my_agent_t etc_t (file (open read)))",
    ]
    assert found.rules[1].denials == (("agent: open of a (etc_t), file", 1), ("agent: read of a (etc_t), file", 2))
    assert found.complete


def test_one_domain_alone() -> None:
    found = suggested(line(), line(who="other_t"), domain="other_t")
    assert [rule.source for rule in found.rules] == ["other_t"]


@pytest.mark.parametrize(
    "denied",
    [
        line(who=POD, whom="etc_t"),
        line(who=POD, whom="shadow_t"),
        line("connectto", who=POD, whom="dockerd_t", kind="unix_stream_socket"),
        line("sys_admin", who=POD, whom=POD, kind="capability"),
        line("mknod", who=POD, whom=POD, kind="capability"),
        line("ptrace", who=POD, whom="init_t", kind="process"),
        line(who=POD, whom="container_file_t:s0:c3,c4"),
        line("read", whom="shadow_t"),
        line("write", whom="shadow_t"),
        line("write", whom="fixed_disk_device_t", kind="blk_file"),
        line("write", whom="memory_device_t", kind="chr_file"),
        line("write", whom="policy_config_t"),
        line("load_policy", whom="security_t", kind="security"),
        line("module_load", whom="lib_t", kind="system"),
        line("sys_module", whom=OWN, kind="capability"),
        line("mac_admin", whom=OWN, kind="capability2"),
        line("transition", whom="spc_t", kind="process"),
        line("read", whom="unlabeled_t"),
    ],
)
def test_what_would_undo_the_policy_is_in_no_rule(denied: str) -> None:
    found = suggested(denied)
    assert (found.rules, len(found.refused), found.complete) == ((), 1, False)
    live = [one for one in module_text(found).splitlines() if one and not one.startswith(";")]
    assert live == []
    assert found.refused[0].text in module_text(found)


@pytest.mark.parametrize(
    "denied",
    [
        line("sys_admin", whom=OWN, kind="capability"),
        line("dac_read_search", whom=OWN, kind="capability"),
        line("execmem", whom=OWN, kind="process"),
        line("write", whom="bin_t"),
        line("create", whom="systemd_unit_t"),
        line("nnp_transition", whom="other_t", kind="process2"),
        line(who="initrc_t"),
        line("ipc_lock", who=POD, whom=POD, kind="capability"),
        line("name_connect", who=POD, whom="http_port_t", kind="tcp_socket"),
    ],
)
def test_what_few_services_need_is_to_be_looked_at(denied: str) -> None:
    found = suggested(denied)
    assert found.refused == ()
    assert found.rules[0].concern is not None
    assert "; look: " in module_text(found)


@pytest.mark.parametrize(
    "denied",
    [
        line(),
        line("write", whom="my_agent_data_t"),
        line("net_admin", whom=OWN, kind="capability"),
        line(who=POD, whom="container_file_t:s0:c1,c2"),
        line("connectto", who=POD, whom=POD, kind="unix_stream_socket"),
    ],
)
def test_what_is_as_good_as_any_is_a_rule_without_a_word(denied: str) -> None:
    found = suggested(denied)
    assert [rule.concern for rule in found.rules] == [None]
    assert found.complete


def test_of_a_denial_only_what_may_be_allowed_is() -> None:
    found = suggested(line("net_admin sys_module", whom=OWN, kind="capability"))
    assert [rule.text for rule in found.rules] == ["(allow my_agent_t self (capability (net_admin)))"]
    assert [rule.permissions for rule in found.refused] == [("sys_module",)]


def test_a_comment_cannot_become_a_rule() -> None:
    name = b"x\n(allow my_agent_t shadow_t (file (read)))".hex().upper()
    text = module_text(suggested(line(names=f"name={name}")))
    assert [one for one in text.splitlines() if one and not one.startswith(";")] == [
        "(allow my_agent_t etc_t (file (read)))"
    ]
