# SPDX-License-Identifier: Apache-2.0
"""skopeo of the tools tree, as it speaks to one registry: what it is told besides what to do, and what it says back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zaffre.errors import WorldError
from zaffre.registry.access import Access, access_to
from zaffre.registry.reference import Reference
from zaffre.sandbox import Completed, Mount, Sandbox

_LAYOUT = "/run/layout"
_RESULT = "/run/result"
_RETRIES = 3
_FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
_ABSENT = re.compile(r"manifest unknown|name unknown|not found|status code 404", re.IGNORECASE)
_AGAIN = "run the same command again: what has arrived is not sent twice, and the tag is still where it was"
_REASONS = (
    (
        re.compile(r"unauthorized|authentication required|denied|invalid username/password", re.IGNORECASE),
        "the registry refuses who pushes",
        "log in with `podman login` or `docker login`, as somebody who may write there; " + _AGAIN,
    ),
    (
        re.compile(r"server gave HTTP response to HTTPS client|first record does not look like a TLS handshake"),
        "the registry speaks no TLS",
        "give --plain-http if it is one that you trust the way to, such as a test on this machine",
    ),
    (
        re.compile(r"certificate|x509"),
        "the registry's certificate is not vouched for",
        "put its authority's certificate into /etc/containers/certs.d/REGISTRY/ca.crt, or give SSL_CERT_FILE",
    ),
    (
        re.compile(r"no such host|connection refused|network is unreachable|no route to host"),
        "the registry cannot be reached",
        "look at its name and port, and whether it runs; " + _AGAIN,
    ),
)


@dataclass(frozen=True)
class Skopeo:
    """`seconds` is the limit of each of its runs. With `plain_http`, it may speak HTTP, or TLS that nobody vouches for.

    `scratch` is a folder of its own; `environ` and `home` are where credentials are looked for.
    """

    reference: Reference
    sandbox: Sandbox
    scratch: Path
    environ: Mapping[str, str]
    home: Path
    seconds: float
    plain_http: bool

    @cached_property
    def access(self) -> Access:
        return access_to(
            self.reference.registry,
            tools=self.sandbox.tools.root,
            scratch=self.scratch,
            environ=self.environ,
            home=self.home,
        )

    def send(self, layout: Path, name: str, *options: str) -> str:
        """Copy what the index of a layout names, to the repository with `name` (":tag" or "@digest") behind it.

        Returns the digest of what was sent. Raises WorldError where the registry refuses, is too slow or goes away.
        """
        result = self.scratch / "result"
        result.mkdir(exist_ok=True)
        done = self._run(
            "copy",
            ["--preserve-digests", f"--retry-times={_RETRIES}", f"--digestfile={_RESULT}/digest",
             f"--dest-tls-verify={self._verify}", *self._options("dest"), *options,
             f"oci:{_LAYOUT}", self._place(name)],
            Mount(layout, _LAYOUT),
            Mount(result, _RESULT, writable=True),
        )  # fmt: skip
        if done.returncode != 0:
            raise self._refused(done)
        return (result / "digest").read_text(encoding="ascii").strip()

    def manifest(self, name: str) -> bytes | None:
        """What the registry has there; None for nothing. Raises WorldError as `send` does."""
        words = ["--raw", f"--tls-verify={self._verify}", *self._options(""), self._place(name)]
        done = self._run("inspect", words)
        if done.returncode == 0:
            return done.stdout
        if _ABSENT.search(_said(done)):
            return None
        raise self._refused(done)

    @property
    def _verify(self) -> str:
        return "false" if self.plain_http else "true"

    def _place(self, name: str) -> str:
        return f"docker://{self.reference.registry}/{self.reference.name}{name}"

    def _options(self, side: str) -> list[str]:
        return [one.replace("--dest-", f"--{side}-" if side else "--") for one in self.access.options]

    def _run(self, verb: str, words: Sequence[str], *mounts: Mount) -> Completed:
        return self.sandbox.run(
            ["skopeo",
             "--insecure-policy",  # of the source: what we have built, and hold against its manifest
             f"--command-timeout={int(self.seconds)}s", verb, *words],
            mounts=[*self.access.mounts, *mounts],
            env={**self.access.environment, "TMPDIR": "/tmp"},  # noqa: S108 - inside
            timeout=self.seconds + 30,
            network=True,
            check=False,
        )  # fmt: skip

    def _refused(self, done: Completed) -> WorldError:
        details = _said(done)
        if "deadline exceeded" in details:
            brief, resolution = "the registry was too slow", f"give more time by --timeout; {_AGAIN}"
        else:
            brief, resolution = next(
                ((brief, next_) for pattern, brief, next_ in _REASONS if pattern.search(details)),
                ("the push stopped half way", _AGAIN),
            )
        return WorldError(brief, where=str(self.reference), details=details, resolution=resolution)


def _said(done: Completed) -> str:
    """The last of its fatal errors, else all that it wrote."""
    found = _FATAL.findall(done.stderr_tail)
    return found[-1].replace('\\"', '"').replace("\\n", "\n") if found else done.stderr_tail.strip()[-2000:]
