# SPDX-License-Identifier: Apache-2.0
"""A repository of releases as its readers see it: what lies where, and a client that believes nothing unsigned.

Shared by `release`, which holds a mirror against its keys, and by the agent on a node. It runs with python-tuf as
Debian 13 packages it, and imports nothing of ours but errors and what is offered.
"""
