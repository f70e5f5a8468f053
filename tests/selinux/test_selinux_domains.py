# SPDX-License-Identifier: Apache-2.0
"""Each service of ours on a host runs in its domain: by the table of labels and the policy, as they are compiled for
an image, and by libsepol's own answers. A lost label or transition makes no denial: what has no domain is initrc_t.
And what the page of SELinux says of domains that may do much.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.cli.making import signing_keys
from zaffre.definition import Distribution, Image
from zaffre.image.follow import follow_files
from zaffre.image.labelling import labels_of
from zaffre.image.policy import Policy, policy_of
from zaffre.image.state import state_files
from zaffre.image.steps import StepLog, Workshop
from zaffre.image.updates import update_files
from zaffre.progress import SILENT
from zaffre.sandbox import Mount, Sandbox

pytestmark = pytest.mark.tools

ASK = Path(__file__).with_name("selinux_ask.py")
PAGE = Path(__file__).parents[2] / "docs/explanation/selinux.md"
UNITS = "usr/lib/systemd/system"
LINKS = {"sh": "dash", "systemd-confext": "systemd-sysext", "modprobe": "kmod"}
"""Programs that are links, and to what."""
_EXEC = re.compile(r"^Exec[A-Za-z]+=([-+@!:]*)(\S+)", re.MULTILINE)
_CONTEXT = re.compile(r"^SELinuxContext=-?system_u:system_r:(\w+):s0$", re.MULTILINE)
_OURS = re.compile(r"^\(typeattributeset domain \((zaffre_\w+)\)\)$", re.MULTILINE)

OF_ALL = {
    "systemd-confext.service /usr/bin/systemd-sysext": "zaffre_sysext_t",
    "systemd-sysext.service /usr/bin/systemd-sysext": "zaffre_sysext_t",
    "zaffre-agent-fit@.service /usr/bin/true": "initrc_t",
    "zaffre-agent-merged@.service /usr/bin/systemd-sysext": "zaffre_sysext_t",
    "zaffre-agent-prove.service /usr/lib/zaffre-agent/zaffre-agent": "zaffre_agent_t",
    "zaffre-agent.service /usr/bin/mkdir": "initrc_t",
    "zaffre-agent.service /usr/lib/zaffre-agent/back": "zaffre_agent_t",
    "zaffre-agent.service /usr/lib/zaffre-agent/zaffre-agent": "zaffre_agent_t",
    "zaffre-follow.service /usr/bin/dash": "zaffre_agent_t",
    "zaffre-follow.service /usr/bin/mkdir": "initrc_t",
    "zaffre-grow-var.service /usr/bin/systemd-repart": "zaffre_grow_t",
    "zaffre-grow-var.service /usr/lib/systemd/systemd-growfs": "zaffre_grow_t",
    "zaffre-health.service /usr/bin/dash": "zaffre_health_t",
    "zaffre-trial.service /usr/bin/dash": "zaffre_health_t",
}
"""The domain of each program by the unit that starts it. What is `initrc_t` does nothing by itself."""
OF_AN_EDGE_DEVICE = {
    "zaffre-media-fit@.service /usr/bin/true": "initrc_t",
    "zaffre-media@.service /usr/lib/zaffre/take-configuration": "zaffre_media_t",
    "zaffre-softdog.service /usr/bin/kmod": "kmod_t",
}
DOMAINS = {"container-host": OF_ALL, "edge": {**OF_ALL, **OF_AN_EDGE_DEVICE}}
FROM_OUTSIDE = {"zaffre_check_t"}


@dataclass(frozen=True)
class Start:
    """A program that the system manager starts: what its unit says of the domain, if it does."""

    unit: str
    path: str
    said: str | None
    no_new_privileges: bool


def starts(units: Mapping[str, str]) -> Iterator[Start]:
    """What units start when the policy is loaded."""
    for unit, text in sorted(units.items()):
        if "\nConditionPathExists=/etc/initrd-release\n" in text:
            continue
        said = _CONTEXT.search(text)
        assert (said is None) == ("SELinuxContext" not in text), unit
        for prefix, program in dict.fromkeys(_EXEC.findall(text.replace("systemd-%i", "systemd-sysext"))):
            path = program if program.startswith("/") else f"/usr/bin/{LINKS.get(program, program)}"
            # With "+", nothing of what shuts a service in is for that program (systemd.service(5)).
            whole = "+" in prefix
            yield Start(
                unit, path, None if whole else said and said[1], not whole and "\nNoNewPrivileges=yes\n" in text
            )


def units_of(distribution: Distribution, image: Image) -> dict[str, str]:
    """Units of ours, and of others what we change in them, with the agent's."""
    update = image.update.model_copy(update={"place": "https://updates.example", "trusted": "zaffre.toml"})
    made = {
        **state_files(image).root,
        **update_files(image, "zaffre"),
        **follow_files(distribution, image.model_copy(update={"update": update})),
    }
    files = {path: text for path, text in made.items() if not text.startswith("->")}
    for tree in (*image.files.trees, *distribution.image("agent").files.trees):
        root = distribution.path(tree)
        paths = (path for path in root.joinpath(UNITS).rglob("*") if path.is_file() and not path.is_symlink())
        files |= {path.relative_to(root).as_posix(): path.read_text() for path in paths}
    units: dict[str, str] = {}
    for path, text in sorted(files.items()):
        unit = re.match(rf"{UNITS}/((?:zaffre-|systemd-(?:sys|conf)ext)[^/]*\.service)(?:$|\.d/)", path)
        if unit:
            units[unit[1]] = f"{units.get(unit[1], '')}\n{text}"
    return units


