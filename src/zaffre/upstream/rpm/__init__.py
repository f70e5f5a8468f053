# SPDX-License-Identifier: Apache-2.0
"""RPM repositories: repomd.xml, package metadata, libsolv as the solver. Others reach it through `upstream.family`."""
