# SPDX-License-Identifier: Apache-2.0
"""Container images of the reference distribution: built, held, run by crun and podman, built twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.lab import Lab
from support.layers import open_layer, plain_layer
from support.registry import unmet
from zaffre.digest import sha256_bytes
from zaffre.oci import ContainerImage, read_layout
from zaffre.sandbox import Mount, Sandbox

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("containers")]

ALL = ("base", "distroless", "distroless-static")
LIMITS = {"distroless": 8_000_000, "distroless-static": 1_000_000}


@pytest.fixture(scope="module")
def built(lab: Lab) -> Mapping[str, Path]:
    return {name: lab.build(name) for name in ALL}


def image_of(build: Path) -> ContainerImage:
    (image,) = read_layout(build / "oci")
    return image


@contextmanager
def layer_of(build: Path) -> Iterator[tarfile.TarFile]:
    (layer,) = image_of(build).layers
    with open_layer(build / "oci", layer) as tar:
        yield tar


def text_of(build: Path, path: str) -> str:
    with layer_of(build) as tar:
        return tar.extractfile(path).read().decode()


@pytest.mark.parametrize("name", ALL)
def test_it_is_what_it_promises(lab: Lab, built: Mapping[str, Path], name: str) -> None:
    assert lab.json("verify", str(built[name]))["ok"]
    report = lab.json("check", name, "--out", str(lab.out))
    lines = {line["name"]: line for line in report["lines"]}
    assert [line for line in lines.values() if line["verdict"] == "failed"] == []
    wanted = {"static", "user", "certificates", "records"}
    wanted |= {"base": {"shell", "libc", "apt"}, "distroless": {"no-shell", "libc", "time-zones"}}.get(
        name, {"no-shell", "no-libc", "time-zones"}
    )
    assert wanted <= lines.keys()


def test_labels_annotations_and_times_are_those_of_the_lock(lab: Lab, built: Mapping[str, Path]) -> None:
    image, manifest = image_of(built["base"]), json.loads((built["base"] / "manifest.json").read_text())
    prefix = "org.opencontainers.image."
    assert image.annotations[f"{prefix}version"] == manifest["version"]
    assert image.annotations[f"{prefix}title"] == "zaffre-base"
    assert image.annotations[f"{prefix}created"] == image.config["created"] == image.config["history"][0]["created"]
    assert not any(key.startswith(f"{prefix}base") for key in image.annotations), "nothing is below it"
    assert image.config["config"]["Labels"] == dict(image.annotations)
    with layer_of(built["base"]) as tar:
        assert max(member.mtime for member in tar) <= manifest["epoch"]


def test_who_runs_what(built: Mapping[str, Path]) -> None:
    base, static = (image_of(built[name]).config["config"] for name in ("base", "distroless-static"))
    assert (base.get("User"), base["Cmd"]) == (None, ["/bin/bash"])
    assert (static["User"], static.get("Cmd")) == ("65532:65532", None)
    assert any(one.startswith("PATH=") for one in base["Env"])
    with layer_of(built["distroless-static"]) as tar:
        assert tar.getmember("etc/localtime").linkname == "/usr/share/zoneinfo/Etc/UTC"
        assert (tar.getmember("home/nonroot").uid, tar.getmember("home/nonroot").mode) == (65532, 0o700)


@pytest.mark.parametrize(
    ("profile", "words"),
    [("dev", ("zstd", "-1", "--single-thread", "-c")), ("release", ("gzip", "-n", "-9", "-c"))],
)
def test_the_layer_is_what_the_locked_program_makes(
    lab: Lab, tools_sandbox: Sandbox, tmp_path: Path, profile: str, words: tuple[str, ...]
) -> None:
    build = lab.build("distroless-static", "--profile", profile)
    image = image_of(build)
    (layer,) = image.layers
    assert layer.media_type.endswith(f"+{words[0]}")
    plain, again = tmp_path / "layer.tar", tmp_path / "layer"
    plain.write_bytes(plain_layer(build / "oci", layer))
    assert image.diff_ids == (f"sha256:{sha256_bytes(plain.read_bytes())}",)
    tools_sandbox.run(words, stdin=plain, stdout=again, timeout=60)
    assert again.read_bytes() == (build / "oci" / layer.path).read_bytes()


def test_the_bundle_is_the_one_that_a_script_makes(built: Mapping[str, Path]) -> None:
    """`base` has run update-ca-certificates(8); in the others, no script has run."""
    bundle = "etc/ssl/certs/ca-certificates.crt"
    by_script, by_us = (text_of(built[name], bundle) for name in ("base", "distroless-static"))
    assert by_us == by_script


def test_apt_has_our_repository_and_nothing_else(built: Mapping[str, Path]) -> None:
    with layer_of(built["base"]) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    sources = {name for name in names if name.startswith("etc/apt/sources.list") and not name.endswith(".d")}
    assert sources == {"etc/apt/sources.list.d/zaffre.sources"}
    assert "URIs: https://packages.zaffre.example\n" in text_of(built["base"], sources.pop())
    assert "usr/share/keyrings/zaffre-archive-keyring.gpg" in names
    assert {"usr/lib/os-release", "usr/lib/os-release.upstream"} <= names, "an upgrade of base-files changes the second"
    assert "/usr/lib/os-release\n/usr/lib/os-release.upstream\n:\n" in text_of(built["base"], "var/lib/dpkg/diversions")
    assert "path-exclude=/usr/share/man/*\n" in text_of(built["base"], "etc/dpkg/dpkg.cfg.d/zaffre")
    assert not [name for name in names if name.startswith("var/lib/apt/lists/") and name.endswith("Packages")]


def test_scanners_find_every_package(lab: Lab, built: Mapping[str, Path]) -> None:
    for name in ALL:
        manifest = json.loads((built[name] / "manifest.json").read_text())
        status = text_of(built[name], "var/lib/dpkg/status")
        assert status.count("Status: install ok installed\n") == len(manifest["packages"]) == status.count("Package: ")
        inventory = lab.json("inventory", name, "--out", str(lab.out))
        assert {one["name"] for one in inventory["packages"]} == {one["name"] for one in manifest["packages"]}


def test_the_small_ones_are_small(lab: Lab) -> None:
    for name, most in LIMITS.items():
        image = image_of(lab.build(name, "--profile", "release"))
        assert sum(layer.size for layer in image.layers) <= most, name


def test_it_runs_a_command_of_its_own_and_another(lab: Lab, built: Mapping[str, Path]) -> None:
    done = lab.zaffre("run", "base", "--out", str(lab.out), "--", "sh", "-c", "echo $HOME; exit 3", check=False)
    assert (done.stdout, done.returncode) == ("/root\n", 3)
    nothing = lab.zaffre("run", "distroless", "--out", str(lab.out), "--json", check=False)
    assert nothing.returncode == 2
    assert "names no command" in nothing.stdout


def test_podman_runs_it(built: Mapping[str, Path], tools_sandbox: Sandbox, tmp_path: Path) -> None:
    program = tools_sandbox.tools.root / "usr/bin/busybox"
    with podman(tmp_path) as run:
        said = run(built["base"], "sh", "-c", ". /etc/os-release; echo $IMAGE_ID $(id -u)")
        assert said.stdout == "zaffre-base 0\n", said.stderr
        for name in ("distroless", "distroless-static"):
            mounted = run(built[name], "/busybox", "id", "-u", mounts=[f"{program}:/busybox:ro"])
            assert mounted.stdout == "65532\n", mounted.stderr
            assert run(built[name], "sh", "-c", "true").returncode != 0


@contextmanager
def podman(folder: Path):
    """Podman with a store of its own; its archive is the one of the build."""
    program = shutil.which("podman")
    if program is None:
        unmet("no podman here")
    # Podman wants the second one short.
    with TemporaryDirectory(prefix="run-") as state:
        yield _runner(program, folder, state)


def _runner(program: str, folder: Path, state: str):
    options = [f"--root={folder}/root", f"--runroot={state}", "--storage-driver=vfs", "--cgroup-manager=cgroupfs"]
    # crun looks at the control groups although it makes none, and refuses some that hosts have: it is shown none.
    before = ["unshare", "--mount", "sh", "-euc", 'mount -t tmpfs tmpfs /sys/fs/cgroup; exec "$@"', "sh"]

    def run(build: Path, *argv: str, mounts: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        volumes = [f"--volume={one}" for one in mounts or ()]
        words = [*options, "run", "--rm", "--quiet", "--network=host", "--cgroups=disabled"]
        words += ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
        return subprocess.run(
            [
                *(before if os.geteuid() == 0 else ()),
                str(program),
                *words,
                *volumes,
                f"oci-archive:{build}/image.oci.tar",
                *argv,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


def test_the_fields_own_client_reads_both_forms(built: Mapping[str, Path], tools_sandbox: Sandbox) -> None:
    build = built["distroless"]
    for source in ("oci:/run/build/oci", "oci-archive:/run/build/image.oci.tar"):
        said = tools_sandbox.run(
            ["skopeo", "--tmpdir=/tmp", "inspect", "--raw", source], mounts=[Mount(build, "/run/build")], timeout=60
        )
        assert f"sha256:{sha256_bytes(said.stdout)}" == image_of(build).manifest.digest


@pytest.mark.parametrize("name", [pytest.param("base", marks=pytest.mark.long), "distroless"])
def test_two_builds_are_bit_for_bit_the_same(lab: Lab, name: str) -> None:
    found = lab.json("reproduce", name)
    assert found["differences"] == []
    assert {"image.oci.tar", "inventory.json", "oci/index.json"} <= found["artifacts"].keys()


def test_a_bare_image_is_built_for_another_machine(lab: Lab, tmp_path: Path) -> None:
    """No script runs, so none of its programs does."""
    distro = tmp_path / "distro"
    shutil.copytree(lab.distro, distro, symlinks=True, ignore=shutil.ignore_patterns("components", "zaffre.lock"))
    for path in (distro / "images").iterdir():
        if not path.name.startswith("distroless"):
            path.unlink()
    lab.zaffre("--distro", str(distro), "lock", "--arch", "amd64", "--arch", "arm64")
    words = ("build", "distroless", "--arch", "arm64", "--out", str(tmp_path / "out"))
    image = image_of(Path(lab.json("--distro", str(distro), *words)["directory"]))
    assert image.manifest.platform == "linux/arm64"
    assert image.config["variant"] == "v8"
    refused = lab.zaffre("--distro", str(distro), "run", *words[1:], "--json", "--", "true", check=False)
    assert refused.returncode == 2
    assert "cannot be run" in refused.stdout
