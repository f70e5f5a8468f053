# SPDX-License-Identifier: Apache-2.0
"""What a customisation did, or would do: the same for people and for programs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, computed_field

from zaffre.compare import Details


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Signature(_Model):
    """A file that the firmware starts: its path in the ESP, and whose certificates it carries, by subject."""

    path: str
    signers: tuple[str, ...]


class ToSign(_Model):
    """A file to be signed elsewhere. `authenticode` is the SHA-256 that a signature of it is over."""

    file: str = Field(pattern=r"^[a-z][a-z.-]*\.efi$")
    path: str
    authenticode: str
    command: str


class Report(_Model):
    """`signatures` are those that the image came with. `directory` is None when nothing was written."""

    image: str
    form: str
    architecture: str
    signatures: tuple[Signature, ...]
    details: Details | None
    grown: tuple[str, ...] = ()
    directory: str | None = None
    to_sign: tuple[ToSign, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented form
    @property
    def same(self) -> bool:
        """Whether nothing differs but signatures."""
        return not (self.details or self.grown)


class Injected(_Model):
    """`manifest_signed` is false where no release key was at hand: then `manifest_command` says how to sign it."""

    directory: str
    signatures: tuple[Signature, ...]
    certificate: str
    manifest_signed: bool
    manifest_command: str | None = None
