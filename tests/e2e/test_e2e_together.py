# SPDX-License-Identifier: Apache-2.0
"""Several builds at once on one store."""

from __future__ import annotations

from pathlib import Path

from support.own import variant
from support.program import Place, leftovers, promised

IMAGE = "container-host"


def test_builds_of_the_same_at_once(own: Place, tmp_path: Path) -> None:
    """Two into one folder and one into another: each step is done once, and all have the same to show."""
    place = variant(own, tmp_path / "same")
    file = place.distro / "files/container-host/usr/lib/zaffre-e2e/together"
    file.parent.mkdir(parents=True)
    file.write_text("so that nobody has built it before\n")
    elsewhere = place.at(out=tmp_path / "elsewhere")
    with place.start_build(IMAGE) as one, place.start_build(IMAGE) as two, elsewhere.start_build(IMAGE) as three:
        done = [run.end() for run in (one, two, three)]
    assert [one.code for one in done] == [0, 0, 0], done
    folders = [Path(one.json["directory"]) for one in done]
    assert folders[0] == folders[1] != folders[2]
    assert promised(folders[0]) == promised(folders[2])
    roots = [step for one in done for step in one.json["manifest"]["build"]["steps"] if step["name"] == "root"]
    assert sorted(step["cached"] for step in roots) == [False, True, True]
    assert any("waiting for another build that works on root container-host" in one.err for one in done)
    for folder in {*folders}:
        assert "everything holds" in place.run("verify", str(folder)).out
    assert list(leftovers(place)) == list(leftovers(elsewhere)) == []


def test_builds_of_different_things_at_once(own: Place, tmp_path: Path) -> None:
    places = [variant(own, tmp_path / name) for name in ("one", "two")]
    for place in places:
        name = place.distro.parent.name
        (place.distro / "files/container-host/etc/name").write_text(f"{name}\n")
    with (
        places[0].start_build(IMAGE) as one,
        places[1].start_build(IMAGE) as two,
        own.start("lock", "--check") as three,
    ):
        done = [run.end() for run in (one, two, three)]
    assert [one.code for one in done] == [0, 0, 0], done
    manifests = [one.json["manifest"] for one in done[:2]]
    assert manifests[0]["root_hash"] != manifests[1]["root_hash"]
    assert manifests[0]["lock"] == manifests[1]["lock"]
