# SPDX-License-Identifier: Apache-2.0
"""The sealed agent and a node for it, without a machine: the host's own root with the agent laid over it."""

from __future__ import annotations

import shutil
from pathlib import Path

from measure import BenchError
from publisher import CHANNEL

from zaffre.cli.context import Workspace
from zaffre.cli.making import Making
from zaffre.definition import reference_root
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.sandbox import Mount
from zaffre.slots import entry_name, root_uuids
from zaffre.trust.gpt import read_partitions

_SECONDS = 600.0
_SETTINGS = f'place = "http://127.0.0.1:8000"\nchannel = "{CHANNEL}"\n'


def agent_root(place: Path, agent: Path, host: Path) -> Path:
    """The host's root with the agent laid over it, as systemd-sysext does it."""
    with Workspace() as work:
        work.distro = reference_root()
        sandbox = Making(work).sandbox
    data = read_partitions(agent / "extension.raw")[0]
    with (agent / "extension.raw").open("rb") as file:
        file.seek(data.offset)
        (place / "agent.erofs").write_bytes(file.read(data.size))
    shutil.copy(host / "root.erofs", place / "host.erofs")
    for name in ("host", "agent"):
        sandbox.run(
            ["fsck.erofs", f"--extract=/job/{name}", f"/job/{name}.erofs"],
            mounts=[Mount(place, "/job", writable=True)],
            timeout=_SECONDS,
        )
    shutil.copytree(place / "agent", place / "host", symlinks=True, dirs_exist_ok=True)
    return place / "host"


def make_node(old: Path, job: Path) -> None:
    """A node that runs `old`, in the folder `job`: what the agent looks at of a host, and its settings."""
    manifest = Manifest.model_validate_json((old / MANIFEST_NAME).read_bytes())
    if manifest.root_hash is None:
        raise BenchError(f"{old} has no verified root")
    data, tree = root_uuids(manifest.root_hash)
    name = f"zaffre-{manifest.image}"
    texts = {
        "root/etc/os-release": f"ID=zaffre\nIMAGE_ID={name}\nIMAGE_VERSION={manifest.version}\n",
        "root/etc/machine-id": f"{'0' * 32}\n",
        "root/proc/sys/kernel/random/boot_id": f"{'0' * 32}\n",
        "root/proc/cmdline": f"roothash={manifest.root_hash}\n",
        "agent.toml": _SETTINGS,
    }
    files = {
        f"root/dev/disk/by-partuuid/{data}": "root.erofs",
        f"root/dev/disk/by-partuuid/{tree}": "root.verity",
        f"root/boot/EFI/Linux/{entry_name(name, manifest.version)}": "uki.efi",
    }
    for path in (*texts, *files):
        (job / path).parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        (job / path).write_text(text)
    for path, file in files.items():
        shutil.copy(old / file, job / path)
