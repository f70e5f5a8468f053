# SPDX-License-Identifier: Apache-2.0
"""From denials to rules: what is let through, and what is not."""

from __future__ import annotations

import pytest
from selinux_lines import OWN, POD, line

from zaffre.selinux import Suggestion, denials_in, module_text, suggest


def suggested(*lines: str, domain: str | None = None) -> Suggestion:
    read = denials_in(lines)
    return suggest(read.denials, read.unread, domain=domain)


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
        line("write", who=POD, whom="container_runtime_t", kind="sock_file"),
        line("write", who=POD, whom="container_var_lib_t"),
        line("read", who=POD, whom="container_config_t"),
        line("write", who=POD, whom="container_unit_t"),
        line("read", who=POD, whom="container_log_t"),
        line("read", who=POD, whom="container_device_t", kind="chr_file"),
        line("read", who=POD, whom="svirt_image_t"),
        line("start", who=POD, whom="container_unit_t", kind="service"),
        line("start", who=POD, whom=POD, kind="system"),
        line("module_request", who=POD, whom="kernel_t", kind="system"),
        line("connectto", who=POD, whom="container_engine_t", kind="unix_stream_socket"),
        line("transition", who=POD, whom="container_engine_t", kind="process"),
        line("signal", who=POD, whom="container_kvm_t:s0:c1,c2", kind="process"),
        line("mount", who=POD, whom="fs_t", kind="filesystem"),
        line("mount", who=POD, whom="container_file_t:s0:c1,c2", kind="filesystem"),
        line("prog_load", who=POD, whom=POD, kind="bpf"),
        line("open", who=POD, whom=POD, kind="perf_event"),
        line("start", whom="init_t", kind="system"),
        line("enable", whom="init_t", kind="system"),
        line("reload", whom="init_t", kind="system"),
        line("connectto", whom="dockerd_t", kind="unix_stream_socket"),
        line("connectto", whom="container_engine_t", kind="unix_stream_socket"),
        line("read", whom="proc_kcore_t"),
        line("write", who=POD, whom="container_ro_file_t"),
        line("add_name", who=POD, whom="container_ro_file_t", kind="dir"),
        line("read", who=POD, whom="container_var_lib_t"),
        line("read", who=POD, whom="kubernetes_config_t"),
        line("write", who=POD, whom="kubernetes_plugin_t"),
        line(who="unlabeled_t"),
        line(who="default_t"),
        line("net_admin", who="file_t", whom="file_t", kind="capability"),
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
        line("write", who=POD, whom="kernel_t", kind="key"),
        line("override_creds", who=POD, whom=POD, kind="io_uring"),
        line("create", who=POD, whom=POD, kind="user_namespace"),
        line("getattr", who=POD, whom="fs_t", kind="filesystem"),
        line("associate", who=POD, whom="my_agent_t", kind="sem"),
        line("sys_admin", who="container_engine_t", whom="container_engine_t", kind="capability"),
        line("write", whom="container_runtime_t", kind="sock_file"),
        line("reboot", whom="init_t", kind="system"),
        line("write", whom="sysctl_kernel_t"),
        line("write", whom="lvm_control_t", kind="chr_file"),
        line("write", whom="etc_t"),
        line("relabelto", whom="etc_t"),
        line("write", whom="ssh_home_t"),
        line("write", whom="init_exec_t"),
        line("write", whom="zaffre_agent_exec_t"),
        line("create", whom="kubernetes_unit_t"),
        line("write", whom="systemd_transient_unit_t"),
        line("add_name", whom="systemd_socket_proxyd_unit_file_t", kind="dir"),
        line("create", whom="init_runtime_t"),
        line("write", whom="ld_so_cache_t"),
        line("write", whom="container_config_t"),
        line("write", whom="container_ro_file_t"),
        line("write", whom="container_var_lib_t"),
        line("add_name", whom="kubernetes_config_t", kind="dir"),
        line("write", whom="kubernetes_plugin_t"),
        line("read", whom="sshd_key_t"),
        line("open", whom="tls_privkey_t"),
        line("read", whom="ssh_home_t"),
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
        line(who=POD, whom="container_ro_file_t"),
        line("write", who=POD, whom="container_tmpfs_t:s0:c1,c2"),
        line("write", who=POD, whom="container_devpts_t:s0:c1,c2", kind="chr_file"),
        line("associate", who=POD, whom=POD, kind="sem"),
        line("fork", who=POD, whom=POD, kind="process"),
        line("write", who="container_engine_t", whom="container_var_lib_t"),
        line("write", who="kubelet_t", whom="container_var_lib_t"),
        line("start", whom="systemd_unit_t", kind="service"),
        line("execute", whom="init_exec_t"),
        line("getattr", whom="sshd_key_t"),
        line("read", whom="container_var_lib_t"),
        line("status", whom="init_t", kind="system"),
        line("getattr", whom="sysctl_kernel_t"),
    ],
)
def test_what_is_as_good_as_any_is_a_rule_without_a_word(denied: str) -> None:
    found = suggested(denied)
    assert [rule.concern for rule in found.rules] == [None]
    assert found.complete


def test_who_lets_containers_into_the_network_is_told_where_that_is_decided() -> None:
    found = suggested(line("name_connect", who=POD, whom="http_port_t", kind="tcp_socket"))
    assert "networks of pods are policed by their own rules" in " ".join(module_text(found).split())


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
