# SPDX-License-Identifier: Apache-2.0
"""OpenSSL's FIPS provider in an immutable host: what it is held against when it is loaded (fips_config(5)).

The provider refuses to be loaded without the HMAC of its own file, which openssl-fipsinstall(1) computes after the
provider's self tests have passed. It is done when the image is built: provider and HMAC are under one dm-verity tree.
Without -pedantic, the provider would go on with much that FIPS 140-3 does not approve, for programs of before.
"""

from __future__ import annotations

from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.sandbox import TRIPLETS, Mount, Sandbox
from zaffre.tree.rootfs import inside, write_bytes

FIPS_MODULE = "usr/lib/ssl/fipsmodule.cnf"
"""In Debian's OPENSSLDIR, where an openssl.cnf includes it from."""
_SECONDS = 120.0


def lay_fips_module(root: Path, *, architecture: str, scratch: Path, sandbox: Sandbox) -> None:
    """Write the provider's configuration into the tree at `root`. Raises DefinitionError if that has no provider."""
    provider = inside(root, f"usr/lib/{TRIPLETS[architecture]}/ossl-modules/fips.so")
    if not provider.is_file():
        raise DefinitionError(
            "the image has no FIPS provider of OpenSSL",
            where="fips",
            resolution='add "openssl-provider-fips" to `packages`, or mix in the profile "fips"',
        )
    target = scratch / "fipsmodule.cnf"
    target.touch()
    sandbox.run(
        ["openssl", "fipsinstall", "-quiet", "-pedantic", "-module", "/job/fips.so", "-out", "/job/fipsmodule.cnf"],
        mounts=[Mount(provider, "/job/fips.so"), Mount(target, "/job/fipsmodule.cnf", writable=True)],
        timeout=_SECONDS,
    )
    write_bytes(root, FIPS_MODULE, target.read_bytes())
    target.unlink()
