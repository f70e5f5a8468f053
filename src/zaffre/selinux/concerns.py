# SPDX-License-Identifier: Apache-2.0
"""Which rights would undo what a policy is for. Pure.

A right is *refused* when it would open the host to a container, or is one by which a service gets all others: it is
not put into a module, whoever asks. It is to be *looked at* when a few services need it, and most that ask for it are
wrong. The names are those of the upstream's policy (refpolicy) and of the kernel's classes
(security/selinux/include/classmap.h).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

_FILES = frozenset({"file", "dir", "lnk_file", "chr_file", "blk_file", "sock_file", "fifo_file"})
_CAPABILITIES = frozenset({"capability", "capability2", "cap_userns", "cap2_userns"})
_PROCESSES = frozenset({"process", "process2"})
_WRITES = frozenset(
    {
        "add_name",
        "append",
        "create",
        "link",
        "relabelfrom",
        "relabelto",
        "remove_name",
        "rename",
        "reparent",
        "rmdir",
        "setattr",
        "unlink",
        "write",
    }
)

_PASSWORDS = frozenset({"passwd_secrets_t", "shadow_history_t", "shadow_lock_t", "shadow_t"})
_POLICY = frozenset({"default_context_t", "file_context_t", "policy_config_t", "policy_src_t", "selinux_config_t"})
_BOOT = frozenset({"boot_t", "efivarfs_t", "modules_object_t", "modules_dep_t"})
_RAW = frozenset({"fixed_disk_device_t", "memory_device_t", "proc_kcore_t", "scsi_generic_device_t"})
_PROGRAMS = frozenset({"bin_t", "init_runtime_t", "ld_so_cache_t", "ld_so_t", "lib_t", "textrel_shlib_t", "usr_t"})
_NAMED_PROGRAMS = ("_exec_t", "_unit_file_t", "_unit_t")
"""How types of programs and units end; init_runtime_t has those units that are made in /run."""
_NO_LABEL = frozenset({"default_t", "file_t", "unlabeled_t"})
_EVERYBODY = frozenset({"init_t", "initrc_t", "kernel_t"})
_UNCONFINED = frozenset({"spc_t", "unconfined_t", "unconfined_service_t"})
_SETTINGS = frozenset({"etc_t", "ssh_home_t"})
_KEYS = frozenset({"ntpd_key_t", "ssh_home_t", "sshd_key_t", "sshd_keytab_t", "tls_privkey_t"})
_OF_NODE = frozenset(
    {
        "container_config_t",
        "container_ro_file_t",
        "container_var_lib_t",
        "kubernetes_config_t",
        "kubernetes_plugin_t",
    }
)
"""What containerd and the kubelet go by, or start: manifests of pods, plugins, layers of images."""
_OF_KERNEL = frozenset(
    {
        "lvm_control_t",
        "sysctl_fs_t",
        "sysctl_hotplug_t",
        "sysctl_kernel_t",
        "sysctl_modprobe_t",
        "sysctl_t",
        "sysctl_vm_t",
    }
)
_ENGINES = frozenset({"container_engine_t", "container_runtime_t", "dockerd_t", "dockerd_user_t"})
"""What makes containers; the second is a domain in the policy of RPM's distributions only (container-selinux)."""

_KUBELETS = frozenset({"kubeadm_t", "kubelet_t"})

_KERNEL = frozenset({"mac_admin", "mac_override", "sys_module", "sys_rawio"})
_CONTAINERS_NEVER = _KERNEL | {
    "audit_control",
    "bpf",
    "dac_read_search",
    "mknod",
    "perfmon",
    "sys_admin",
    "sys_boot",
    "sys_ptrace",
    "sys_time",
    "syslog",
}
_SERVICES_RARELY = frozenset(
    {"bpf", "dac_override", "dac_read_search", "perfmon", "sys_admin", "sys_boot", "sys_ptrace"}
)
_CHANGES_POLICY = frozenset({"load_policy", "setbool", "setcheckreqprot", "setenforce", "setsecparam"})
_MEMORY = frozenset({"execheap", "execmem", "execmod", "execstack"})
_COMMANDS_SYSTEM = frozenset({"enable", "reload", "start"})
_STOPS_SYSTEM = frozenset({"disable", "halt", "reboot", "stop"})
_BECOMES = frozenset({"dyntransition", "nnp_transition", "nosuid_transition", "setcurrent", "setexec", "transition"})

