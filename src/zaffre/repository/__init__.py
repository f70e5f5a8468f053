# SPDX-License-Identifier: Apache-2.0
"""Our own apt repository: immutable snapshots of what locks name, and channels that point at one of them.

    pool/<aa>/<sha256>/<name>_<version>_<architecture>.deb    every package once, by its content
    dists/snapshots/<time of the lock>/                       never changed, never out of date
    dists/<channel>/                                          moves; its InRelease is written last, and expires

A snapshot is a suite like a channel (`snapshots/<time>`), so that one URL serves both and one pool is below both: apt
takes the path of a package from that URL, and cannot climb out of a folder of the snapshot.
"""
