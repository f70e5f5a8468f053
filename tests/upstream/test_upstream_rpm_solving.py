# SPDX-License-Identifier: Apache-2.0
"""libsolv as the solver, over a repository whose packages rpmbuild made."""

from __future__ import annotations

import re

import pytest

from support.repository import Mirror
from support.rpm_shop import PLACE, RpmShop
from support.upstreams import said
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.sandbox import Sandbox
from zaffre.upstream.solving import SetRequest, Solution

pytestmark = pytest.mark.tools


def versions(solution: Solution) -> dict[str, str]:
    return {one.name: one.version for one in solution.packages}


def refused(shop: RpmShop, *packages: str, **more: object) -> str:
    with pytest.raises(DefinitionError) as caught:
        shop.solve(*packages, **more)  # type: ignore[arg-type]
    return said(caught.value)


def test_dependencies_files_and_the_newest_versions(rpm_place: RpmShop) -> None:
    solution = rpm_place.solve("app")
    assert versions(solution) == {"app": "1.1-1", "libgreet": "1:2.2-1", "tool": "1.0-1"}
    assert solution.released == ()


def test_what_the_lock_keeps_of_a_package(rpm_place: RpmShop) -> None:
    packages = {one.name: one for one in rpm_place.solve("app").packages}
    library = packages["libgreet"]
    assert (library.architecture, library.source, library.source_version) == ("all", "greet", "2.2-1")
    assert (library.archive, library.suite) == ("rpms", PLACE)
    assert packages["app"].architecture == "amd64"
    data = rpm_place.repository.archive.files[library.path]
    assert library.size == len(data)
    assert library.path == f"{PLACE}/Packages/libgreet-2.2-1.noarch.rpm"


def test_recommends_only_when_they_are_asked_for(rpm_place: RpmShop) -> None:
    assert "nice" not in versions(rpm_place.solve("app"))
    assert "nice" in versions(rpm_place.solve("app", recommends=True))


def test_rich_dependencies(rpm_place: RpmShop) -> None:
    assert versions(rpm_place.solve("rich")).keys() == {"rich", "other-way"}
    assert "plugin" in versions(rpm_place.solve("rich", "app"))


def test_names_of_files_are_fetched_when_nothing_else_helps(rpm_place: RpmShop) -> None:
    rpm_place.solve("app")
    assert not rpm_place.mirror.served("*filelists*")
    assert versions(rpm_place.solve("needs-deep")).keys() == {"needs-deep", "deep"}
    assert len(rpm_place.mirror.served("*filelists*")) == 1


def test_a_package_that_is_obsolete_gives_way_to_its_successor(rpm_place: RpmShop) -> None:
    assert versions(rpm_place.solve("former")).keys() == {"successor"}


def test_what_the_image_provides_by_itself(rpm_place: RpmShop) -> None:
    assert versions(rpm_place.solve("runs", provides=("runtime (= 1.3)",))).keys() == {"runs"}
    assert "needs runtime = 1.3, which no repository has" in refused(rpm_place, "runs", provides=("runtime (= 1.2)",))
    message = refused(rpm_place, "against", provides=("runtime",))
    assert "a package of 'test' conflicts with what the image provides by itself" in message


def test_what_is_provided_for_one_set_is_not_there_for_the_next(rpm_place: RpmShop) -> None:
    with rpm_place.look().solver(Sandbox(None), rpm_place.store) as solver:
        solver.solve(SetRequest("a", ("runs",), "amd64", provides=("runtime (= 1.3)",)))
        with pytest.raises(DefinitionError):
            solver.solve(SetRequest("b", ("runs",), "amd64"))
        assert versions(solver.solve(SetRequest("c", ("lone",), "amd64"))).keys() == {"lone"}


def test_kept_versions_stay_while_they_can(rpm_place: RpmShop) -> None:
    solution = rpm_place.solve("app", keep={"app": "1.0-1", "libgreet": "1:2.1-1"})
    assert versions(solution) == {"app": "1.0-1", "libgreet": "1:2.1-1", "tool": "1.0-1"}
    assert solution.released == ()


