# SPDX-License-Identifier: Apache-2.0
"""Which accelerator to use: KVM only where a kernel was seen to come all the way up on it.

`/dev/kvm` can exist, open and make a machine, while no guest kernel gets past its decompressor (a nested
hypervisor that emulates too little); QEMU can also abort at a register. So the real kernel is started, with no
root to mount, and must end its own initialisation by saying so. The answer is remembered in the store
for this boot of the host and this version of QEMU.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import JSON
from zaffre.errors import ToolError
from zaffre.machine.architecture import Architecture
from zaffre.machine.console import ConsoleLog
from zaffre.machine.kernel import kernel_of
from zaffre.machine.qemu import ConsoleOutput, Ended, start
from zaffre.machine.spec import Accelerator, DirectKernel, MachineSpec
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store

KVM_DEVICE = Path("/dev/kvm")

_PROBE_SECONDS = 10.0
_VERSION_SECONDS = 30.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KERNEL = "/run/machine/kernel"
# Said at the very end of the kernel's own start, since the machine has no root. With panic=-1 a reset follows.
_END_OF_START = b"Kernel panic - not syncing"


@dataclass(frozen=True)
class Choice:
    """`why` is a sentence for people; `remembered` says that no probe was run this time."""

    accelerator: Accelerator
    why: str
    remembered: bool = False


def choose_accelerator(
    *, kernel: Path, architecture: Architecture, store: Store, sandbox: Sandbox, device: Path = KVM_DEVICE
) -> Choice:
    """Probes once and remembers. `kernel` is a bzImage or a unified kernel image. Takes 10 seconds at most."""
    if platform.machine() not in architecture.native:
        return Choice(Accelerator.TCG, f"the host is no {architecture.name} machine")
    obstacle = _obstacle(device)
    if obstacle is not None:
        return Choice(Accelerator.TCG, obstacle)
    version = sandbox.run([architecture.program, "--version"], timeout=_VERSION_SECONDS).stdout
    question: Mapping[str, JSON] = {
        "boot_id": _BOOT_ID.read_text().strip(),
        "qemu": version.decode("utf-8", "replace").partition("\n")[0],
    }
    label = f"accelerator {architecture.name}"
    with store.lock(label):
        known = store.recall(label)
        if known is not None and known.get("question") == question:
            return _choice(known, remembered=True)
        with store.scratch("accelerator") as scratch:
            failure = _probe(kernel, architecture, scratch, sandbox, device)
        answer: Mapping[str, JSON] = {"question": question, "failure": failure}
        store.remember(label, answer)
    return _choice(answer, remembered=False)


def devices_for(accelerator: Accelerator) -> tuple[str, ...]:
    """What the sandbox must let QEMU see."""
    return (str(KVM_DEVICE),) if accelerator is Accelerator.KVM else ()


def _choice(answer: Mapping[str, JSON], *, remembered: bool) -> Choice:
    failure = answer.get("failure")
    if failure is None:
        return Choice(Accelerator.KVM, "a kernel started under KVM", remembered)
    return Choice(Accelerator.TCG, f"KVM does not work here: {failure}", remembered)


def _obstacle(device: Path) -> str | None:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"no access to {device}: {error.strerror}"
    return None


def _probe(kernel: Path, architecture: Architecture, scratch: Path, sandbox: Sandbox, device: Path) -> str | None:
    """None when the kernel came up, else what happened instead."""
    inner = kernel_of(kernel)
    if inner is not None:
        kernel = scratch / "kernel"
        kernel.write_bytes(inner)
    spec = MachineSpec(
        architecture=architecture,
        accelerator=Accelerator.KVM,
        memory_mib=256,
        cpus=1,
        kernel=DirectKernel(_KERNEL, f"console={architecture.console} panic=-1"),
        restarts=False,
    )
    log = ConsoleLog()
    said = b""
    deadline = time.monotonic() + _PROBE_SECONDS
    try:
        with start(spec, sandbox, mounts=[Mount(kernel, _KERNEL)], devices=[str(device)], notify=False) as machine:
            for event in machine.events(deadline):
                if isinstance(event, ConsoleOutput):
                    log.feed(event.data)
                    said = (said + event.data)[-len(event.data) - len(_END_OF_START) :]
                    if _END_OF_START in said:
                        return None
                elif isinstance(event, Ended):
                    return event.error.splitlines()[0] if event.error else "QEMU ended before the kernel was up"
    except ToolError as error:
        return error.brief
    return f"no kernel was up after {_PROBE_SECONDS:.0f} seconds ({log.tail(1) or 'nothing on its console'})"