@dataclass(frozen=True)
class Compiled:
    """A policy as an image has it, in a folder, and the table of its labels."""

    distribution: Distribution
    image: Image
    binary: Path
    tables: tuple[Path, Path]
    sandbox: Sandbox

    def told(self, questions: list[list[object]]) -> tuple[list[list[str]], dict[str, dict[str, str]]]:
        """As selinux_ask.py tells it: what is refused of what is asked, and domains."""
        done = self.sandbox.run(
            ["python3", "/job/ask.py", "/job/policy"],
            mounts=[Mount(ASK, "/job/ask.py"), Mount(self.binary, "/job/policy")],
            stdin=json.dumps(questions).encode(),
            timeout=60,
        )
        answers = json.loads(done.stdout)
        return answers["refused"], answers["domains"]


@pytest.fixture(params=sorted(DOMAINS))
def compiled(lab: Lab, tools_sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Compiled]:
    with lab.workspace() as work:
        image = work.distribution.image(request.param)
        shop = Workshop(work.store, tools_sandbox, signing_keys(work.keys), SILENT, StepLog(), "amd64", 0)
        policy = policy_of(work.distribution, image, shop)
        assert isinstance(policy, Policy)
        binary = work.store.verified(policy.binary)
        yield Compiled(work.distribution, image, binary, policy.labels.files(shop), tools_sandbox)


def test_each_service_of_a_host_runs_in_its_domain(compiled: Compiled) -> None:
    all_starts = list(starts(units_of(compiled.distribution, compiled.image)))
    paths = {start.path for start in all_starts}
    labels = labels_of(((path, stat.S_IFREG) for path in sorted(paths)), compiled.tables, compiled.sandbox)
    domains = compiled.told([])[1]["init_t"]
    found: dict[str, str] = {}
    questions: list[list[object]] = []
    for start in all_starts:
        label = labels[start.path]
        domain = start.said or domains.get(label.split(":")[2], "init_t")
        found[f"{start.unit} {start.path}"] = domain
        manager, context = (f"system_u:system_r:{one}:s0" for one in ("init_t", domain))
        questions += [
            [manager, label, "file", ["execute", "read", "open", "getattr"]],
            [manager, context, "process", ["transition"]],
            [manager, context, "process2", ["nnp_transition"] if start.no_new_privileges else []],
            [context, label, "file", ["entrypoint", "execute", "read"]],
        ]
    assert found == DOMAINS[compiled.image.name]
    refused, _ = compiled.told(questions)
    assert [(*question[:3], no) for question, no in zip(questions, refused, strict=True) if no] == []


def test_each_domain_of_ours_is_entered_by_something(compiled: Compiled) -> None:
    texts = [compiled.distribution.path(name).read_text() for name in compiled.image.selinux.files]
    made = {domain for text in texts for domain in _OURS.findall(text)}
    assert made - FROM_OUTSIDE == {one for one in DOMAINS[compiled.image.name].values() if one.startswith("zaffre_")}