_CONTAINERS_FILES = frozenset({"container_devpts_t", "container_file_t", "container_ro_file_t", "container_tmpfs_t"})
"""What is a container's by its type. Others of that name are the host's: container_var_lib_t is all that containerd
and the kubelet keep, container_runtime_t has the sockets, container_config_t is containerd's configuration.
"""
_CONTAINERS_KINDS = _FILES | _PROCESSES | _CAPABILITIES | {"fd", "ipc", "msg", "msgq", "sem", "shm"}
_OF_HOST_ALONE = frozenset({"bpf", "filesystem", "perf_event", "service", "system"})
_SOCKETS = frozenset({"dbus", "fd", "fifo_file", "unix_dgram_socket", "unix_stream_socket"})


class Weight(StrEnum):
    """What becomes of a right that there is a concern about."""

    REFUSED = "refused"
    LOOK = "look"


@dataclass(frozen=True)
class Concern:
    """Why a right is not given, or is to be looked at; `instead`, what else may be done."""

    weight: Weight
    why: str
    instead: str


@dataclass(frozen=True)
class Wanted:
    """One permission. `beyond`: the target is in categories that the source is not in."""

    source: str
    target: str
    kind: str
    permission: str
    beyond: bool = False

    @property
    def by_container(self) -> bool:
        return is_container(self.source)

    @property
    def by_container_beyond_itself(self) -> bool:
        return self.by_container and self.target != self.source and self.target not in _CONTAINERS_FILES

    @property
    def to_a_program(self) -> bool:
        return self.target in _BOOT | _PROGRAMS or self.target.endswith(_NAMED_PROGRAMS)

    @property
    def writes(self) -> bool:
        return self.kind in _FILES and self.permission in _WRITES

    def one_of(self, kinds: Collection[str], permissions: Collection[str]) -> bool:
        return self.kind in kinds and self.permission in permissions


def is_container(kind: str) -> bool:
    """Whether processes of containers run as this: the domains of refpolicy's module `container`, and their like. Of a
    target it tells nothing, since many files of the host are called so.
    """
    named_so = (kind.startswith("container_") and kind.endswith("_t")) or kind.startswith("svirt_")
    return named_so and kind not in _ENGINES


def concern_of(wanted: Wanted) -> Concern | None:
    """The first that there is, the heaviest ones before; None for a right that is as good as any."""
    return next((concern for applies, concern in _CONCERNS if applies(wanted)), None)


