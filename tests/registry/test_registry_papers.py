# SPDX-License-Identifier: Apache-2.0
"""Papers of an image in a registry: artifacts that refer to it, listed by the registry or under a tag."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import pytest

from support.bills import found_by_trivy
from support.lab import Lab
from support.layouts import layout
from support.registry import Registry, registry
from zaffre.errors import IntegrityError
from zaffre.oci import INDEX, read_layout
from zaffre.progress import SILENT
from zaffre.registry import Paper, Push, Pushed, parse_reference, push
from zaffre.registry.api import lists_referrers
from zaffre.registry.attach import referrers_tag, write_list, write_referrer
from zaffre.sandbox import Sandbox
from zaffre.store import Store

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return layout(tmp_path / "image", "amd64", size=1000)


@pytest.fixture
def papers(tmp_path: Path) -> tuple[Paper, ...]:
    found = []
    for name, kind in (
        ("sbom.cdx.json", "application/vnd.cyclonedx+json"),
        ("sbom.spdx.json", "application/spdx+json"),
    ):
        path = tmp_path / name
        path.write_text(f"{{ {name!r} }}")
        found.append(Paper(path, kind, kind))
    return tuple(found)


def test_a_paper_is_an_artifact_about_the_image(image: Path, papers: tuple[Paper, ...], tmp_path: Path) -> None:
    subject = read_layout(image)[0].manifest
    one = write_referrer(papers[0], subject, tmp_path / "one")
    again = write_referrer(papers[0], subject, tmp_path / "again")
    assert one.entry == again.entry
    manifest = json.loads((one.layout / "blobs/sha256" / one.digest.removeprefix("sha256:")).read_text())
    assert manifest["subject"] == {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    assert manifest["artifactType"] == one.entry["artifactType"] == "application/vnd.cyclonedx+json"
    (layer,) = manifest["layers"]
    assert (one.layout / "blobs/sha256" / layer["digest"].removeprefix("sha256:")).read_bytes() == (
        papers[0].file.read_bytes()
    )


def listed(folder: Path) -> list[Mapping[str, object]]:
    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    index = json.loads((folder / "blobs/sha256" / entry["digest"].removeprefix("sha256:")).read_text())
    return list(index["manifests"])


def test_what_others_have_attached_stays_in_the_list(image: Path, papers: tuple[Paper, ...], tmp_path: Path) -> None:
    subject = read_layout(image)[0].manifest
    ours = [write_referrer(one, subject, tmp_path / f"p{number}") for number, one in enumerate(papers)]
    stranger = {"mediaType": "x", "digest": DIGEST, "size": 1, "artifactType": "signature"}
    known = json.dumps({"manifests": [stranger, ours[0].entry]}).encode()
    write_list(known, ours, tmp_path / "list")
    assert listed(tmp_path / "list") == [stranger, *(one.entry for one in ours)]
    with pytest.raises(IntegrityError, match="something else under the tag"):
        write_list(b'{"layers": []}', ours, tmp_path / "other")


@dataclass
class Answers:
    """A server that has some answers, by path; what needs a token is refused without it."""

    paths: dict[str, tuple[int, str, str]]
    token: str | None = None
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(answers: Answers) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization") or ""
            answers.asked.append(f"{self.path} {authorization}".strip())
            path = self.path.partition("?")[0]
            status, kind, text = answers.paths.get(path, (404, "application/json", "{}"))
            refused = answers.token is not None and path != "/token" and authorization != f"Bearer {answers.token}"
            self.send_response(401 if refused else status)
            if refused:
                realm = f"http://{self.headers['Host']}/token"
                self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="here"')
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(b"" if refused else text.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def asks(port: int, credentials: str | None = None) -> bool:
    return lists_referrers(
        parse_reference(f"127.0.0.1:{port}/team/base:1", tag="none"),
        DIGEST,
        plain_http=True,
        authorities=Path(certifi.where()),
        credentials=credentials,
    )


LIST = f"/v2/team/base/referrers/{DIGEST}"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ((200, INDEX, "{}"), True),
        ((200, f"{INDEX}; charset=utf-8", "{}"), True),
        ((200, "text/html", "welcome"), False),
        ((404, "application/json", "{}"), False),
        ((500, INDEX, "{}"), False),
    ],
)
def test_only_a_plain_yes_counts(answer: tuple[int, str, str], wanted: bool) -> None:  # noqa: FBT001
    with serving(Answers({LIST: answer})) as port:
        assert asks(port) is wanted


def test_a_registry_that_wants_a_token_is_asked_with_one() -> None:
    answers = Answers({LIST: (200, INDEX, "{}"), "/token": (200, "application/json", '{"token": "t0"}')}, token="t0")
    with serving(answers) as port:
        assert asks(port, "dXNlcjpw")
    assert answers.asked[-2].startswith("/token?service=here&scope=repository%3Ateam/base%3Apull Basic dXNlcjpw")


def test_nobody_there_is_no_yes() -> None:
    assert not asks(9)


@pytest.mark.tools
def test_papers_arrive_with_the_image(
    image: Path, papers: tuple[Paper, ...], tools_sandbox: Sandbox, tmp_path: Path
) -> None:
    def send(server: Registry, tag: str) -> Pushed:
        reference = parse_reference(f"127.0.0.1:{server.port}/team/base:{tag}", tag="none")
        order = Push(reference, (image,), seconds=60, plain_http=True, papers=(papers,))
        (tmp_path / "home").mkdir(exist_ok=True)
        return push(
            order,
            store=Store(tmp_path / "store"),
            sandbox=tools_sandbox,
            progress=SILENT,
            environ={},
            home=tmp_path / "home",
        )

    with registry(tmp_path / "registry") as server:
        done = send(server, "1")
        assert (done.papers, done.digest) == (2, server.digest("team/base", "1"))
        tag = referrers_tag(done.digest)
        found = server.manifest("team/base", tag)["manifests"]
        assert [one["artifactType"] for one in found] == [one.kind for one in papers]
        for one in found:
            assert server.manifest("team/base", one["digest"])["subject"]["digest"] == done.digest
        send(server, "2")
        assert server.manifest("team/base", tag)["manifests"] == found, "the same papers are not listed twice"
        assert sorted(server.tags("team/base")) == ["1", "2", tag]


@pytest.mark.tools
def test_the_command_sends_a_builds_papers(lab: Lab, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as server:
        target = f"127.0.0.1:{server.port}/zaffre/static:1"
        options = ("--arch", "amd64", "--plain-http", "--out", str(lab.out))
        done = lab.json("push", "distroless-static", target, *options, "--without-papers")
        assert (done["papers"], server.tags("zaffre/static")) == (0, ["1"])
        done = lab.json("push", "distroless-static", target, *options)
        assert done["papers"] == 3
        found = server.manifest("zaffre/static", referrers_tag(done["digest"]))["manifests"]
        assert [one["annotations"]["org.opencontainers.image.title"] for one in found] == [
            "sbom.cdx.json",
            "sbom.spdx.json",
            "provenance.intoto.json",
        ]
        assert {"base-files", "tzdata"} < found_by_trivy(target, tmp_path / "trivy").keys()