CAPABILITIES = frozenset(
    (
        *("audit_control", "audit_write", "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "ipc_lock"),
        *(
            "kill",
            "linux_immutable",
            "mknod",
            "net_admin",
            "net_bind_service",
            "net_raw",
            "setfcap",
            "setgid",
            "setpcap",
        ),
        *("setuid", "sys_admin", "sys_boot", "sys_chroot", "sys_module", "sys_nice", "sys_ptrace", "sys_rawio"),
        *("sys_resource", "sys_time"),
    )
)


def test_the_page_says_all_that_the_judge_of_a_boot_may_do(compiled: Compiled) -> None:
    bullet = re.search(r"^- \*\*`zaffre_health_t`.*?(?=^- |\n\n)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert bullet is not None
    judge = "system_u:system_r:zaffre_health_t:s0"
    may: list[tuple[str, list[object]]] = [
        ("device mapper", [judge, "system_u:object_r:lvm_control_t:s0", "chr_file", ["write"]]),
        ("`/var/lib/zaffre`", [judge, "system_u:object_r:zaffre_state_t:s0", "file", ["write"]]),
    ]
    if "container" in compiled.image.selinux.modules:
        engine = "system_u:system_r:dockerd_t:s0"
        may.append(("containerd", [judge, engine, "unix_stream_socket", ["connectto"]]))
    own: list[object] = [judge, judge, "capability", sorted(CAPABILITIES)]
    (capabilities, *others), _ = compiled.told([own, *(question for _, question in may)])
    assert {one for one in CAPABILITIES if f"`{one}`" in bullet[0]} == CAPABILITIES - set(capabilities)
    assert [word in bullet[0] for word, _ in may] == [refused == [] for refused in others]


def test_the_page_names_each_domain_that_may_give_the_system_manager_commands(compiled: Compiled) -> None:
    bullet = re.search(r"^- \*\*Whoever may give.*?(?=^- |\n\n)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert bullet is not None
    domains = sorted({*compiled.told([])[1]["init_t"].values(), "initrc_t", "zaffre_check_t"})
    manager = "system_u:system_r:init_t:s0"
    refused, _ = compiled.told([[f"system_u:system_r:{one}:s0", manager, "system", ["start"]] for one in domains])
    may = {one for one, no in zip(domains, refused, strict=True) if not no}
    assert may == {one for one in domains if f"`{one}`" in bullet[0]}


@pytest.mark.parametrize("compiled", ["container-host"], indirect=True)
def test_the_page_says_what_a_container_without_a_label_is(compiled: Compiled) -> None:
    kind = compiled.told([])[1]["dockerd_t"]["container_ro_file_t"]
    purpose = PAGE.read_text().partition("## What it is for\n")[2].partition("\n## ")[0]
    said = (
        f"What `ctr run`, or whoever else gives no label (`selinuxLabel`), starts is a privileged container (`{kind}`)"
    )
    assert said in " ".join(purpose.split())


CONTAINER = "system_u:system_r:container_t:s0:c11,c12"
CHANGES = ("append", "create", "link", "rename", "setattr", "unlink", "write")
CHANGES_FOLDERS = ("add_name", "remove_name", "write")
OF_THE_HOST = [
    *(
        (f"system_u:object_r:{kind}:s0", *asked)
        for kind in ("container_config_t", "container_log_t", "container_var_lib_t", "kubernetes_config_t")
        for asked in (("file", ("map", "open", "read", *CHANGES)), ("dir", ("read", *CHANGES_FOLDERS)))
    ),
    ("system_u:object_r:kubernetes_plugin_t:s0", "file", CHANGES),
    ("system_u:object_r:kubernetes_plugin_t:s0", "dir", CHANGES_FOLDERS),
    ("system_u:object_r:container_runtime_t:s0", "sock_file", ("open", "read", "write")),
    ("system_u:system_r:dockerd_t:s0", "unix_stream_socket", ("connectto",)),
    ("system_u:object_r:init_runtime_t:s0", "sock_file", ("write",)),
    ("system_u:object_r:container_ro_file_t:s0", "file", CHANGES),
    ("system_u:object_r:container_file_t:s0:c13,c14", "file", ("read", "write")),
    ("system_u:object_r:shadow_t:s0", "file", ("read",)),
]
OF_THE_CONTAINER = [
    ("system_u:object_r:container_file_t:s0:c11,c12", "file", ("execute", "map", "open", "read", *CHANGES)),
    ("system_u:object_r:container_file_t:s0:c11,c12", "dir", ("read", "search", *CHANGES_FOLDERS)),
    ("system_u:object_r:container_ro_file_t:s0", "file", ("execute", "map", "open", "read")),
    ("system_u:object_r:kubernetes_plugin_t:s0", "file", ("execute", "read")),
    ("system_u:object_r:container_var_lib_t:s0", "dir", ("getattr", "search")),
    ("system_u:system_r:dockerd_t:s0", "fifo_file", ("read", "write")),
    ("system_u:system_r:dockerd_t:s0", "fd", ("use",)),
]


@pytest.mark.parametrize("compiled", ["container-host"], indirect=True)
def test_a_container_has_what_is_its_own_and_not_what_the_host_keeps_for_containers(compiled: Compiled) -> None:
    asked = [*OF_THE_HOST, *OF_THE_CONTAINER]
    refused, _ = compiled.told([[CONTAINER, target, kind, list(permissions)] for target, kind, permissions in asked])
    expected = [list(permissions) for _, _, permissions in OF_THE_HOST] + [[] for _ in OF_THE_CONTAINER]
    found = list(zip(asked, refused, expected, strict=True))
    assert [(*question, no) for question, no, right in found if no != right] == []


def test_an_answer_of_the_policy_can_be_no(compiled: Compiled) -> None:
    agent, shadow = "system_u:system_r:zaffre_agent_t:s0", "system_u:object_r:shadow_t:s0"
    refused, _ = compiled.told([[agent, shadow, "file", ["read", "write"]]])
    assert refused == [["read", "write"]]
