# SPDX-License-Identifier: Apache-2.0
"""Where archives are looked for, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.upstreams import said
from zaffre.errors import DefinitionError, WorldError
from zaffre.upstream.mirrors import Mirrors, find_mirrors, shown_url

ARCHIVES = {"debian": "debian", "debian-security": "debian-security"}


class Place:
    """A machine's configuration, as far as mirrors go."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config"
        self.apt = folder / "apt"
        (self.config / "zaffre").mkdir(parents=True)
        (self.apt / "sources.list.d").mkdir(parents=True)
        self.environ: dict[str, str] = {}

    def toml(self, text: str) -> None:
        (self.config / "zaffre" / "mirrors.toml").write_text(text)

    def source(self, name: str, text: str) -> None:
        (self.apt / name).write_text(text)

    def find(self, *explicit: str) -> Mirrors:
        return find_mirrors(ARCHIVES, explicit=explicit, environ=self.environ, config_home=self.config, apt=self.apt)

    def urls(self, archive: str, *explicit: str) -> list[str]:
        return [source.url for source in self.find(*explicit).sources(archive)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_levels_in_order_and_the_first_decides(place: Place) -> None:
    place.source("sources.list", "deb http://apt.example/debian bookworm main\n")
    assert place.urls("debian") == ["http://apt.example/debian"]
    place.toml('[[mirror]]\narchive = "debian"\nurl = "http://config.example/d"\n')
    assert place.urls("debian") == ["http://config.example/d"]
    place.environ["ZAFFRE_MIRROR"] = "http://env.example/debian"
    assert place.urls("debian") == ["http://env.example/debian"]
    assert place.urls("debian", "http://cli.example/debian") == ["http://cli.example/debian"]


def test_several_at_one_level_are_tried_in_order(place: Place) -> None:
    place.environ["ZAFFRE_MIRROR"] = "http://a.example/debian, http://b.example/debian"
    assert place.urls("debian") == ["http://a.example/debian", "http://b.example/debian"]


def test_a_url_serves_the_neighbours_but_does_not_keep_others_out(place: Place) -> None:
    place.source("sources.list", "deb http://apt.example/debian-security bookworm-security main\n")
    assert place.urls("debian-security", "http://cli.example/linux/debian/") == [
        "http://cli.example/linux/debian-security",
        "http://apt.example/debian-security",
    ]


def test_a_url_of_no_archive_is_the_directory_of_all(place: Place) -> None:
    assert place.urls("debian-security", "http://127.0.0.1:8000") == ["http://127.0.0.1:8000/debian-security"]


def test_one_archive_alone(place: Place) -> None:
    place.source("sources.list", "deb http://apt.example/debian stable main\n")
    found = place.find("debian-security=https://cli.example/sec")
    assert [one.url for one in found.sources("debian-security")] == ["https://cli.example/sec"]
    assert [one.url for one in found.sources("debian")] == ["http://apt.example/debian"]


def test_apt_sources_of_both_forms(place: Place) -> None:
    place.source(
        "sources.list",
        "# deb http://commented.example/debian x main\n"
        "deb-src http://source.example/debian x main\n"
        "deb [arch=amd64 signed-by=/x.gpg] http://one.example/mirror/debian/ bookworm main contrib\n"
        "deb cdrom:[Debian]/ bookworm main\n"
        "deb http://other.example/not-debian-at-all stable main\n",
    )
    place.source(
        "sources.list.d/deb822.sources",
        "Types: deb deb-src\nURIs: http://two.example/debian http://three.example/debian-security\n"
        "Suites: bookworm\nComponents: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: x\n",
    )
    place.source("sources.list.d/README.txt", "deb http://readme.example/debian x main\n")
    place.source("sources.list.d/broken.sources", "what is this\n")
    assert place.urls("debian") == ["http://one.example/mirror/debian", "http://two.example/debian"]
    assert place.urls("debian-security") == ["http://three.example/debian-security"]


def test_a_snapshot_service_stands_last_and_needs_a_time(place: Place) -> None:
    place.source("sources.list", "deb http://apt.example/debian stable main\n")
    place.toml('[[mirror]]\narchive = "debian"\nsnapshot = true\nurl = "https://old.example/debian/{timestamp}"\n')
    found = place.find()
    assert [one.url for one in found.sources("debian")] == ["http://apt.example/debian"]
    turned = found.at(datetime(2026, 11, 22, 9, 47, 27, tzinfo=UTC))
    assert [one.url for one in turned.sources("debian")] == [
        "http://apt.example/debian",
        "https://old.example/debian/20261122T094727Z",
    ]
    assert len(place.find("http://cli.example/debian").at(datetime.now(UTC)).sources("debian")) == 1


def test_a_mirror_of_the_file_without_archive_serves_all(place: Place) -> None:
    place.toml('[[mirror]]\nurl = "http://all.example"\n')
    assert place.urls("debian") == ["http://all.example/debian"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ftp://x.example/debian", "'ftp://x.example/debian' is not the URL of a mirror"),
        ("x.example/debian", "is not the URL of a mirror"),
        ("http://x.example:port/debian", "is not the URL of a mirror"),
        ("ubuntu=http://x.example/ubuntu", "there is no archive 'ubuntu'"),
    ],
)
def test_values_that_are_no_mirror(place: Place, value: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        place.find(value)
    assert message in said(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[mirror]\n", "this is not TOML"),
        ('[mirrors]\nurl = "x"\n', "only [[mirror]] tables belong here, not mirrors"),
        ('[[mirror]]\nuri = "http://x.example"\n', "mirror[0]: a mirror has the keys archive, url"),
        ('[[mirror]]\narchive = "debian"\nurl = 3\n', "archive and url are strings"),
        ('[[mirror]]\narchive = "debian"\nurl = "http://x.example/{timestamp}"\n', "snapshot = true and {timestamp}"),
        ('[[mirror]]\narchive = "debian"\nurl = "/srv/mirror"\n', "is not the URL of a mirror"),
    ],
)
def test_mistakes_in_the_file(place: Place, text: str, message: str) -> None:
    place.toml(text)
    with pytest.raises(DefinitionError) as caught:
        place.find()
    text = said(caught.value)
    assert message in text
    assert "mirrors.toml" in text


def test_none_at_all(place: Place) -> None:
    with pytest.raises(WorldError) as caught:
        place.find().sources("debian")
    assert "no mirror is known for the archive 'debian'" in said(caught.value)


@pytest.mark.parametrize("value", ["ubuntu=https://me:pass@x.example/ubuntu", "debian=https://me:pass@ x"])
def test_a_wrong_archive_does_not_give_the_password_away(place: Place, value: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        place.find(value)
    assert "pass" not in said(caught.value)


def test_a_mistake_in_the_file_does_not_give_the_password_away(place: Place) -> None:
    place.toml('[[mirror]]\nurl = "https://me:pass@x.example"\nsnapshots = true\n')
    with pytest.raises(DefinitionError) as caught:
        place.find()
    assert "snapshots" in said(caught.value)
    assert "pass" not in said(caught.value)


def test_urls_are_shown_without_secrets() -> None:
    assert shown_url("https://me:pass@mirror.example:8443/debian?token=1") == "https://mirror.example:8443/debian"
    with pytest.raises(DefinitionError) as caught:
        find_mirrors(ARCHIVES, explicit=["ftp://me:pass@x"], environ={}, config_home=Path("/x"), apt=Path("/x"))
    assert "pass" not in said(caught.value)
