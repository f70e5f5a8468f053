# SPDX-License-Identifier: Apache-2.0
"""What is judged in the same way of every system: a few facts in, a line of the report out. Pure.

What was not reported proves nothing, so its line fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from zaffre.machine.facts import Facts, addresses, blocks, listeners, properties, settings_path
from zaffre.machine.report import CheckLine, Verdict
from zaffre.measured.prediction import Prediction


@dataclass(frozen=True)
class Laid:
    """An extension that is checked: its kind, "sysext" or "confext", its name, the host that it was laid over, and
    whether it brings `zaffre-agent`.
    """

    kind: str
    name: str
    host: str
    agent: bool = False


@dataclass(frozen=True)
class Step:
    """An update of a host, from a version to the one that is checked."""

    image: str
    before: str
    after: str


@dataclass(frozen=True)
class Expectations:
    """What the image is meant to be. `settings` in the names of sysctl.d(5); `certificates` in DER: PK, KEK and db;
    `containers` says whether it runs some, `kubelet` whether it has one that is given a pod, `updates` whether it
    is updated in slots, `every_boot` whether each boot is counted then, `encrypted` whether its /var is;
    `configuration` is the name of a confext that it finds on a medium; `selinux` and `ipe` are modes: "off",
    "permissive" or "enforcing"; `fips` says whether it is in FIPS mode; `prediction` what the build says that its
    boot will measure; `checked` the extension that this is about, if it is about one; `update` what brought the host
    there, if it was updated, and `earlier` the prediction of the build before, whose boot loader it has.
    """

    nonce: str
    root_hash: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    certificates: Mapping[str, bytes] = field(default_factory=dict)
    debug: bool = False
    containers: bool = True
    kubelet: bool = False
    updates: bool = False
    every_boot: bool = False
    encrypted: bool = False
    configuration: str | None = None
    selinux: str = "off"
    ipe: str = "off"
    fips: bool = False
    prediction: Prediction | None = None
    earlier: Prediction | None = None
    checked: Laid | None = None
    update: Step | None = None


DISK_GROWS_BY = 1 << 30
"""Bytes by which the disk is larger in the second boot."""

Judge = Callable[[Facts, Expectations], CheckLine]


def line_of(name: str, title: str, *, passed: bool, found: str, wanted: str) -> CheckLine:
    if passed:
        return CheckLine(name=name, title=title, verdict=Verdict.PASSED, found=found)
    return CheckLine(
        name=name, title=title, verdict=Verdict.FAILED, found=found or "nothing was reported", wanted=wanted
    )


def noted(name: str, title: str, found: str) -> CheckLine:
    return CheckLine(name=name, title=title, verdict=Verdict.NOTED, found=found)


def system_runs(facts: Facts, _: Expectations) -> CheckLine:
    states = [facts.get("system.state", boot).text for boot in (1, 2)]
    failed = [line.split()[0] for boot in (1, 2) for line in facts.get("system.failed", boot).text.splitlines() if line]
    asked = all(facts.get("system.failed", boot).status == 0 for boot in (1, 2))
    passed = states == ["running", "running"] and asked and not failed
    found = "in both boots, no failed unit" if passed else f"state {' then '.join(states)}; failed: {some(failed)}"
    return line_of("system", "system running", passed=passed, found=found, wanted="running, with no failed unit")


def secure_boot(facts: Facts, expected: Expectations) -> CheckLine:
    # Four bytes of attributes come before a variable's value (efivarfs).
    enforced = facts.get("efi.SecureBoot").data[4:] == b"\x01" and facts.get("efi.SetupMode").data[4:] == b"\x00"
    missing = [name for name, der in expected.certificates.items() if der not in facts.get(f"efi.{name}").data]
    if not enforced:
        found = "off, or not an EFI system"
    elif missing:
        found = f"on, but the owner's certificate is not in {some(missing)}"
    else:
        found = "on, with the owner's keys"
    return line_of(
        "secure-boot",
        "Secure Boot",
        passed=enforced and not missing,
        found=found,
        wanted="on, with the owner's certificates in PK, KEK and db",
    )


def file_system_bytes(text: str) -> int:
    """What `stat --file-system --format='%b %S'` tells: blocks, and the bytes of one."""
    words = text.split()
    return int(words[0]) * int(words[1]) if len(words) == 2 and all(word.isdigit() for word in words) else 0


def machine_id(facts: Facts, _: Expectations) -> CheckLine:
    first, second = facts.get("machine-id", 1).text, facts.get("machine-id", 2).text
    boots = {facts.get("boot-id", boot).text for boot in (1, 2)} - {""}
    passed = len(first) == 32 and first == second and len(boots) == 2
    found = "kept" if passed else f"{first or 'none'}, then {second or 'none'}"
    return line_of("machine-id", "the machine's id, after a restart", passed=passed, found=found, wanted="kept")


def address_of(version: int) -> Judge:
    def line(facts: Facts, _: Expectations) -> CheckLine:
        found = [
            str(address)
            for address in addresses(facts.get("network.links").text)
            if address.version == version and not address.is_link_local
        ]
        return line_of(
            f"ipv{version}",
            f"IPv{version} address",
            passed=bool(found),
            found=some(found),
            wanted="one of the network's",
        )

    return line


def resolver(facts: Facts, _: Expectations) -> CheckLine:
    servers = [
        server for line in facts.get("network.resolver").text.splitlines() for server in line.partition(": ")[2].split()
    ]
    return line_of(
        "resolver", "name servers", passed=bool(servers), found=some(servers), wanted="those that the network names"
    )


def kernel_settings(facts: Facts, expected: Expectations) -> CheckLine:
    actual = {path: " ".join(value.split()) for path, value in properties(facts.get("kernel.settings").text).items()}
    wrong = [
        f"{key} = {actual.get(path, 'absent')} (not {value})"
        for key, path, value in _expected_settings(expected.settings, actual)
        if actual.get(path) != " ".join(value.split())
    ]
    if not expected.settings:
        return noted("settings", "kernel settings", "none declared")
    found = f"all {len(expected.settings)} as declared" if not wrong else "; ".join(wrong)
    return line_of("settings", "kernel settings", passed=not wrong, found=found, wanted="those that the image declares")


def _expected_settings(settings: Mapping[str, str], there: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Keys with the path that each is of and its value. A pattern is of what is there, but for what another key names
    (sysctl.d(5)); one that nothing matches stands for itself.
    """
    named = {settings_path(key) for key in settings}
    for key, value in settings.items():
        path = settings_path(key)
        matched = [one for one in there if one not in named and fnmatchcase(one, path)] if "*" in path else [path]
        for one in matched or [path]:
            yield (key if one == path else one), one, value


