# SPDX-License-Identifier: Apache-2.0
"""What a client of a registry needs of this machine: credentials, certificates, names of hosts, proxies.

Sources: containers-auth.json(5) and Docker's config.json (places and form of credentials), containers-certs.d(5).
"""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import certifi

from zaffre.errors import DefinitionError, WorldError
from zaffre.sandbox import Mount

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy")
_NAMES = ("resolv.conf", "hosts", "nsswitch.conf")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Access:
    """Mounts and environment for the sandbox, and skopeo's options that name what they bring.

    For who asks the registry otherwise: `authorities` are certificates that are trusted (PEM), `credentials` are base64
    of user and password.
    """

    mounts: tuple[Mount, ...]
    environment: Mapping[str, str]
    options: tuple[str, ...]
    authorities: Path
    credentials: str | None = None


def access_to(registry: str, *, tools: Path, scratch: Path, environ: Mapping[str, str], home: Path) -> Access:
    """How a sandbox with the tree `tools` reaches `registry`. Nothing of it is written on a command line.

    Raises DefinitionError for credentials that only a helper program knows, WorldError for a file that is damaged.
    """
    etc = scratch / "etc"
    shutil.copytree(tools / "etc", etc, symlinks=True)
    for name in _NAMES:
        if Path("/etc", name).is_file():
            (etc / name).unlink(missing_ok=True)
            shutil.copyfile(Path("/etc", name), etc / name)
    authorities = scratch / "authorities.pem"
    authorities.write_text(_authorities())
    mounts = [Mount(etc, "/etc"), Mount(authorities, "/run/authorities.pem")]
    options: list[str] = []
    credentials = None
    if (known := _credentials(registry, environ, home)) is not None:
        file, credentials = known
        mounts.append(Mount(file, "/run/auth.json"))
        options.append("--dest-authfile=/run/auth.json")
    if (folder := _certificates(registry, home)) is not None:
        mounts.append(Mount(folder, "/run/certificates"))
        options.append("--dest-cert-dir=/run/certificates")
    proxies = {name: environ[name] for name in _PROXIES if environ.get(name)}
    environment = {**proxies, "SSL_CERT_FILE": "/run/authorities.pem"}
    return Access(tuple(mounts), environment, tuple(options), authorities, credentials)


def _authorities() -> str:
    """The host's certificates, an organisation's own among them, and certifi's for hosts that have none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return "".join(ssl.DER_cert_to_PEM_cert(one) for one in context.get_ca_certs(binary_form=True))


def _credentials(registry: str, environ: Mapping[str, str], home: Path) -> tuple[Path, str] | None:
    """The first file that has credentials for the registry, and what it has."""
    for path in _auth_files(environ, home):
        if not path.is_file():
            continue
        value = _parsed(path)
        auths = value.get("auths")
        entry = auths.get(registry) if isinstance(auths, dict) else None
        if isinstance(entry, dict) and entry.get("auth"):
            return path, str(entry["auth"])
        helpers = value.get("credHelpers")
        helper = helpers.get(registry) if isinstance(helpers, dict) else None
        helper = helper or (value.get("credsStore") if entry is not None else None)
        if helper:
            raise DefinitionError(
                f"the credentials for {registry} are kept by a program, docker-credential-{helper}",
                where=str(path),
                resolution="programs of this machine are not run for a push: log in once more with "
                f"`podman login --authfile {home}/.config/containers/auth.json {registry}`, which keeps them in a file",
            )
    return None


def _auth_files(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
        return
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers/auth.json")
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "containers/auth.json")
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker", "config.json")


def _parsed(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise WorldError(
            "the credentials cannot be read", where=str(path), details=str(error), resolution="log in once more"
        ) from error
    return value if isinstance(value, dict) else {}


def _certificates(registry: str, home: Path) -> Path | None:
    """containers-certs.d(5): the first folder that is there."""
    folders = (home / ".config/containers/certs.d", Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
    return next((folder / registry for folder in folders if (folder / registry).is_dir()), None)
