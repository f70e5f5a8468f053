# SPDX-License-Identifier: Apache-2.0
"""`zaffre-agent`: what a node does about its version, on the node.

    look at the channel -> decide -> download -> hand over -> systemd-sysupdate -> restart

It is not part of the host but ships as an image of its own, with Debian's Python and python-tuf, so it imports what is
offered, how it is followed, how deltas are applied, and errors; and of others' code python-tuf, pydantic and urllib3.
"""
