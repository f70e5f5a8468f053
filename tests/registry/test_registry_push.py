# SPDX-License-Identifier: Apache-2.0
"""Pushing to a real registry: what arrives, what a broken wire leaves behind, and what is said of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lab import Lab
from support.layouts import layout
from support.registry import PASSWORD, USER, Registry, Wire, registry
from zaffre.errors import WorldError
from zaffre.oci import read_layout
from zaffre.progress import SILENT
from zaffre.registry import Push, Pushed, parse_reference, push
from zaffre.sandbox import Sandbox
from zaffre.store import Store

pytestmark = pytest.mark.tools

SIZE = 2 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Registry]:
    with registry(tmp_path / "registry") as found:
        yield found


@pytest.fixture
def wire(server: Registry) -> Iterator[Wire]:
    with Wire(server.port) as found:
        yield found


@pytest.fixture
def layouts(tmp_path: Path) -> tuple[Path, ...]:
    return tuple(layout(tmp_path / name, name, size=SIZE) for name in ("amd64", "arm64"))


class Hand:
    """Pushes to a port of the loopback as `team/base:1`."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._store = Store(folder / "store")
        self._sandbox = sandbox

    def __call__(
        self, port: int, layouts: tuple[Path, ...], *, plain_http: bool = True, seconds: float = 60.0, dry: bool = False
    ) -> Pushed:
        reference = parse_reference(f"127.0.0.1:{port}/team/base:1", tag="none")
        return push(
            Push(reference, layouts, seconds=seconds, plain_http=plain_http),
            store=self._store,
            sandbox=self._sandbox,
            progress=SILENT,
            environ={},
            home=self.home,
            dry_run=dry,
        )


@pytest.fixture
def send(tmp_path: Path, tools_sandbox: Sandbox) -> Hand:
    return Hand(tmp_path, tools_sandbox)


def test_two_architectures_arrive_as_one_index(server: Registry, layouts: tuple[Path, ...], send: Hand) -> None:
    assert send(server.port, layouts, dry=True).files == 6
    assert server.tags("team/base") == [], "a dry run sends nothing"
    done = send(server.port, layouts)
    assert done.platforms == ("linux/amd64", "linux/arm64")
    assert server.digest("team/base", "1") == done.digest
    index = server.manifest("team/base", "1")
    digests = [one["digest"] for one in index["manifests"]]
    assert digests == [read_layout(folder)[0].manifest.digest for folder in layouts]
    for digest in digests:
        assert server.manifest("team/base", digest)["layers"]
    assert send(server.port, layouts) == done, "a second time it is there already"


def test_one_architecture_is_no_index(server: Registry, layouts: tuple[Path, ...], send: Hand) -> None:
    done = send(server.port, layouts[:1])
    assert done.digest == read_layout(layouts[0])[0].manifest.digest
    assert "layers" in server.manifest("team/base", "1")


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_wire_that_breaks_leaves_no_half_tag(
    server: Registry, wire: Wire, layouts: tuple[Path, ...], send: Hand, share: float
) -> None:
    wire.cut_after(int(2 * SIZE * share))
    with pytest.raises(WorldError) as raised:
        send(wire.port, layouts)
    assert "the tag is still where it was" in (raised.value.resolution or "")
    assert raised.value.details
    assert server.tags("team/base") == []
    wire.mend()
    done = send(wire.port, layouts)
    assert server.digest("team/base", "1") == done.digest
    if share > 0.5:
        assert wire.sent < 1.5 * SIZE, "the layer that had arrived is not sent again"


def test_a_tag_that_was_there_stays_whole(
    server: Registry, wire: Wire, layouts: tuple[Path, ...], send: Hand, tmp_path: Path
) -> None:
    before = send(server.port, layouts)
    newer = tuple(layout(tmp_path / f"new-{name}", name, size=SIZE, seed=2) for name in ("amd64", "arm64"))
    wire.cut_after(SIZE)
    with pytest.raises(WorldError):
        send(wire.port, newer)
    assert server.digest("team/base", "1") == before.digest
    wire.mend()
    assert server.digest("team/base", "1") != send(wire.port, newer).digest or server.tags("team/base") == ["1"]
    assert server.digest("team/base", "1") == send(server.port, newer, dry=True).digest


def test_a_registry_that_dies_is_said_and_the_push_goes_on_later(
    server: Registry, layouts: tuple[Path, ...], send: Hand
) -> None:
    server.kill()
    with pytest.raises(WorldError, match="cannot be reached"):
        send(server.port, layouts)
    server.start()
    assert send(server.port, layouts).digest == server.digest("team/base", "1")


def test_a_registry_that_is_slow_is_given_up(wire: Wire, layouts: tuple[Path, ...], send: Hand) -> None:
    wire.stall()
    with pytest.raises(WorldError, match="too slow") as raised:
        send(wire.port, layouts, seconds=3)
    assert "--timeout" in (raised.value.resolution or "")


def test_plain_http_must_be_asked_for(server: Registry, layouts: tuple[Path, ...], send: Hand) -> None:
    with pytest.raises(WorldError, match="speaks no TLS") as raised:
        send(server.port, layouts, plain_http=False)
    assert "--plain-http" in (raised.value.resolution or "")


def test_who_has_not_logged_in_is_refused(tmp_path: Path, layouts: tuple[Path, ...], send: Hand) -> None:
    with registry(tmp_path / "closed", closed=True) as server:
        with pytest.raises(WorldError, match="refuses who pushes"):
            send(server.port, layouts)
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        auth = send.home / ".docker/config.json"
        auth.parent.mkdir()
        auth.write_text(json.dumps({"auths": {f"127.0.0.1:{server.port}": {"auth": secret}}}))
        send(server.port, layouts)


def test_the_command_builds_and_pushes(lab: Lab, server: Registry) -> None:
    target = f"127.0.0.1:{server.port}/zaffre/static"
    done = lab.json("push", "distroless-static", target, "--plain-http", "--out", str(lab.out))
    assert server.digest("zaffre/static", done["reference"].rpartition(":")[2]) == done["digest"]
    assert done["platforms"] == ["linux/amd64", "linux/arm64"]


def test_a_host_is_no_container_image(lab: Lab) -> None:
    done = lab.zaffre("push", "container-host", "registry.example/host", "--json", check=False)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["brief"] == "'container-host' is a host, and registries take container images"
