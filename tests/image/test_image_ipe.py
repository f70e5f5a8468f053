# SPDX-License-Identifier: Apache-2.0
"""The policy of a host with IPE, and the signatures that its kernel asks for, as openssl sees them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.definition import Architecture, Ipe, IpeMode, load_distribution, reference_root
from zaffre.image.extension import HostTraits
from zaffre.image.ipe import POLICY_FILE, POLICY_NAME, ipe_files, policy_text, signed_policy, with_signature
from zaffre.image.uki import SigningKeys
from zaffre.sandbox import Mount, Sandbox

ROOT_HASH = "5a" * 32
WORDS = ("roothash=x", "systemd.verity_root_options=panic-on-corruption", "quiet")


@pytest.fixture
def keys(lab: Lab) -> SigningKeys:
    folder = lab.keys
    return SigningKeys(folder / "db.key", folder / "db.crt", folder / "verity.key", folder / "verity.crt")


def verified(message: Path, certificate: Path, sandbox: Sandbox, *, content: Path | None = None) -> bytes:
    """What was signed. The signer is looked for in `certificate` alone; ToolError if it is another's."""
    mounts = [Mount(message, "/job/message"), Mount(certificate, "/job/crt")]
    argv = ["openssl", "smime", "-verify", "-binary", "-inform", "DER", "-in", "/job/message"]
    argv += ["-certfile", "/job/crt", "-nointern", "-noverify"]
    if content is not None:
        mounts.append(Mount(content, "/job/content"))
        argv += ["-content", "/job/content"]
    return sandbox.run(argv, mounts=mounts, timeout=60).stdout


def test_the_mode_is_on_the_signed_command_line_and_a_host_without_one_has_nothing_of_it() -> None:
    image = load_distribution(reference_root()).image("ipe-host")
    plain = image.model_copy(update={"ipe": Ipe()})
    for mode, word in ((IpeMode.ENFORCING, "ipe.enforce=1"), (IpeMode.PERMISSIVE, "ipe.enforce=0")):
        there = image.model_copy(update={"ipe": Ipe(mode=mode)})
        assert there.kernel_arguments(Architecture.AMD64) == (*plain.kernel_arguments(Architecture.AMD64), word)
    assert ipe_files(plain) == {}
    assert list(ipe_files(image).values()) == ["[Manager]\nCapabilityBoundingSet=~CAP_MAC_ADMIN\n"]


def test_the_policy_allows_what_is_signed_and_its_name_is_that_of_its_file() -> None:
    header, default, *rules = policy_text().splitlines()
    assert header.split()[0] == f"policy_name={POLICY_NAME}"
    assert Path(POLICY_FILE).stem == POLICY_NAME
    assert default == "DEFAULT action=DENY"
    assert {rule.partition(" ")[2] for rule in rules} == {"dmverity_signature=TRUE action=ALLOW"}


def test_policy_and_root_hash_are_signed_by_the_db_key_and_twice_the_same(
    keys: SigningKeys, tools_sandbox: Sandbox, tmp_path: Path
) -> None:
    policy = signed_policy(keys, scratch=tmp_path, sandbox=tools_sandbox)
    assert signed_policy(keys, scratch=tmp_path, sandbox=tools_sandbox) == policy
    (tmp_path / "policy").write_bytes(policy)
    assert verified(tmp_path / "policy", keys.db_certificate, tools_sandbox) == policy_text().encode()

    line = with_signature(WORDS, ROOT_HASH, keys, scratch=tmp_path, sandbox=tools_sandbox)
    assert with_signature(WORDS, ROOT_HASH, keys, scratch=tmp_path, sandbox=tools_sandbox) == line
    *others, last = line.split()
    assert others == ["roothash=x", "quiet"]
    given, _, signature = last.partition(",root-hash-signature=base64:")
    assert given == "systemd.verity_root_options=panic-on-corruption"
    (tmp_path / "signature").write_bytes(base64.b64decode(signature, validate=True))
    (tmp_path / "hash").write_text(ROOT_HASH)
    verified(tmp_path / "signature", keys.db_certificate, tools_sandbox, content=tmp_path / "hash")
    # x86 and arm64 take 2048 bytes of a command line (COMMAND_LINE_SIZE); the rest of it has a quarter of that today.
    assert len(last) < 1024


def test_an_extension_is_signed_by_the_key_that_the_kernel_of_its_host_knows(keys: SigningKeys) -> None:
    assert HostTraits().signer(keys) == (keys.verity_key, keys.verity_certificate)
    assert HostTraits(ipe=True).signer(keys) == (keys.db_key, keys.db_certificate)
