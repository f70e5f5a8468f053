# SPDX-License-Identifier: Apache-2.0
"""`zaffre release`, as it is typed: from the keys to a channel that is verified elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.releases import SECRET, leave_check, make_build, neighbour
from support.shell import Shell
from zaffre.definition import reference_root
from zaffre.trust import Keys
from zaffre.trust.generate import init_keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("whole") / "keys", owner="Tiny", now=datetime.now(UTC))


@pytest.fixture
def run(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Shell]:
    """Runs a command of the group, which must end well, in a folder of its own."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZAFFRE_RELEASE_KEYS", str(tmp_path / "signers"))
    monkeypatch.setenv("ZAFFRE_RELEASE_PASSPHRASE_FILE", str(secret))
    monkeypatch.setenv("ZAFFRE_KEYS", str(keys.directory))
    monkeypatch.setenv("ZAFFRE_DISTRO", str(reference_root()))
    shell = Shell(capsys)

    def command(*words: object, code: int = 0) -> Shell:
        assert shell("release", *words) == code, shell.out + shell.err
        return shell

    return command


def release(tmp_path: Path, keys: Keys, version: str) -> Path:
    folder = make_build(tmp_path / "out", keys, version, image="container-host")
    leave_check(folder, keys)
    return folder


def test_from_keys_to_a_stable_channel(run: Callable[..., Shell], tmp_path: Path, keys: Keys) -> None:
    made = run("keys", "init")
    assert "root-3" in made.out
    assert "somebody else" not in run("keys", "list").out
    run("init", "repo")
    assert (tmp_path / "signers/root.json").read_bytes() == (tmp_path / "repo/metadata/1.root.json").read_bytes()
    assert "no release is published yet" in run("list", "repo").out
    run("init", "short", "--days", "channel=20", "--root", "short.json")
    assert "ends soon" in run("list", "short", "--root", "short.json").out
    assert "'dev' is good until" in run("refresh", "short", "--root", "short.json").err

    build = release(tmp_path, keys, "1.1")
    assert "all 1 lines held" in run("create", build, "--notes", "the first one").out
    dry = run("publish", build, "repo", "--dry-run").out
    assert "would bring 7 files" in dry
    assert "no release is published yet" in run("list", "repo").out
    assert "published: state 2" in run("publish", build, "repo").out
    run("promote", "repo", "stable", "--begin", "2026-01-01T00:00Z")
    listed = run("list", "repo").out
    assert "100.0%" in listed
    assert "2 of root-1" in listed
    shown = run("show", "repo", "stable").out
    assert "the first one" in shown
    assert "pool/" in shown

    second = release(tmp_path, keys, "1.2")
    run("create", second, "--floor", "1.1")
    run("publish", second, "repo", "--waves", "urgent")
    waits = run("decide", "repo", "dev", "1.1", "--node", "8f3a", "--image", "container-host")
    assert "does         wait" in waits.out
    assert "by the schedule 'urgent'" in waits.out
    ready = run("decide", "repo", "dev", "1.1", "--node", "8f3a", "--at", "2099-01-01T00:00Z", "--json")
    assert [json.loads(ready.out)[key] for key in ("act", "version")] == ["stage", "1.2"]
    sooner = run("decide", "repo", "dev", "1.0", "--node", "8f3a", "--at", "2099-01-01T00:00Z")
    assert "stage 1.1" in sooner.out
    for words, code in (
        (("--window", "2-4"), 2),
        (("--image", "server"), 2),
        (("--failed", "../1"), 2),
        (("--failed", "1.2"), 0),
    ):
        run("decide", "repo", "dev", "1.1", "--node", "8f3a", *words, code=code)
    run("pause", "repo", "dev", "1.2")
    assert "paused" in run("list", "repo").out
    assert "is paused" in run("decide", "repo", "dev", "1.1", "--node", "8f3a").out
    run("resume", "repo", "dev", "1.2")
    run("revoke", "repo", "1.2", "--reason", "does not start with two network cards")
    assert "REVOKED" in run("show", "repo", "dev", "1.2").out
    assert "offered" in run("list", "repo").out

    run("refresh", "repo")
    run("refresh", "repo", "--role", "stable")
    run("gc", "repo", "--keep", "1", "--dry-run")
    run("keys", "new", "timestamp-2")
    run("keys", "rotate", "repo", "timestamp", "--remove", "timestamp", "--add", "timestamp-2")
    assert (tmp_path / "signers/root.json").read_bytes() == (tmp_path / "repo/metadata/2.root.json").read_bytes()

    assert "every role can get other keys" in run("keys", "rehearse", "repo", "--lose", "stable").out
    assert "NO" in run("keys", "rehearse", "repo", "--lose", "root-1", "--lose", "root-2", code=1).out
    shutil.copytree(tmp_path / "repo", tmp_path / "mirror")
    told = run("verify", "mirror", "--root", "repo/metadata/1.root.json", "--memory", "seen")
    assert "whole, fresh and complete" in told.out
    run("refresh", "repo")
    run("verify", "repo", "--memory", "seen")
    assert "an older state is shown" in run("verify", "mirror", "--memory", "seen", code=1).out
    (erofs, *_) = (tmp_path / "mirror").rglob("*.root.erofs")
    erofs.unlink()
    assert "it is missing" in run("verify", "mirror", code=1).out


