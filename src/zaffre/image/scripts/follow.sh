#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Has this host follow its channel (docs/explanation/updates.md): lays the extension with the agent over it, with all
# others that are kept in /var, and starts the agent's timer. Run after the boot was judged.
#
#   follow NAME     the name of the agent's extension
#
# The disk image brings the agent on the ESP; it is copied once, and a newer one in /var/lib/extensions stays. Whether
# extensions are signed is the image policy's matter, of the services that lay them over. One that is refused keeps all
# others from being laid over: then all but the agent's are set aside (the agent brings back what its channel has), and
# if it is the agent's that is refused, the one of the ESP takes its place.
#
# Needs a POSIX shell, coreutils and systemctl.
set -eu
source=/boot/zaffre/$1.raw
target=/var/lib/extensions/$1.raw

bring() {
    mkdir -p "${target%/*}"
    # A copy that was cut off has another name, and is no extension.
    cp "$source" "$target.new"
    sync "$target.new"
    mv "$target.new" "$target"
}

set_aside() { # but for: a file that stays
    for file in "${1%/*}"/*.raw; do
        [ "$file" = "$1" ] || [ ! -e "$file" ] || mv "$file" "$file.refused"
    done
}

lay_over() { # kind
    systemctl reload-or-restart "systemd-$1.service"
}

[ -e "$target" ] || bring
lay_over sysext || {
    set_aside "$target"
    lay_over sysext
} || {
    bring
    lay_over sysext
}
for file in /var/lib/confexts/*.raw; do
    [ -e "$file" ] || continue
    lay_over confext || {
        set_aside /var/lib/confexts/none
        lay_over confext
    }
    systemctl try-reload-or-restart systemd-networkd.service
    break
done
systemctl --no-block start zaffre-agent.timer
