# SPDX-License-Identifier: Apache-2.0
"""Extensions are released as hosts are: checked, sealed, in a channel; and what a host would refuse is not released."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.releases import EXTENSION, Yard, extension_of, leave_check, make_extension, sign_build
from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.follow.layout import release_path
from zaffre.machine.report import Verdict
from zaffre.offer import Record
from zaffre.release.collect import Rule, collect
from zaffre.release.overview import overview, shown
from zaffre.release.selection import offers


def test_an_extension_is_published_promoted_revoked_and_dropped_beside_its_host(yard: Yard) -> None:
    yard.publish("1.1")
    yard.publish_extension("site", "1.1", kind="confext")
    yard.publish_extension("site", "1.2", kind="confext", floor="1.1")
    signed = yard.node().channel("dev")
    record = Record.model_validate(signed.targets[release_path("dev", "site-amd64", "1.2")].custom)
    assert (record.kind, record.product, record.root_hash, record.floor) == ("confext", "site-amd64", None, "1.1")
    assert sorted(record.files) == ["check.json", EXTENSION, "manifest.json.sig"]
    into = yard.root / "fetched"
    yard.node().fetch(signed.targets[record.files[EXTENSION]], into)
    assert into.read_bytes() == extension_of("1.2")
    assert Record.model_validate(signed.targets[release_path("dev", "host-amd64", "1.1")].custom).kind == "host"

    listed = [(one.image, one.kind, one.version) for one in overview(yard.state(), yard.clock).releases]
    assert listed == [("site", "confext", "1.2"), ("site", "confext", "1.1"), ("host", "host", "1.1")]
    assert shown(yard.state(), "dev", record).sizes[EXTENSION] == len(extension_of("1.2"))
    with pytest.raises(DefinitionError, match="has several: host-amd64, site-amd64"):
        offers(yard.state(), "dev", None, None)
    assert [one.product for one in offers(yard.state(), "dev", None, None, hosts=True)] == ["host-amd64"]
    with pytest.raises(FindingError, match=r"is not newer than 1\.2"):
        yard.publish_extension("site", "1.0", kind="confext")
    yard.revoke("1.2", "site-amd64")
    assert yard.records()["1.1"].revoked is None
    assert yard.state().records("dev")[release_path("dev", "site-amd64", "1.2")].revoked is not None
    yard.publish_extension("site", "1.3", kind="confext")
    yard.later(days=60)
    done = collect(yard.desk(), Rule(keep=1, age=timedelta(days=1)), dry_run=False)
    assert release_path("dev", "site-amd64", "1.1") in done.dropped["dev"]
    assert yard.verify().ok


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (extension_of("1.1", sealed=False), "not sealed by your verity key"),
        (b"no image at all", "not sealed by your verity key"),
    ],
)
def test_one_that_no_host_would_take_is_refused_with_the_reason(yard: Yard, content: bytes, words: str) -> None:
    with pytest.raises(IntegrityError, match=words) as told:
        yard.publish_extension("site", "1.1", content=content)
    assert told.value.details == "its root hash is not signed by the verity key"
    assert not yard.state().records("dev")


def test_without_a_check_that_holds_there_is_no_release(yard: Yard) -> None:
    build = make_extension(yard.root / "out", yard.owner, "site", "1.1")
    with pytest.raises(FindingError, match="this build was not checked"):
        yard.create(build)
    leave_check(build, yard.owner, [Verdict.PASSED, Verdict.FAILED])
    with pytest.raises(FindingError, match="did not pass its check"):
        yard.create(build)
    leave_check(build, yard.owner)
    yard.create(build)
    (build / EXTENSION).write_bytes(extension_of("1.2"))
    with pytest.raises(IntegrityError, match="not the one that its manifest names"):
        yard.create(build)


def test_a_build_without_its_extension_is_none(yard: Yard) -> None:
    build = make_extension(yard.root / "out", yard.owner, "site", "1.1")
    (build / EXTENSION).rename(build / "other.raw")
    sign_build(build, yard.owner, image="site", version="1.1", kind="sysext", root_hash=None)
    leave_check(build, yard.owner)
    with pytest.raises(DefinitionError, match=r"lacks extension\.raw"):
        yard.create(build)
