# SPDX-License-Identifier: Apache-2.0
"""The database that dpkg is handed: what it would have written, by its own formats."""

from __future__ import annotations

from dataclasses import replace

from debs import index, member

from zaffre.tree.deb.dpkgdb import PROVIDES, database, without_package
from zaffre.tree.deb.merge import merge
from zaffre.tree.policy import STRIP_ALL


def files(*packages, provides: tuple[str, ...] = ()) -> dict[str, tuple[int, str]]:
    plan = merge(packages, architecture="amd64", setuid=STRIP_ALL)
    made = database(packages, plan, provides=provides, architecture="amd64")
    return {file.path: (file.mode, file.content.decode()) for file in made}


def test_a_package_of_several_architectures_is_filed_under_both_names() -> None:
    made = files(
        index("tool", member("usr/bin/tool"), files={"postinst": "#!/bin/sh\n", "md5sums": "x"}),
        index("lib", member("usr/lib/lib.so"), Multi_Arch="same"),
    )
    assert made["info/tool.list"] == (0o644, "/.\n/usr/bin/tool\n")
    assert made["info/lib:amd64.list"] == (0o644, "/.\n/usr/lib/lib.so\n")
    assert made["info/tool.postinst"][1] == "#!/bin/sh\n"
    assert made["info/format"][1] == "1\n"
    assert made["arch"][1] == "amd64\n"
    status = made["status"][1]
    assert status.count("Status: install ok unpacked\n") == 2
    assert status.index("Package: lib\n") < status.index("Package: tool\n")


def test_configuration_files_are_in_the_status_with_their_sums() -> None:
    package = replace(index("tool"), conffiles=(("/etc/tool.conf", "d41d8cd98f00b204e9800998ecf8427e"),))
    assert "Conffiles:\n /etc/tool.conf d41d8cd98f00b204e9800998ecf8427e\n" in files(package)["status"][1]


def test_interests_are_filed_by_path_and_by_name() -> None:
    triggers = (
        "# a comment\ninterest /usr/share/one\ninterest-noawait /usr/share/two\n"
        "interest-await named\ninterest-noawait named # why\nactivate-noawait ldconfig\ninterest ../../etc/passwd\n"
    )
    declared = {"triggers": triggers}
    made = files(index("tool", files=declared), index("lib", files=declared, Multi_Arch="same"))
    assert made["triggers/File"][1] == (
        "/usr/share/one tool\n/usr/share/two tool/noawait\n/usr/share/one lib:amd64\n/usr/share/two lib:amd64/noawait\n"
    )
    assert made["triggers/named"][1] == "tool\ntool/noawait\nlib:amd64\nlib:amd64/noawait\n"
    assert {path for path in made if path.startswith("triggers/")} == {
        "triggers/File",
        "triggers/named",
        "triggers/Unincorp",
        "triggers/Lock",
    }


def test_what_the_image_provides_is_a_package_until_it_is_removed() -> None:
    status = files(index("tool"), provides=("linux-initramfs-tool", "runc (= 1.3)"))["status"][1]
    assert "Status: install ok installed\n" in status
    assert "Provides: linux-initramfs-tool, runc (= 1.3)\n" in status
    assert PROVIDES not in without_package(status, PROVIDES)
    assert without_package(status, PROVIDES).startswith("Package: tool\n")
