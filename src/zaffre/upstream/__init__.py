# SPDX-License-Identifier: Apache-2.0
"""Signed package repositories: found, verified, solved, locked and fetched."""
