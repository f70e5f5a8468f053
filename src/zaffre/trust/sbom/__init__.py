# SPDX-License-Identifier: Apache-2.0
"""Bills of materials written down: CycloneDX 1.6 and SPDX 2.3, from the same values. Pure."""

from zaffre.trust.sbom.cyclonedx import cyclonedx_text
from zaffre.trust.sbom.spdx import spdx_text

__all__ = ["cyclonedx_text", "spdx_text"]
