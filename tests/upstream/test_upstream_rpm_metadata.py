# SPDX-License-Identifier: Apache-2.0
"""Repositories of RPM packages: what is believed of them, and what each kind of bad one is told."""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.repository import NOW, Archive, Fault, Mirror, keyring, revoked, signing_key
from support.rpm_shop import PLACE, RpmShop
from support.rpms import metalink
from support.upstreams import said
from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox
from zaffre.upstream.rpm.index import Metadata
from zaffre.upstream.rpm.updateinfo import Fixed, advisories
from zaffre.upstream.solving import SetRequest

pytestmark = pytest.mark.tools

REPOMD = f"rpms/{PLACE}/repodata/repomd.xml"
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


def refused(shop: RpmShop, *urls: str, **more: object) -> str:
    """What is said when nothing of the repository is taken."""
    with pytest.raises(IntegrityError) as caught:
        shop.look(*urls, **more)  # type: ignore[arg-type]
    return said(caught.value)


def test_a_good_repository(rpm_place: RpmShop) -> None:
    (suite,) = rpm_place.look().suites
    assert suite.key == ("test", "rpms", PLACE)
    assert suite.release_sha256 == hashlib.sha256(rpm_place.repository.repomd).hexdigest()
    assert suite.date == NOW
    assert rpm_place.store.has(Sha256(suite.release_sha256))
    assert rpm_place.progress.said == []


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
def test_every_packing(rpm_place: RpmShop, suffix: str) -> None:
    rpm_place.repository.publish([rpm_place.key], suffix=suffix)
    assert len(rpm_place.solve("needs-deep").packages) == 2  # primary and filelists


