# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Goes on from report.sh in a host that is to be updated before it is looked at: the version before (boot 0) has the next
# one written into its other slot, with the rights of the agent, as that does it, and restarts. Needs coreutils, systemd.

if [ "$boot" = 0 ]; then
    [ ! -e "$kept/updated" ] ||
        give_up "the host went back to the version before, $before" \
            "$(ls /boot/EFI/Linux; cat "/var/lib/zaffre/health/$next.json" 2>&1)"
    fact selinux.enforce cat /sys/fs/selinux/enforce
    fact machine-id cat /etc/machine-id
    tries=0
    until judged || [ "$tries" -ge 120 ]; do
        sleep 1
        tries=$((tries + 1))
    done
    systemctl is-active --quiet boot-complete.target ||
        give_up "the version before, $before, did not find itself healthy, so nothing was written" \
            "$(cat "/var/lib/zaffre/health/$before.json" 2>&1)"
    mkdir -p "$work/update" "$kept"
    said=$(mount -o ro /dev/disk/by-id/virtio-zaffre-update "$work/update" 2>&1) ||
        give_up "the disk with the next version can't be read" "$said"
    fact update.run systemctl start zaffre-check-update.service
    [ "$status" = 0 ] ||
        give_up "the version before, $before, could not be updated" \
            "$(journalctl --unit=zaffre-check-update --output=cat --no-pager 2>&1)"
    umount "$work/update"
    cat "$CREDENTIALS_DIRECTORY/zaffre.nonce" >"$kept/updated"
    fact selinux.denials denials 0
    sync
    last_words
    event restart
    systemctl --no-block reboot
    exit
fi
if [ "$boot" = 1 ]; then
    fact update.version sh -c '. /usr/lib/os-release && echo "$IMAGE_VERSION"'
    fact update.entry cat /sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
    fact update.kept cat "$kept/updated"
    fact update.entries ls /boot/EFI/Linux
    fact update.labels ls /dev/disk/by-partlabel
    fact selinux.denials-before denials -1
fi
