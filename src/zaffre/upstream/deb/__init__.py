# SPDX-License-Identifier: Apache-2.0
"""Debian archives: Release files, package indexes, apt as the solver. Others reach it through `upstream.family`.

Nothing is exported here: a tree needs to read a control file, and that must not load an HTTP client.
"""
