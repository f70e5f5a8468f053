# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Goes on from report.sh in a host: lays the check's signed extension over it and runs the program in there; before that,
# the extension that is checked, if one is. All that it needs is coreutils and systemd.

# Asked now, as the extension will be an overlay on /usr.
said=$( (: >/usr/.zaffre-check) 2>&1)
tell usr.write $? "$said"

disk=/dev/disk/by-id/virtio-zaffre-check
[ -b "$disk" ] || give_up "the disk of the check's extension is not there" "$(ls /dev/disk/by-id 2>&1)"
policy=$(cat "$CREDENTIALS_DIRECTORY/zaffre.policy")
mkdir -p /run/extensions /run/confexts
# A copy: systemd 257 takes an extension's name from the block device (vdb), and then finds no release file in it.
cp "$disk" "/run/extensions/$(cat "$CREDENTIALS_DIRECTORY/zaffre.extension").raw"
said=$(systemd-sysext refresh --image-policy="$policy" 2>&1) || give_up "the check's extension was refused" "$said"
[ -r /usr/lib/zaffre-check/check ] || give_up "the check's extension has no check in it" "$said"

checked=/dev/disk/by-id/virtio-zaffre-checked
if [ -b "$checked" ]; then
    read -r kind name <"$CREDENTIALS_DIRECTORY/zaffre.checked"
    case $kind in
        sysext) set -- systemd-sysext /run/extensions refresh --image-policy="$policy" ;;
        *) set -- systemd-confext /run/confexts refresh --mutable=ephemeral --image-policy="$policy" ;;
    esac
    tool=$1 file=$2/$name.raw
    shift 2
    cp "$checked" "$file"
    fact extension.merge "$tool" "$@"
    if [ "$status" != 0 ]; then
        # All extensions stand or fall together: the check goes on without the one that was refused.
        rm "$file"
        "$tool" "$@"
    fi
    fact extension.merged "$tool" status --json=short
fi
# shellcheck source=/dev/null
. /usr/lib/zaffre-check/check
