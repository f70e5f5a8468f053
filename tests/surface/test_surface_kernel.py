# SPDX-License-Identifier: Apache-2.0
"""How a kernel is judged, of what an image says; and what a build does that is over its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support.budget import set_budget
from support.lab import Lab
from support.shell import Shell
from zaffre.definition import Surface
from zaffre.definition.loader import load_distribution
from zaffre.definition.starter import reference_root
from zaffre.surface import Facts, KernelJudgement, SurfaceReport, judged
from zaffre.surface.kernel import Part, judge_kernel
from zaffre.surface.kernelconfig import config_in

VERSION = "6.12.90-test"
CONFIG = """\
#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.12.90 Kernel Configuration
#
CONFIG_X86_64=y
CONFIG_LOCALVERSION=""
CONFIG_STRICT_KERNEL_RWX=y
CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y
CONFIG_SLAB_MERGE_DEFAULT=y
CONFIG_DEBUG_FS=y
CONFIG_BINFMT_MISC=m
# CONFIG_DEVMEM is not set
"""
NOTHING = Facts.model_validate({name: 0 if name == "packages" else () for name in Facts.model_fields})


def judge(
    config: str = CONFIG, words: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str]]:
    """How many checks there were, and what was found in place of what is asked for."""
    found = judge_kernel(config, command_line=words, settings=settings or {})
    assert found is not None
    assert found.version == "6.12.90"
    assert all(one.wanted and one.why for one in found.lacking)
    return found.checks, {one.name: one.found for one in found.lacking}


def test_what_is_built_in_is_judged_by_its_value() -> None:
    _, lacks = judge()
    assert "CONFIG_STRICT_KERNEL_RWX" not in lacks
    assert lacks["CONFIG_STRICT_MODULE_RWX"] == "n", "what a configuration does not name is not there"
    assert "CONFIG_DEVMEM" not in lacks
    assert "CONFIG_KEXEC" not in lacks
    assert lacks["CONFIG_BINFMT_MISC"] == "m"


@pytest.mark.parametrize(
    ("words", "name", "found"),
    [
        ((), "init_on_alloc", None),
        (("init_on_alloc=0",), "init_on_alloc", "0"),
        (("init_on_alloc=0", "init_on_alloc=1"), "init_on_alloc", None),
        ((), "slab_nomerge", "absent"),
        (("slab_nomerge",), "slab_nomerge", None),
        ((), "debugfs", "absent"),
        (("debugfs=off",), "debugfs", None),
        ((), "mitigations", None),
        (("mitigations=off",), "mitigations", "off"),
        (("mitigations=auto",), "mitigations", None),
        (("nokaslr",), "nokaslr", ""),
        (("pti=off",), "pti", "off"),
    ],
)
def test_a_word_of_the_command_line_counts_and_else_the_option(words: Sequence[str], name: str, found: str) -> None:
    assert judge(words=words)[1].get(name) == found


def test_a_setting_counts_when_somebody_makes_it() -> None:
    settings = {"kernel.kptr_restrict": "2", "kernel.yama.ptrace_scope": "0", "net.ipv4.conf.*.rp_filter": "1"}
    _, lacks = judge(settings=settings)
    assert "kernel.kptr_restrict" not in lacks
    assert lacks["kernel.yama.ptrace_scope"] == "0"
    assert lacks["kernel.dmesg_restrict"] == "absent"
    assert "kernel.kexec_load_disabled" not in lacks, "this kernel has no kexec"


def test_what_is_of_one_architecture_is_asked_of_it_alone() -> None:
    arm = CONFIG.replace("x86", "arm64").replace("CONFIG_X86_64", "CONFIG_ARM64")
    (here, of_x86), (there, of_arm) = judge(), judge(arm)
    assert "CONFIG_X86_UMIP" in of_x86
    assert "CONFIG_X86_UMIP" not in of_arm
    assert "CONFIG_ARM64_PAN" in of_arm
    assert here != there


@pytest.mark.parametrize("text", ["", "this is\nnot it\n", "# Linux/x86 6.12.90 Kernel Configuration\n"])
def test_a_file_that_is_no_configuration_is_no_good_kernel(text: str) -> None:
    assert judge_kernel(text, command_line=("debugfs=off",), settings={}) is None


def test_the_configuration_is_found_where_either_family_has_it(tmp_path: Path) -> None:
    assert config_in(tmp_path, VERSION) is None
    modules = tmp_path / "usr/lib/modules" / VERSION
    modules.mkdir(parents=True)
    (modules / "config").write_text(CONFIG)
    assert config_in(tmp_path, VERSION) == modules / "config"
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/config-{VERSION}").symlink_to("/etc/passwd")
    assert config_in(tmp_path, VERSION) == modules / "config", "a link does not leave the root"


def test_a_kernel_has_a_budget() -> None:
    lack = {"part": Part.SETTING, "name": "kernel.sysrq", "wanted": ("0",), "found": "absent", "why": "…"}
    kernel = KernelJudgement.model_validate({"version": VERSION, "checks": 2, "lacking": (lack,)})
    report = SurfaceReport(title="a root", facts=NOTHING, kernel=kernel)
    assert judged(report, Surface(kernel=1)).holds
    (excess,) = judged(report, Surface(kernel=0)).excess
    assert (excess.what, excess.found, excess.items) == ("kernel", 1, ("kernel.sysrq (absent)",))
    assert judged(SurfaceReport(title="a root", facts=NOTHING), Surface(kernel=0)).holds, "there is no kernel"


@pytest.mark.parametrize("name", ["container-host", "edge", "kubernetes-host", "server"])
def test_what_boots_has_the_profile_and_no_protection_is_off(name: str) -> None:
    image = load_distribution(reference_root()).image(name)
    settings = {key: str(value) for key, value in image.sysctl.items()}
    with_all = (
        f"{CONFIG}CONFIG_IO_URING=y\nCONFIG_KEXEC_CORE=y\nCONFIG_MAGIC_SYSRQ=y\nCONFIG_MODULES=y\nCONFIG_USER_NS=y\n"
    )
    _, lacks = judge(with_all, image.kernel.command_line, settings)
    assert not {"mitigations", "pti", "nokaslr", "debugfs", "kernel.kptr_restrict", "fs.suid_dumpable"} & lacks.keys()
    left_out = {"kernel.io_uring_disabled", "user.max_user_namespaces", "kernel.modules_disabled"}
    assert left_out == {name for name in lacks if "." in name and name.split(".")[0] in {"kernel", "user", "vm", "fs"}}


@pytest.mark.tools
def test_the_kernel_of_a_root_is_judged_and_held_against_the_budget(
    tools_lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    for folder in ("usr/lib/sysctl.d", f"usr/lib/modules/{VERSION}", "boot", "etc", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True)
    (root / "usr/lib/sysctl.d/10-a.conf").write_text("kernel.dmesg_restrict = 1\n")
    set_budget(tools_lab / "images/container-host.toml", "kernel = 1\n")
    words = ["--distro", tools_lab, "-q", "surface", root, "--budget", "container-host"]
    shell = Shell(capsys)
    assert shell(*words) == 2
    assert "cannot be judged" in shell.err
    (root / f"boot/config-{VERSION}").write_text(CONFIG)
    report = shell.json(*words, code=1)
    (excess,) = report["excess"]
    assert excess["found"] == len(report["kernel"]["lacking"]) > 20
    assert "kernel.dmesg_restrict" not in {one["name"] for one in report["kernel"]["lacking"]}
    assert shell(*words, "--all") == 1
    assert "CONFIG_STRICT_MODULE_RWX" in shell.out


@pytest.mark.tools
def test_a_build_over_its_budget_breaks_and_leaves_nothing(lab: Lab, tools_lab: Path, tmp_path: Path) -> None:
    set_budget(tools_lab / "images/distroless-static.toml", "packages = 1\nshells = 0\n")
    words = ("--distro", str(tools_lab), "-q")
    done = lab.zaffre(*words, "build", "distroless-static", "--out", str(tmp_path / "out"), check=False)
    assert done.returncode == 1
    assert "over the budget" in done.stderr
    assert "and the budget is 1" in done.stderr
    assert list((tmp_path / "out").glob("*")) == []
    shown = lab.zaffre(*words, "surface", "distroless-static", "--json", check=False)
    assert shown.returncode == 1
    assert '"what": "packages"' in shown.stdout
