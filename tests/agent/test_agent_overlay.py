# SPDX-License-Identifier: Apache-2.0
"""The real systemd's order of folders, on which trials stand; and what it says, in words that the agent understands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zaffre.agent.commands import Done
from zaffre.agent.home import FOLDER, Home
from zaffre.agent.overlay import TRYING, Systemd, forget, keep, laid_over, lay_passing, take_passing
from zaffre.agent.remembered import Shelf
from zaffre.definition import reference_root
from zaffre.errors import DefinitionError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.slots import SIGNED_ONLY


@pytest.mark.tools
@pytest.mark.parametrize("kind", ["sysext", "confext"])
def test_what_is_tried_in_run_goes_before_what_is_kept_in_var(
    tmp_path: Path, tools_sandbox: Sandbox, kind: str
) -> None:
    root = tmp_path / "root"
    host, trying = Systemd(root), root / "var/lib/trying/site.raw"
    trying.parent.mkdir(parents=True)

    def listed() -> str | None:
        """Which file systemd takes for `site`."""
        host.passing(kind).mkdir(parents=True, exist_ok=True)
        done = tools_sandbox.run(
            [f"systemd-{kind}", "--json=short", "list"],
            mounts=[Mount(root / "var", "/var"), Mount(host.passing(kind), f"/run/{host.passing(kind).name}")],
            timeout=60,
        )
        found = {one["name"]: one["path"] for one in json.loads(done.stdout or b"[]")}
        return found.get("site")

    trying.write_bytes(b"1")
    keep(host, kind, "site", trying)
    kept = f"/var/lib/{host.kept(kind).name}/site.raw"
    assert (listed(), host.kept(kind).joinpath("site.raw").read_bytes()) == (kept, b"1")
    lay_passing(host, kind, "site", Path("/var/lib/trying/site.raw"))
    assert listed() == f"/run/{host.passing(kind).name}/site.raw"
    trying.unlink()
    assert listed() == kept, "a link that leads nowhere is none"
    assert take_passing(host, kind, "site")
    assert not take_passing(host, kind, "site")
    forget(host, kind, "site")
    assert listed() is None


def test_a_file_that_somebody_else_laid_into_run_stays(tmp_path: Path) -> None:
    host = Systemd(tmp_path)
    host.passing("sysext").mkdir(parents=True)
    own = host.passing("sysext") / "check.raw"
    own.write_bytes(b"somebody's")
    assert not take_passing(host, "sysext", "check")
    assert own.exists()


def test_a_copy_that_fails_leaves_what_was_kept(tmp_path: Path) -> None:
    host = Systemd(tmp_path)
    good = tmp_path / "good.raw"
    good.write_bytes(b"good")
    keep(host, "sysext", "site", good)
    with pytest.raises(OSError, match="Is a directory"):
        keep(host, "sysext", "site", tmp_path)
    assert {path.name: path.read_bytes() for path in host.kept("sysext").iterdir()} == {"site.raw": b"good"}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ('[{"hierarchy":"/opt","extensions":"none"},{"hierarchy":"/usr","extensions":["a","b"]}]', ["a", "b"]),
        ("", []),
        ("[]", []),
    ],
)
def test_what_systemd_says_is_laid_over(said: str, found: list[str]) -> None:
    assert [name for _, name in laid_over(Done("systemd-sysext status", 0, said, ""))] == found


@pytest.mark.parametrize("said", ["no JSON", '{"hierarchy":"/usr"}', '[{"extensions":["a"]}]'])
def test_what_it_says_otherwise_is_not_taken_for_an_answer(said: str) -> None:
    with pytest.raises(ToolError, match="cannot be read"):
        laid_over(Done("systemd-sysext status", 0, said, ""))


def test_the_unit_that_tries_looks_where_an_extension_on_trial_lies_and_takes_none_that_is_unsigned() -> None:
    unit = (reference_root() / "files/agent/usr/lib/systemd/system/zaffre-agent-fit@.service").read_text()
    assert f"ExtensionImages={TRYING.format(name='%i')}\n" in unit
    assert f"ExtensionImagePolicy={SIGNED_ONLY}\n" in unit
    assert str(Shelf(Home(FOLDER).extensions).trying("my-site")) == TRYING.format(name="my-site")


def test_an_extension_that_lies_elsewhere_is_not_taken_for_one_that_the_host_refuses(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="only where the agent's units look for it"):
        Systemd(tmp_path).require_fit(Shelf(tmp_path).trying("site"))