def test_deltas_are_made_and_told(run: Callable[..., Shell], tmp_path: Path, keys: Keys) -> None:
    def create(version: str) -> Path:
        folder = make_build(tmp_path / "out", keys, version, image="container-host", contents=neighbour(version))
        leave_check(folder, keys)
        run("create", folder)
        return folder

    run("keys", "init")
    run("init", "repo")
    run("publish", create("1.1"), "repo")
    run("promote", "repo", "stable")
    second = create("1.2")
    assert "would bring 7 files" in run("publish", second, "repo", "--dry-run", "--deltas", "0").out
    assert "would bring 10 files" in run("publish", second, "repo", "--dry-run").out
    run("publish", second, "repo")
    shown = run("show", "repo", "dev").out
    assert "root.erofs from 1.1" in shown
    told = json.loads(run("show", "repo", "dev", "--json").out)
    assert [(one["file"], one["source"]) for one in told["deltas"]] == [
        (name, "1.1") for name in ("root.erofs", "root.verity", "uki.efi")
    ]
    assert told["version"] == "1.2"
    run("promote", "repo", "stable", "--deltas", "0")
    assert "from 1.1" not in run("show", "repo", "stable").out
    third = create("1.3")
    run("publish", third, "repo", "--deltas", "1")
    run("promote", "repo", "stable")
    for channel, sources in {"dev": {"1.2"}, "stable": {"1.1", "1.2"}}.items():
        told = json.loads(run("show", "repo", channel, "--json").out)
        assert {one["source"] for one in told["deltas"]} == sources
    assert "already" in run("publish", third, "repo").out
    assert run("verify", "repo").out.count("releases: 3, deltas: 6") == 2


def test_root_keys_on_a_stick(run: Callable[..., Shell], tmp_path: Path) -> None:
    run("keys", "init", "--roots", "2", "--channel", "dev")
    (tmp_path / "stick").mkdir(mode=0o700)
    for name in ("root-1", "root-2"):
        (tmp_path / f"signers/{name}.key").rename(tmp_path / f"stick/{name}.key")
        shutil.copy(tmp_path / f"signers/{name}.pub", tmp_path / "stick")
    waits = run("init", "repo", "--channel", "dev", "--days", "timestamp=1").out
    assert "signatures missing: root: 2 more of root-1" in waits
    assert "it waits in release-pending" in waits
    assert "signatures are missing" in run("submit", "repo", code=1).err
    told = run("sign", "release-pending", "--dry-run").out
    assert "root is signed by 2 of root-1" in told
    assert "dev is signed by 1 of dev" in told
    assert "no release" in told
    assert "signed by root-1, root-2" not in told
    signed = run("sign", "release-pending", "--signers", "stick").out
    assert "root: signed by root-1, root-2" in signed
    run("submit", "repo")
    assert run("verify", "repo").out.count("ok ") == 7
    assert not (tmp_path / "release-pending").exists()


def test_keys_are_not_made_where_they_would_be_published(run: Callable[..., Shell], tmp_path: Path) -> None:
    (tmp_path / "tree/.git").mkdir(parents=True)
    shell = run("keys", "new", "one", "--signers", "tree/keys", code=2)
    assert "git work tree" in shell.err
    assert not (tmp_path / "tree/keys").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("list", "nothing"), 2, "no root of trust"),
        (("keys", "list", "--signers", "nowhere"), 2, "no keys here"),
        (("init", "repo", "--days", "x"), 2, "no keys here"),
        (("create", "."), 2, "this is not a build"),
        (("publish", ".", "repo", "--waves", "fast"), 2, "fast"),
        (("publish", ".", "repo", "--begin", "tomorrow"), 2, "2026-12-01T02:00Z"),
        (("sign", "."), 2, "no change waits"),
        (("submit", "repo"), 2, "no change waits"),
        (("init", "http://example/repo"), 2, ""),
    ],
)
def test_what_is_wrong_is_said(run: Callable[..., Shell], words: tuple[str, ...], code: int, said: str) -> None:
    shell = run(*words, code=code)
    assert said in shell.err
    assert "bug in Zaffre" not in shell.err
