# SPDX-License-Identifier: Apache-2.0
"""From the guest's facts to verdicts. Pure: each function looks at a few facts and says what they prove.

What was not reported proves nothing, so its line fails.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from zaffre.machine.facts import Facts, addresses, blocks, listeners, mount_points, properties, settings_path
from zaffre.machine.report import CheckLine, Verdict

_DOORS = ("getty", "sshd", "ssh.service", "debug-shell", "serial-getty", "console-getty", "emergency", "rescue")


@dataclass(frozen=True)
class Expectations:
    """What the image is meant to be. `settings` in the names of sysctl.d(5); `certificates` in DER: PK, KEK and db."""

    nonce: str
    root_hash: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    certificates: Mapping[str, bytes] = field(default_factory=dict)
    debug: bool = False


DISK_GROWS_BY = 1 << 30
"""Bytes by which the disk is larger in the second boot."""

Judge = Callable[[Facts, Expectations], CheckLine]


def judge(facts: Facts, expected: Expectations) -> tuple[CheckLine, ...]:
    """All lines, in the order in which they are told."""
    return tuple(line(facts, expected) for line in _LINES)


def _line(name: str, title: str, *, passed: bool, found: str, wanted: str) -> CheckLine:
    if passed:
        return CheckLine(name=name, title=title, verdict=Verdict.PASSED, found=found)
    return CheckLine(
        name=name, title=title, verdict=Verdict.FAILED, found=found or "nothing was reported", wanted=wanted
    )


def _noted(name: str, title: str, found: str) -> CheckLine:
    return CheckLine(name=name, title=title, verdict=Verdict.NOTED, found=found)


def _running(facts: Facts, _: Expectations) -> CheckLine:
    states = [facts.get("system.state", boot).text for boot in (1, 2)]
    failed = [line.split()[0] for boot in (1, 2) for line in facts.get("system.failed", boot).text.splitlines() if line]
    asked = all(facts.get("system.failed", boot).status == 0 for boot in (1, 2))
    passed = states == ["running", "running"] and asked and not failed
    found = "in both boots, no failed unit" if passed else f"state {' then '.join(states)}; failed: {_some(failed)}"
    return _line("system", "system running", passed=passed, found=found, wanted="running, with no failed unit")


def _secure_boot(facts: Facts, expected: Expectations) -> CheckLine:
    # Four bytes of attributes come before a variable's value (efivarfs).
    enforced = facts.get("efi.SecureBoot").data[4:] == b"\x01" and facts.get("efi.SetupMode").data[4:] == b"\x00"
    missing = [name for name, der in expected.certificates.items() if der not in facts.get(f"efi.{name}").data]
    if not enforced:
        found = "off, or not an EFI system"
    elif missing:
        found = f"on, but the owner's certificate is not in {_some(missing)}"
    else:
        found = "on, with the owner's keys"
    return _line(
        "secure-boot",
        "Secure Boot",
        passed=enforced and not missing,
        found=found,
        wanted="on, with the owner's certificates in PK, KEK and db",
    )


def _root(facts: Facts, _: Expectations) -> CheckLine:
    mounts = [mount for mount in mount_points(facts.get("system.mounts").text) if mount.target == "/"]
    found = f"{mounts[-1].type}, {'read-only' if 'ro' in mounts[-1].options else 'writable'}" if mounts else ""
    remount, write = facts.get("root.remount"), facts.get("root.write")
    refused = remount.status > 0 and write.status > 0
    if mounts and not refused:
        found += "; a write or a remount for writing was not refused"
    passed = found == "erofs, read-only"
    return _line("root", "root file system", passed=passed, found=found, wanted="erofs, read-only, never writable")


def _verity(facts: Facts, expected: Expectations) -> CheckLine:
    status, table = facts.get("verity.status").text.split(), facts.get("verity.table").text.split()
    arguments = facts.get("system.command-line").text.split()
    promised = next((word.partition("=")[2] for word in arguments if word.startswith("roothash=")), None)
    # dm-verity's table (kernel, admin-guide/device-mapper/verity.rst): the digest is the ninth parameter.
    actual = table[11] if len(table) > 11 and table[2] == "verity" else None
    verified = len(status) > 3 and status[2:4] == ["verity", "V"]
    passed = verified and actual is not None and actual == promised and expected.root_hash in {None, actual}
    if actual is None:
        found = "the root is not a dm-verity device" if facts.get("verity.table").status >= 0 else ""
    elif not verified:
        found = "corruption was seen"
    elif actual != promised:
        found = f"root hash {actual[:12]}…, though the kernel image says {(promised or 'none')[:12]}…"
    else:
        found = f"verified, root hash {actual[:12]}…"
    return _line(
        "verity",
        "dm-verity",
        passed=passed,
        found=found,
        wanted=f"verified, with the root hash {(expected.root_hash or promised or 'of the kernel image')[:12]}…",
    )


def _usr(facts: Facts, _: Expectations) -> CheckLine:
    write = facts.get("usr.write")
    passed = write.status > 0 and "Read-only file system" in write.text
    found = (
        "refused: read-only file system" if passed else write.text or ("it was written" if write.status == 0 else "")
    )
    return _line("usr", "a write to /usr", passed=passed, found=found, wanted="refused")


def _etc(facts: Facts, expected: Expectations) -> CheckLine:
    written = facts.get("etc.write").text == expected.nonce
    after = facts.get("etc.kept", 2)
    gone = after.status > 0 and expected.nonce not in after.text
    found = "gone" if written and gone else "still there" if written and after.status == 0 else "could not be made"
    return _line("etc", "a change in /etc, after a restart", passed=found == "gone", found=found, wanted="gone")


def _var(facts: Facts, expected: Expectations) -> CheckLine:
    kept = facts.get("var.write").text == expected.nonce and facts.get("var.kept", 2).text == expected.nonce
    return _line(
        "var", "a change in /var, after a restart", passed=kept, found="kept" if kept else "gone", wanted="kept"
    )


def _var_grows(facts: Facts, _: Expectations) -> CheckLine:
    sizes = [_bytes(facts.get("var.size", boot).text) for boot in (1, 2)]
    passed = sizes[0] > 0 and sizes[1] - sizes[0] > 0.9 * DISK_GROWS_BY
    found = " then ".join(f"{size / 1e9:.1f} GB" for size in sizes)
    return _line(
        "var-grows",
        "/var, when the disk has grown",
        passed=passed,
        found=f"grew: {found}" if passed else found,
        wanted=f"larger by {DISK_GROWS_BY / 1e9:.1f} GB",
    )


def _bytes(text: str) -> int:
    """What `stat --file-system --format='%b %S'` tells: blocks, and the bytes of one."""
    words = text.split()
    return int(words[0]) * int(words[1]) if len(words) == 2 and all(word.isdigit() for word in words) else 0


def _machine_id(facts: Facts, _: Expectations) -> CheckLine:
    first, second = facts.get("machine-id", 1).text, facts.get("machine-id", 2).text
    boots = {facts.get("boot-id", boot).text for boot in (1, 2)} - {""}
    passed = len(first) == 32 and first == second and len(boots) == 2
    found = "kept" if passed else f"{first or 'none'}, then {second or 'none'}"
    return _line("machine-id", "the machine's id, after a restart", passed=passed, found=found, wanted="kept")


def _container(facts: Facts, expected: Expectations) -> CheckLine:
    run = facts.get("container.run")
    passed = run.status == 0 and f"nonce {expected.nonce}" in run.text.splitlines() and "pid 1" in run.text.splitlines()
    image = facts.get("container.import").text.removeprefix("unpacking ").partition(" ")[0]
    trouble = next(
        (facts.get(name).text for name in ("container.run", "container.import") if facts.get(name).status), ""
    )
    found = f"{image} ran under containerd and crun" if passed else _tail(trouble or run.text)
    return _line("container", "a container", passed=passed, found=found, wanted="runs, prints what it was given, ends")


def _container_network(facts: Facts, _: Expectations) -> CheckLine:
    lines = facts.get("container.run").text.splitlines()
    own = next((line.partition(" ")[2] for line in lines if line.startswith("network ")), "")
    interfaces = [line.partition(" ")[2] for line in lines if line.startswith("interface ")]
    host = facts.get("host.network-namespace").text
    passed = own.startswith("net:[") and host.startswith("net:[") and own != host and interfaces == ["lo"]
    found = f"its own, with {_some(interfaces)}" if own != host else "the host's"
    return _line(
        "container-network",
        "the container's network",
        passed=passed,
        found=found if own else "",
        wanted="a namespace of its own with nothing but lo",
    )


def _cgroups(facts: Facts, _: Expectations) -> CheckLine:
    unit = properties(facts.get("container.unit").text)
    by_systemd = unit.get("ActiveState") == "active" and unit.get("ControlGroup", "").endswith("/zaffre-probe.scope")
    runtimes = _systemd_runtimes(facts.get("containerd.config").text)
    passed = by_systemd and bool(runtimes)
    found = (
        f"systemd's ({_some(runtimes)})" if passed else f"unit {_some([*unit.values()])}; runtimes {_some(runtimes)}"
    )
    return _line(
        "cgroups",
        "the container's control group",
        passed=passed,
        found=found,
        wanted="a scope of systemd's, and SystemdCgroup in containerd's configuration",
    )


def _systemd_runtimes(text: str) -> list[str]:
    """Names of the runtimes of Kubernetes' interface (CRI) whose control groups are systemd's."""
    try:
        plugins = tomllib.loads(text)["plugins"]
        cri = next(
            plugins[name] for name in plugins if name in {"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"}
        )
        runtimes = cri["containerd"]["runtimes"]
        return [name for name, runtime in runtimes.items() if runtime.get("options", {}).get("SystemdCgroup") is True]
    except (tomllib.TOMLDecodeError, KeyError, StopIteration, AttributeError, TypeError):
        return []


def _ip(version: int) -> Judge:
    def line(facts: Facts, _: Expectations) -> CheckLine:
        found = [
            str(address)
            for address in addresses(facts.get("network.links").text)
            if address.version == version and not address.is_link_local
        ]
        return _line(
            f"ipv{version}",
            f"IPv{version} address",
            passed=bool(found),
            found=_some(found),
            wanted="one of the network's",
        )

    return line


def _resolver(facts: Facts, _: Expectations) -> CheckLine:
    servers = [
        server for line in facts.get("network.resolver").text.splitlines() for server in line.partition(": ")[2].split()
    ]
    return _line(
        "resolver", "name servers", passed=bool(servers), found=_some(servers), wanted="those that the network names"
    )


def _settings(facts: Facts, expected: Expectations) -> CheckLine:
    actual = properties(facts.get("kernel.settings").text)
    wrong = [
        f"{key} = {found if (found := actual.get(settings_path(key))) is not None else 'absent'} (not {value})"
        for key, value in expected.settings.items()
        if " ".join(actual.get(settings_path(key), "\0").split()) != " ".join(value.split())
    ]
    if not expected.settings:
        return _noted("settings", "kernel settings", "none declared")
    found = f"all {len(expected.settings)} as declared" if not wrong else "; ".join(wrong)
    return _line("settings", "kernel settings", passed=not wrong, found=found, wanted="those that the image declares")


def _modules(facts: Facts, expected: Expectations) -> CheckLine:
    loaded = {line.split()[0] for line in facts.get("kernel.modules").text.splitlines() if line}
    built_in = {_module(line) for line in facts.get("kernel.builtin").text.splitlines()}
    missing = [name for name in expected.modules if name.replace("-", "_") not in loaded | built_in]
    if not expected.modules:
        return _noted("modules", "kernel modules", f"{len(loaded)} loaded")
    found = f"all {len(expected.modules)} loaded" if not missing else f"not loaded: {_some(missing)}"
    return _line("modules", "kernel modules", passed=not missing, found=found, wanted="those that the image declares")


def _module(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def _time(facts: Facts, _: Expectations) -> CheckLine:
    active = [
        name for name, unit in blocks(facts.get("system.time").text).items() if unit.get("ActiveState") == "active"
    ]
    return _line("time", "time synchronisation", passed=bool(active), found=_some(active), wanted="a service for it")


def _doors(facts: Facts, expected: Expectations) -> CheckLine:
    services = [line.split()[0] for line in facts.get("system.services").text.splitlines() if line.strip()]
    doors = [name for name in services if name.startswith(_DOORS)]
    if expected.debug:
        return _noted("log-in", "log-in", f"a debug build: {_some(doors)}")
    passed = bool(services) and not doors
    found = "none" if passed else _some(doors) if doors else ""
    return _line("log-in", "log-in services", passed=passed, found=found, wanted="none")


def _power_button(facts: Facts, _: Expectations) -> CheckLine:
    # Blocks of /proc/bus/input/devices; systemd-logind reads event devices.
    devices = facts.get("kernel.inputs").text.split("\n\n")
    heard = any('Name="Power Button"' in device and " event" in device.replace("=", " ") for device in devices)
    services = facts.get("system.services").text
    passed = heard and "systemd-logind.service" in services
    return _line(
        "power-button",
        "the power button",
        passed=passed,
        found="heard by systemd-logind" if passed else "nobody hears it: a cloud could not end the machine in order",
        wanted="heard (kernel modules button and evdev, systemd-logind)",
    )


def _listening(facts: Facts, _: Expectations) -> CheckLine:
    found = {
        str(listener)
        for protocol in ("tcp", "tcp6", "udp", "udp6")
        for listener in listeners(protocol, facts.get(f"listening.{protocol}").text)
        if not listener.address.is_loopback
    }
    return _noted("listening", "open to the network", _some(sorted(found)))


def _hardening(facts: Facts, _: Expectations) -> CheckLine:
    enforce = {"1": "enforcing", "0": "permissive"}.get(facts.get("selinux.enforce").text, "off")
    lockdown = facts.get("kernel.lockdown").text.partition("[")[2].partition("]")[0] or "unknown"
    modules = facts.get("kernel.lsm").text.replace(",", ", ")
    return _noted(
        "hardening", "kernel security", f"SELinux {enforce}; lockdown {lockdown}; {modules or 'no modules told'}"
    )


def _tpm(facts: Facts, _: Expectations) -> CheckLine:
    version = facts.get("tpm.version")
    return _noted("tpm", "TPM", f"version {version.text}" if version.status == 0 else "none")


def _system(facts: Facts, _: Expectations) -> CheckLine:
    release = properties(facts.get("system.release").text)
    name = release.get("PRETTY_NAME", "unknown").strip('"')
    return _noted("release", "release", f"{name}, Linux {facts.get('system.kernel').text or 'unknown'}")


def _some(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _tail(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines()[-3:])


_LINES: tuple[Judge, ...] = (
    _system,
    _running,
    _secure_boot,
    _root,
    _verity,
    _usr,
    _etc,
    _var,
    _var_grows,
    _machine_id,
    _container,
    _container_network,
    _cgroups,
    _ip(4),
    _ip(6),
    _resolver,
    _settings,
    _modules,
    _time,
    _doors,
    _power_button,
    _listening,
    _hardening,
    _tpm,
)
