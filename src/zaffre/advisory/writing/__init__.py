# SPDX-License-Identifier: Apache-2.0
"""What we say of vulnerabilities to others: advisories in the forms that their programs read."""

from zaffre.advisory.writing.notice import ImageFact, Notice, csaf_text, osv_text

__all__ = ["ImageFact", "Notice", "csaf_text", "osv_text"]
