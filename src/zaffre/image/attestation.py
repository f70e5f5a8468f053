# SPDX-License-Identifier: Apache-2.0
"""What machines will measure when they boot a build, as a file of the build."""

from __future__ import annotations

from pathlib import Path

from zaffre.measured.prediction import ATTESTATION_NAME, predict, prediction_text


def write_attestation(
    folder: Path, *, kernel_image: Path, loader: Path, certificate: Path, image: str, version: str, architecture: str
) -> None:
    """Write the file into a build's folder. The kernel image and the loader are signed with the key of `certificate`."""
    found = predict(kernel_image, loader, certificate, image=image, version=version, architecture=architecture)
    (folder / ATTESTATION_NAME).write_bytes(prediction_text(found))