def test_what_createrepo_itself_makes(rpm_place: RpmShop, tmp_path: Path) -> None:
    place = tmp_path / "repo"
    archive = rpm_place.repository.archive
    for path, data in list(archive.files.items()):
        if path.endswith(".rpm"):
            target = place / path.removeprefix(f"{PLACE}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    program = Path(sys.executable).with_name("createrepo_c")
    subprocess.run(
        [program, "--quiet", f"--revision={NOW.timestamp():.0f}", "--set-timestamp-to-revision", place],
        check=True,
        capture_output=True,
    )
    for file in (place / "repodata").iterdir():
        archive.files[f"{PLACE}/repodata/{file.name}"] = file.read_bytes()
    rpm_place.repository.sign((place / "repodata/repomd.xml").read_bytes(), [rpm_place.key])
    assert len(rpm_place.solve("needs-deep", "app").packages) == 5


def test_an_unsigned_repository(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([])
    message = refused(rpm_place)
    assert "the repository is not signed" in message
    assert "there is no repomd.xml.asc beside it" in message


def test_a_key_that_is_not_in_the_keyring(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([signing_key("Stranger <stranger@test.example>")])
    assert "signed only by keys that are not in the keyring" in refused(rpm_place)


def test_one_good_signature_of_several_is_enough(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([signing_key("Stranger <stranger@test.example>"), rpm_place.key])
    assert rpm_place.look().suites


def test_a_text_that_was_changed_after_it_was_signed(rpm_place: RpmShop) -> None:
    files = rpm_place.repository.archive.files
    files[f"{PLACE}/repodata/repomd.xml"] = rpm_place.repository.repomd.replace(b"<size>", b"<size>1")
    assert "the signature is wrong: the file was changed or damaged" in refused(rpm_place)


def test_a_signature_that_is_none(rpm_place: RpmShop) -> None:
    rpm_place.repository.archive.files[f"{PLACE}/repodata/repomd.xml.asc"] = b"trust me"
    assert "holds no signature that can be read" in refused(rpm_place)


def test_a_revoked_key_and_one_that_expired(rpm_place: RpmShop) -> None:
    upstream = rpm_place.upstream(certificates=keyring(revoked(rpm_place.key)))
    assert "is revoked" in refused(rpm_place, upstream=upstream)
    short = signing_key("Short <short@test.example>", valid=timedelta(days=1))
    rpm_place.repository.publish([short])
    upstream = rpm_place.upstream(certificates=keyring(short))
    assert rpm_place.look(upstream=upstream).suites
    assert "expired on" in refused(rpm_place, upstream=upstream, now=NOW + timedelta(days=2))


def test_older_than_the_lock(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([rpm_place.key], date=NOW - timedelta(days=3))
    assert rpm_place.look(not_before=NOW - timedelta(days=3)).suites
    message = refused(rpm_place, not_before=NOW - timedelta(days=2))
    assert "repomd.xml is older than the one that is locked" in message


def test_from_the_future_and_too_old_by_the_definition(rpm_place: RpmShop) -> None:
    assert "which is in the future" in refused(rpm_place, now=NOW - timedelta(hours=1))
    upstream = rpm_place.upstream(max_age_days=3)
    assert rpm_place.look(upstream=upstream, now=NOW + timedelta(days=2)).suites
    assert "max_age_days of the definition" in refused(rpm_place, upstream=upstream, now=NOW + timedelta(days=4))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<repomd ", "<other ", "malformed"),
        ("</repomd>", "", "not well-formed XML"),
        (r"<timestamp>\d+</timestamp>", "", "states no time, so an old one could not be told from a new one"),
        ('type="filelists"', 'type="primary"', "it lists 'primary' twice"),
        ('href="repodata/', 'href="../repodata/', "is not a path below the repository"),
        ('href="repodata/', 'href="/repodata/', "is not a path below the repository"),
        ('href="repodata/', 'href="https://evil.example/', "is not a path below the repository"),
        ("<location ", '<location xml:base="https://evil.example/" ', "is at another place"),
        (r"<size>\d+", "<size>99999999999", "announced with a size that no metadata has"),
        (r"<open-size>\d+", "<open-size>999999999999", "announced with a size that no metadata has"),
        ('checksum type="sha256"', 'checksum type="sha1"', "has no SHA-256"),
        (r'<\?xml version="1.0" encoding="UTF-8"\?>', BOMB, "it declares a document type, in which entities could be"),
        ("UTF-8", "UTF-7", "it is not in UTF-8 but in UTF-7"),
        ("</repomd>", "<a>" * 100 + "</a>" * 100 + "</repomd>", "nested deeper"),
        ("</repomd>", "<a/>" * 6000 + "</repomd>", "has more than 5000 elements"),
    ],
)
def test_a_root_of_metadata_that_is_signed_and_yet_wrong(rpm_place: RpmShop, old: str, new: str, words: str) -> None:
    def edit(text: bytes) -> bytes:
        changed, count = re.subn(old, lambda _: new, text.decode())
        assert count
        return changed.encode()

    rpm_place.repository.publish([rpm_place.key], edit_repomd=edit)
    message = refused(rpm_place)
    assert words in message
    assert "repomd.xml is" in message


def test_a_gigantic_root_of_metadata(rpm_place: RpmShop) -> None:
    rpm_place.mirror.fault(REPOMD, Fault(endless=True))
    with pytest.raises(WorldError) as caught:
        rpm_place.look()
    assert "it is larger than it may be (more than 4194304 bytes)" in said(caught.value)


def test_metadata_that_is_truncated_on_its_way(rpm_place: RpmShop) -> None:
    rpm_place.mirror.fault("*-primary.xml.gz", Fault(truncate=100))
    with pytest.raises(WorldError) as caught:
        rpm_place.look()
    assert "the primary metadata cannot be fetched" in said(caught.value)
    rpm_place.mirror.mend()
    assert rpm_place.solve("app").packages
    assert rpm_place.mirror.served("*-primary.xml.gz")[-1].range is not None  # resumed


def test_metadata_that_is_another_file(rpm_place: RpmShop) -> None:
    rpm_place.mirror.fault("*-primary.xml.gz", Fault(flip=True))
    assert "the primary metadata is not what repomd.xml announces" in refused(rpm_place)


def test_metadata_that_unpacks_to_more_than_is_announced(rpm_place: RpmShop) -> None:
    def smaller(text: bytes) -> bytes:
        return re.sub(rb"<open-size>\d+", b"<open-size>100", text)

    rpm_place.repository.publish([rpm_place.key], edit_repomd=smaller)
    with pytest.raises(IntegrityError) as caught:
        rpm_place.solve("app")
    assert "it unpacks to more than the 100 bytes that are announced" in said(caught.value)


def test_metadata_with_another_content_than_is_announced(rpm_place: RpmShop) -> None:
    def other(text: bytes) -> bytes:
        return re.sub(rb'(<open-checksum type="sha256">)[0-9a-f]{8}', rb"\g<1>00000000", text)

    rpm_place.repository.publish([rpm_place.key], edit_repomd=other)
    with pytest.raises(IntegrityError) as caught:
        rpm_place.solve("app")
    assert "unpacked, it does not have the SHA-256 that repomd.xml announces" in said(caught.value)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda text: BOMB.encode() + text.partition(b"?>")[2], "it declares a document type"),
        (lambda text: text.replace(b"UTF-8", b"UTF-16"), "it is not in UTF-8 but in UTF-16"),
        (lambda text: text.decode().encode("utf-16"), "it is not XML"),
        (lambda text: text.replace(b"encoding", b" " * 300 + b"encoding").replace(b"UTF-8", b"UTF-7"), "it is not XML"),
        (
            lambda text: text.replace(
                b'version="1.0" encoding="UTF-8"', b"version='encoding=\"UTF-8\"' encoding='UTF-7'"
            ),
            "it is not in UTF-8 but in UTF-7",
        ),
        (lambda text: text[: len(text) // 2], "the primary metadata is malformed"),
        (lambda _: b"", "it is empty"),
        (lambda _: b"no XML at all", "it is not XML"),
    ],
)
def test_package_metadata_that_is_signed_and_yet_hostile(rpm_place: RpmShop, edit: object, words: str) -> None:
    rpm_place.repository.publish([rpm_place.key], edit={"primary": edit})  # type: ignore[dict-item]
    with pytest.raises(IntegrityError) as caught:
        rpm_place.solve("app")
    assert words in said(caught.value)


def test_a_repository_with_zchunk_only(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([rpm_place.key], kinds=("primary_zck",))
    assert "has its 'primary' metadata as zchunk only" in refused(rpm_place)


def test_zchunk_beside_another_form_is_passed_over(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([rpm_place.key], kinds=("primary_zck", "primary", "filelists"))
    assert rpm_place.solve("app").packages
    assert not rpm_place.mirror.served("*_zck*")


def test_modules_are_ignored_with_a_word(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([rpm_place.key], extra={"modules": b"---\n"})
    assert rpm_place.look().suites
    assert rpm_place.progress.said == [
        f"{PLACE}: has modules, which Zaffre ignores: packages of all streams are taken for plain ones"
    ]


def test_the_next_mirror_is_asked_when_one_is_stale(rpm_place: RpmShop) -> None:
    stale = Archive()
    stale.files.update(rpm_place.repository.archive.files)
    rpm_place.repository.publish([rpm_place.key], date=NOW + timedelta(seconds=30))
    with Mirror({"rpms": stale}) as old:
        here, there = f"rpms={rpm_place.mirror.url}/rpms", f"rpms={old.url}/rpms"
        (suite,) = rpm_place.look(there, here, not_before=NOW + timedelta(seconds=30)).suites
        assert suite.date == NOW + timedelta(seconds=30)
        message = refused(rpm_place, there, here, not_before=NOW + timedelta(seconds=31))
        assert "no mirror has a good repomd.xml of 'main/x86_64'" in message


def test_a_repository_that_is_not_there(rpm_place: RpmShop) -> None:
    with pytest.raises(WorldError) as caught:
        rpm_place.look(architectures=("arm64",))
    assert "no mirror of 'rpms' has the repository 'main/aarch64'" in said(caught.value)
    with pytest.raises(DefinitionError) as unknown:
        rpm_place.look(architectures=("riscv64",))
    assert "is not for the architecture 'riscv64'" in said(unknown.value)


def test_a_repository_of_several_architectures_is_asked_for_once(rpm_place: RpmShop) -> None:
    both = rpm_place.look(upstream=rpm_place.upstream(path=PLACE), architectures=("amd64", "arm64"))
    assert [suite.suite for suite in both.suites] == [PLACE]
    assert len(rpm_place.mirror.served(REPOMD)) == len(rpm_place.mirror.served("*-primary.xml.gz")) == 1
    with both.solver(Sandbox(None), rpm_place.store) as solver:
        solution = solver.solve(SetRequest("test", ("libgreet",), "arm64"))
        assert [package.architecture for package in solution.packages] == ["all"]
        with pytest.raises(DefinitionError) as caught:
            solver.solve(SetRequest("test", ("tool",), "arm64"))
        assert "'tool' is in no repository of the upstream for arm64" in said(caught.value)


# A project's metalink


@pytest.fixture
def project(tmp_path: Path, rpm_place: RpmShop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A project's own server, by TLS, that vouches for what the mirror has."""
    certificate, key = _certificate()
    (tmp_path / "tls.pem").write_bytes(key + certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.pem"))
    archive = Archive()
    archive.files["x86_64"] = metalink(rpm_place.repository.repomd)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    with Mirror({"metalink": archive}, tls=context) as mirror:
        yield mirror


def _certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made - timedelta(days=1))
        .not_valid_after(made + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def vouched(shop: RpmShop, project: Mirror) -> dict[str, object]:
    url = f"{project.url}/metalink/{{basearch}}"
    return {"upstream": shop.upstream(verify="metalink", metalink=url)}


def test_a_metalink_vouches_for_an_unsigned_repository(rpm_place: RpmShop, project: Mirror) -> None:
    rpm_place.repository.sign(rpm_place.repository.repomd, [])
    assert rpm_place.look(**vouched(rpm_place, project)).suites  # type: ignore[arg-type]


def test_a_metalink_vouches_for_older_files_too(rpm_place: RpmShop, project: Mirror) -> None:
    files = project.archives["metalink"].files
    files["x86_64"] = metalink(b"something newer", older=[rpm_place.repository.repomd])
    assert rpm_place.look(**vouched(rpm_place, project)).suites  # type: ignore[arg-type]


def test_a_metalink_does_not_know_the_mirrors_file(rpm_place: RpmShop, project: Mirror) -> None:
    project.archives["metalink"].files["x86_64"] = metalink(b"something else")
    message = refused(rpm_place, **vouched(rpm_place, project))
    assert "repomd.xml is not one that the project's metalink vouches for" in message


def test_what_a_metalink_does_not_know_is_not_even_parsed(rpm_place: RpmShop, project: Mirror) -> None:
    rpm_place.repository.archive.files[f"{PLACE}/repodata/repomd.xml"] = BOMB.encode() + b"<repomd/>"
    message = refused(rpm_place, **vouched(rpm_place, project))
    assert "repomd.xml is not one that the project's metalink vouches for" in message
    assert "hostile" not in message


def test_a_metalink_that_is_none(rpm_place: RpmShop, project: Mirror) -> None:
    files = project.archives["metalink"].files
    files["x86_64"] = b"<metalink/>"
    assert "the metalink has no SHA-256 of repomd.xml" in refused(rpm_place, **vouched(rpm_place, project))
    files["x86_64"] = BOMB.encode() + b"<metalink/>"
    assert "it declares a document type" in refused(rpm_place, **vouched(rpm_place, project))


def test_a_metalink_that_leads_out_of_tls(rpm_place: RpmShop, project: Mirror) -> None:
    rpm_place.repository.archive.files["metalink"] = metalink(rpm_place.repository.repomd)
    away = {"Location": f"{rpm_place.mirror.url}/rpms/metalink"}
    project.fault("metalink/x86_64", Fault(status=302, headers=away))
    with pytest.raises(WorldError) as caught:
        rpm_place.look(**vouched(rpm_place, project))  # type: ignore[arg-type]
    assert "it is not reached by TLS all the way" in said(caught.value)


# Advisories

UPDATEINFO = b"""<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update from="security@test.example" status="final" type="security" version="1">
    <id>TEST-2026-1</id><title>app</title><severity>Important</severity><issued date="2026-11-20 10:00:00"/>
    <references>
      <reference href="https://test.example/" id="CVE-2026-1234567" title="a hole" type="cve"/>
      <reference href="https://test.example/" id="77" title="CVE-2026-1000 in app" type="bugzilla"/>
    </references>
    <pkglist><collection short="T">
      <package name="app" version="1.1" release="1" epoch="0" arch="x86_64"><filename>a.rpm</filename></package>
      <package name="libgreet" version="2.2" release="1" epoch="1" arch="noarch"><filename>b.rpm</filename></package>
      <package name="app" version="1.1" release="1" epoch="0" arch="src"><filename>c.rpm</filename></package>
      <package name="app" version="1.1" release="1" epoch="0" arch="s390x"><filename>d.rpm</filename></package>
    </collection></pkglist>
  </update>
</updates>
"""


def test_advisories_of_a_repository(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([rpm_place.key], extra={"updateinfo": UPDATEINFO})
    (index,) = rpm_place.look().indexes.indexes
    (advisory,) = advisories(index, Metadata(rpm_place.store, SILENT))
    assert (advisory.id, advisory.kind, advisory.severity) == ("TEST-2026-1", "security", "Important")
    assert advisory.cves == ("CVE-2026-1000", "CVE-2026-1234567")
    assert advisory.packages == (Fixed("app", "1.1-1", "amd64"), Fixed("libgreet", "1:2.2-1", "all"))


def test_advisories_that_are_hostile(rpm_place: RpmShop) -> None:
    rpm_place.repository.publish([rpm_place.key], extra={"updateinfo": BOMB.encode() + b"<updates/>"})
    (index,) = rpm_place.look().indexes.indexes
    with pytest.raises(IntegrityError) as caught:
        advisories(index, Metadata(rpm_place.store, SILENT))
    assert "it declares a document type" in said(caught.value)


def test_a_repository_without_advisories(rpm_place: RpmShop) -> None:
    (index,) = rpm_place.look().indexes.indexes
    assert advisories(index, Metadata(rpm_place.store, SILENT)) == ()
