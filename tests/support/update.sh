#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in the guest at each boot by an injected unit: updates the host from version to version, and reports what it sees.
#
# The disk `payload` is a tar of folders, one a version in the order in which they are installed, with the files as they
# are handed over to systemd-sysupdate; `order` in it lists the versions. A script `after` in such a folder is run when
# the version is in its slot; one beside `order`, with the name `last`, when no other version is left, and the machine
# restarts once more. A version that restarts by itself is left alone. Reports are lines of JSON, as those of
# `zaffre check`.
set -u
export LC_ALL=C
port=/dev/virtio-ports/org.zaffre.notify
until [ -e "$port" ]; do
    sleep 1
done
exec 3>"$port"
work=/var/lib/story
incoming=/var/lib/zaffre/agent/incoming
. /usr/lib/os-release

fact() { # name, command and arguments
    name=$1
    shift
    said=$("$@" 2>&1)
    status=$?
    printf '{"fact":"%s","boot":"%s","status":%s,"data":"%s"}\n' \
        "$name" "$IMAGE_VERSION" "$status" "$(printf '%s' "$said" | base64 -w0)" >&3
}

settled() { # the boot was judged, and blessed if it is to be
    case $(systemctl is-active boot-complete.target):$(systemctl is-active systemd-bless-boot.service) in
        active:activating) return 1 ;;
        active:*) return 0 ;;
    esac
    return 1
}

mkdir -p "$work" "$incoming"
[ -e "$work/order" ] || tar --extract --file /dev/disk/by-id/virtio-payload --directory "$work"
printf '{"event":"started","version":"%s"}\n' "$IMAGE_VERSION" >&3
# A boot that is not healthy ends meanwhile.
until settled; do
    sleep 1
done
fact entries ls /boot/EFI/Linux
fact state systemctl is-active zaffre-health.service boot-complete.target systemd-bless-boot.service
fact verdict cat "/var/lib/zaffre/health/$IMAGE_VERSION.json"
fact bad ls /var/lib/zaffre/health/bad
fact log journalctl --boot --identifier=zaffre-health --output=cat --no-pager
read -r next <"$work/order" || next=
if [ -n "$next" ]; then
    tail -n +2 "$work/order" >"$work/rest" && mv "$work/rest" "$work/order"
    mv "$work/$next"/*.verity "$work/$next"/*.erofs "$work/$next"/*.efi "$incoming/"
    fact update env SYSTEMD_LOG_LEVEL=warning /usr/lib/systemd/systemd-sysupdate update "$next" --no-pager
    [ ! -e "$work/$next/after" ] || fact after sh "$work/$next/after"
    rm -r "${incoming:?}"/* "${work:?}/$next"
    fact staged ls /boot/EFI/Linux
    sync
    systemctl --no-block reboot
elif [ -e "$work/last" ]; then
    mv "$work/last" "$work/done"
    fact last sh "$work/done"
    sync
    systemctl --no-block reboot
else
    printf '{"event":"end"}\n' >&3
    systemctl --no-block poweroff
fi