def test_a_kept_version_that_is_in_the_way_or_gone_is_released(rpm_place: RpmShop) -> None:
    solution = rpm_place.solve("app", "strict", keep={"app": "1.0-1", "libgreet": "1:2.1-1", "tool": "0.9-1"})
    assert versions(solution)["libgreet"] == "1:2.2-1"
    assert versions(solution)["app"] == "1.0-1"
    assert solution.released == ("libgreet", "tool")


def test_unknown_names_come_with_near_ones(rpm_place: RpmShop) -> None:
    message = refused(rpm_place, "libgret")
    assert "'libgret' is in no repository of the upstream for amd64" in message
    assert "did you mean 'libgreet'?" in message


def test_a_name_that_several_packages_provide(rpm_place: RpmShop) -> None:
    assert "'mail-server' is a virtual package, provided by mail-a, mail-b" in refused(rpm_place, "mail-server")
    assert versions(rpm_place.solve("only-one")).keys() == {"lone"}


def test_packages_that_exclude_each_other(rpm_place: RpmShop) -> None:
    message = refused(rpm_place, "mail-a", "mail-b")
    assert "cannot be installed together on amd64" in message
    assert "exclude each other" in message
    assert "libsolv's own words:" in message


def test_what_nobody_has(rpm_place: RpmShop) -> None:
    assert "needs-nowhere 1.0-1 needs /usr/share/nowhere, which no repository has" in refused(
        rpm_place, "needs-nowhere"
    )
    assert "needy 1.0-1 needs unobtainium >= 3, which no repository has" in refused(rpm_place, "needy")


def test_the_second_reading_is_libsolvs_own_form(rpm_place: RpmShop) -> None:
    first = rpm_place.solve("app")
    rpm_place.mirror.requests.clear()
    assert rpm_place.solve("app") == first
    assert [request.path for request in rpm_place.mirror.requests] == [
        f"rpms/{PLACE}/repodata/repomd.xml",
        f"rpms/{PLACE}/repodata/repomd.xml.asc",
    ]


def test_what_rots_in_the_store_is_read_anew(rpm_place: RpmShop) -> None:
    first = rpm_place.solve("app")
    blobs = [path for path in (rpm_place.root / "store/blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 3  # repomd.xml, primary.xml.gz and libsolv's form of it
    for path in blobs:
        path.chmod(0o644)
        data = path.read_bytes()
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert rpm_place.solve("app") == first


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('href="Packages/tool', 'href="../../../../etc/tool', "a path below the root of the archive, without '..'"),
        ('href="Packages/tool', 'href="/etc/tool', "a path below the root of the archive"),
        ('<location href="Packages/tool', '<location xml:base="http://x/" href="Packages/tool', "at another place"),
        (
            r'<checksum type="sha256"( pkgid="YES")?>[0-9a-f]{24}',
            r'<checksum type="sha1"\1>',
            "its metadata has no SHA-256",
        ),
    ],
)
def test_metadata_that_points_elsewhere(rpm_place: RpmShop, old: str, new: str, words: str) -> None:
    """Signed, and yet not to be believed."""

    def edit(text: bytes) -> bytes:
        changed, count = re.subn(old, new, text.decode())
        assert count
        return changed.encode()

    rpm_place.repository.publish([rpm_place.key], edit={"primary": edit})
    with pytest.raises(IntegrityError) as caught:
        rpm_place.solve("tool")
    assert words in said(caught.value)


def test_many_sets_of_one_repository_ask_the_network_once(rpm_place: RpmShop, monkeypatch: pytest.MonkeyPatch) -> None:
    with rpm_place.look().solver(Sandbox(None), rpm_place.store) as solver:
        solver.solve(SetRequest("warm", ("app",), "amd64"))
        monkeypatch.setattr(Mirror, "find", None)  # no set asks the network again
        for _ in range(20):
            solver.solve(SetRequest("again", ("app", "rich"), "amd64"))
