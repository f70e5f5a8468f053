# SPDX-License-Identifier: Apache-2.0
"""Known vulnerabilities: what feeds say, what is installed, and what follows from both."""
