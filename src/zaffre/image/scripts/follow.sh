#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Has this host follow its channel (docs/explanation/updates.md): lays the extension with the agent over it, and starts
# the agent's timer. Run after the boot was judged.
#
#   follow NAME     the extension's name
#
# The disk image brings the extension on the ESP; it is copied once, and a newer one that somebody put into
# /var/lib/extensions stays. Whether it is signed is the image policy's matter, of systemd-sysext.service.
#
# Needs a POSIX shell, coreutils and systemctl.
set -eu
source=/boot/zaffre/$1.raw
target=/var/lib/extensions/$1.raw

if [ ! -e "$target" ]; then
    mkdir -p "${target%/*}"
    # A copy that was cut off has another name, and is no extension.
    cp "$source" "$target.new"
    sync "$target.new"
    mv "$target.new" "$target"
fi
systemctl reload-or-restart systemd-sysext.service
systemctl --no-block start zaffre-agent.timer