def kernel_modules(facts: Facts, expected: Expectations) -> CheckLine:
    loaded = {line.split()[0] for line in facts.get("kernel.modules").text.splitlines() if line}
    built_in = {_module(line) for line in facts.get("kernel.builtin").text.splitlines()}
    missing = [name for name in expected.modules if name.replace("-", "_") not in loaded | built_in]
    if not expected.modules:
        return noted("modules", "kernel modules", f"{len(loaded)} loaded")
    found = f"all {len(expected.modules)} loaded" if not missing else f"not loaded: {some(missing)}"
    return line_of("modules", "kernel modules", passed=not missing, found=found, wanted="those that the image declares")


def _module(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def time_service(facts: Facts, _: Expectations) -> CheckLine:
    active = [
        name for name, unit in blocks(facts.get("system.time").text).items() if unit.get("ActiveState") == "active"
    ]
    return line_of("time", "time synchronisation", passed=bool(active), found=some(active), wanted="a service for it")


def power_button(facts: Facts, _: Expectations) -> CheckLine:
    # Blocks of /proc/bus/input/devices; systemd-logind reads event devices.
    devices = facts.get("kernel.inputs").text.split("\n\n")
    heard = any('Name="Power Button"' in device and " event" in device.replace("=", " ") for device in devices)
    services = facts.get("system.services").text
    passed = heard and "systemd-logind.service" in services
    return line_of(
        "power-button",
        "the power button",
        passed=passed,
        found="heard by systemd-logind" if passed else "nobody hears it: a cloud could not end the machine in order",
        wanted="heard (kernel modules button and evdev, systemd-logind)",
    )


def listening(facts: Facts, _: Expectations) -> CheckLine:
    found = {
        str(listener)
        for protocol in ("tcp", "tcp6", "udp", "udp6")
        for listener in listeners(protocol, facts.get(f"listening.{protocol}").text)
        if not listener.address.is_loopback
    }
    return noted("listening", "open to the network", some(sorted(found)))


def hardening(facts: Facts, _: Expectations) -> CheckLine:
    enforce = {"1": "enforcing", "0": "permissive"}.get(facts.get("selinux.enforce").text, "off")
    lockdown = facts.get("kernel.lockdown").text.partition("[")[2].partition("]")[0] or "unknown"
    modules = facts.get("kernel.lsm").text.replace(",", ", ")
    return noted(
        "hardening", "kernel security", f"SELinux {enforce}; lockdown {lockdown}; {modules or 'no modules told'}"
    )


def tpm(facts: Facts, _: Expectations) -> CheckLine:
    version = facts.get("tpm.version")
    return noted("tpm", "TPM", f"version {version.text}" if version.status == 0 else "none")


def release(facts: Facts, _: Expectations) -> CheckLine:
    release = properties(facts.get("system.release").text)
    name = release.get("PRETTY_NAME", "unknown").strip('"')
    return noted("release", "release", f"{name}, Linux {facts.get('system.kernel').text or 'unknown'}")


def some(names: list[str]) -> str:
    return ", ".join(names) or "none"
