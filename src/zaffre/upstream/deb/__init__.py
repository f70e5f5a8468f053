# SPDX-License-Identifier: Apache-2.0
"""Debian archives: mirrors, Release files, package indexes, apt as the solver, downloads."""
