# SPDX-License-Identifier: Apache-2.0
"""Locked packages become one configured root file tree, and the definition is applied to it."""