def _concerns() -> Iterator[tuple[Callable[[Wanted], bool], Concern]]:
    def refused(applies: Callable[[Wanted], bool], why: str, instead: str) -> tuple[Callable[[Wanted], bool], Concern]:
        return applies, Concern(Weight.REFUSED, why, instead)

    def look(applies: Callable[[Wanted], bool], why: str, instead: str) -> tuple[Callable[[Wanted], bool], Concern]:
        return applies, Concern(Weight.LOOK, why, instead)

    yield refused(
        lambda it: it.by_container and it.beyond,
        "it is another container's: the categories refuse it, and no rule of types changes that",
        "mount the volume into one pod, or give both pods the same level (seLinuxOptions)",
    )
    yield refused(
        lambda it: it.by_container and it.kind in _CAPABILITIES and it.permission in _CONTAINERS_NEVER,
        "with this capability, all containers of this domain can get out",
        "do in a service of the host what needs it",
    )
    yield refused(
        lambda it: it.by_container_beyond_itself and it.kind in _FILES,
        "it is the host's: all containers of this domain would get it",
        "give the container a volume of its own, which gets the type container_file_t",
    )
    yield refused(
        lambda it: it.by_container and it.target == "container_ro_file_t" and it.writes,
        "layers of images have it: what is written there, all containers of that image run",
        "give the container a volume of its own, which gets the type container_file_t",
    )
    yield refused(
        lambda it: it.by_container and it.kind in _OF_HOST_ALONE and it.permission != "getattr",
        "it is the kernel's, or the system manager's: all containers of this domain would get at the host by it",
        "do in a service of the host what needs it",
    )
    yield refused(
        lambda it: it.by_container_beyond_itself and it.kind in _PROCESSES | _SOCKETS,
        "it is a process of the host, or of other containers: all containers of this domain would reach it",
        "let them talk over the network, or run a service on the host",
    )
    yield refused(
        lambda it: it.target in _NO_LABEL,
        "this is what has no label: a rule opens all such files, whatever they are",
        'give it a label: (filecon "/path(/.*)?" any (system_u object_r TYPE ((s0) (s0))))',
    )
    yield refused(
        lambda it: it.source in _NO_LABEL,
        "this is what has no label, or lost it: a rule is for whatever has none",
        "find out why the process has no domain: its label may be one that this policy does not have",
    )
    yield refused(
        lambda it: it.target in _PASSWORDS,
        "it has the passwords of users",
        "ask a service that may read them, or keep the service's secrets as credentials (LoadCredential=)",
    )
    yield refused(
        lambda it: it.one_of({"security"}, _CHANGES_POLICY) or (it.target in _POLICY and it.writes),
        "who may change the policy may do everything",
        "the policy is made with the image",
    )
    yield refused(
        lambda it: it.one_of(_CAPABILITIES, _KERNEL) or it.one_of({"system"}, {"module_load"}),
        "it changes the kernel, which decides what everybody may do",
        "load modules at boot: `load` in [kernel]",
    )
    yield refused(
        lambda it: it.target in _RAW and it.kind in _FILES and it.permission not in {"getattr", "ioctl"},
        "it is the disk or the memory itself, below all labels",
        "give the service a domain of its own and say in a file of yours why, as zaffre_grow_t does",
    )
    yield refused(
        lambda it: it.target in _UNCONFINED and it.one_of(_PROCESSES, _BECOMES),
        "it would become a domain to which nothing is refused",
        "give what is started a domain of its own",
    )
    yield refused(
        lambda it: it.one_of({"system"}, _COMMANDS_SYSTEM),
        "it gives the system manager commands of its own (systemd-run), in whatever domain",
        "start units that are there: start of service",
    )
    yield refused(
        lambda it: it.target in _ENGINES and it.one_of({"unix_stream_socket"}, {"connectto"}),
        "who talks to it can start a container to which nothing is refused",
        "make what it starts a unit, or a pod that the kubelet knows (manifests)",
    )
    yield look(
        lambda it: it.target == "container_runtime_t" and it.one_of({"sock_file"}, {"write"}),
        "it is a socket of what makes containers, and who talks to that may do everything",
        "make what it starts a unit, or a pod that the kubelet knows (manifests)",
    )
    yield look(
        lambda it: it.one_of({"system"}, _STOPS_SYSTEM),
        "it stops the machine, or what runs on it",
        "few services need that, beside an agent that restarts into another version",
    )
    yield look(
        lambda it: it.writes and it.target in _OF_KERNEL,
        "the kernel goes by it, for everybody: core_pattern names a program, and the device mapper makes disks",
        "set it in the image: [sysctl]",
    )
    yield look(
        lambda it: it.writes and it.target in _SETTINGS,
        "other services, and who may log in, go by what is written there",
        "let it write below /var/lib, to a type of its own",
    )
    yield look(
        lambda it: it.writes and it.to_a_program,
        "it writes programs, units, or what is booted",
        "let it write below /var/lib, to a type of its own",
    )
    yield look(
        lambda it: it.writes and it.target in _OF_NODE and it.source not in _ENGINES | _KUBELETS,
        "containerd and the kubelet go by it, or start it: who writes there can have a container made that may do all",
        "let it write below /var/lib, to a type of its own",
    )
    yield look(
        lambda it: it.one_of({"file"}, {"map", "open", "read"}) and it.target in _KEYS,
        "it has private keys",
        "give the service a key of its own, as a credential (LoadCredential=)",
    )
    yield look(
        lambda it: it.one_of(_CAPABILITIES, _SERVICES_RARELY),
        "this capability stands for many rights",
        "find what needs it: often a file that has the wrong owner or mode",
    )
    yield look(
        lambda it: it.one_of({"process", "file"}, _MEMORY),
        "it executes memory that it can write",
        "few programs need that, beside compilers in the program itself",
    )
    yield look(
        lambda it: it.one_of({"process"}, {"ptrace"}) or it.one_of(_PROCESSES, _BECOMES),
        "it takes over a process, or becomes another domain",
        "make sure that the domain may do no more than this one",
    )
    yield look(
        lambda it: it.by_container and it.kind.endswith("_socket") and it.target != it.source,
        "all containers of this domain would get it",
        "most networks of pods are policed by their own rules, and not here",
    )
    yield look(
        lambda it: it.by_container and it.kind not in _CONTAINERS_KINDS and not it.kind.endswith("_socket"),
        "all containers of this domain would get it, and it is nothing that most containers have",
        "do without, or do in a service of the host what needs it",
    )
    yield look(
        lambda it: it.by_container_beyond_itself,
        "all containers of this domain would get it, and it is not their own",
        "do without, or do in a service of the host what needs it",
    )
    yield look(
        lambda it: it.by_container and it.kind in _CAPABILITIES,
        "all containers of this domain would get it",
        "make sure that it reaches nothing but what is the container's own",
    )
    yield look(
        lambda it: it.source in _EVERYBODY,
        "this is the domain of everything that has none of its own",
        "give the service a domain of its own",
    )


_CONCERNS = tuple(_concerns())
