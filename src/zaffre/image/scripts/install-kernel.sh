#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts the signed kernel image of this package where the boot loader finds it.
#
# The new one is counted: when it did not come up after so many tries, the boot loader takes the one before it
# (systemd.io/AUTOMATIC_BOOT_ASSESSMENT). Beside it stay the one that runs, and the newest that is known to be good.
set -eu

here=/usr/lib/zaffre/kernel
# NAME and VERSION, which make an entry, and TRIES
. "$here/entry"

# Without EFI there is no boot loader of ours: a container, or an image that is being made.
variables=/sys/firmware/efi/efivars
[ -d "$variables" ] || exit 0

vendor=4a67b082-0a4c-41cf-b6c7-440b29bb8c4f

# A variable of boot loader and boot stub (systemd.io/BOOT_LOADER_INTERFACE): four bytes of attributes, then UTF-16. tail
# wants to seek in a file, which these cannot.
variable() {
    cat "$variables/$1-$vendor" 2>/dev/null | tail -c +5 | tr -d '\000'
}

# While systemd is upgraded, its manager can ask for the partition by a name that only newer rules of udev give it, and wait
# for that name. And what mounts it can be gone: a generator of the version before had made it. Then the partition from
# which the boot loader came is mounted here, for so long as this takes.
disk=/dev/disk/by-partuuid/$(variable LoaderDevicePartUUID | tr 'A-F' 'a-f')
udevadm trigger --action=change "$disk" 2>/dev/null && udevadm settle --timeout=30 || true
if ! esp=$(bootctl --print-esp-path 2>/dev/null); then
    esp=$(mktemp --directory /run/zaffre-esp.XXXXXX)
    mount -t vfat -o umask=0077,nodev,nosuid,noexec "$disk" "$esp" || {
        rmdir "$esp"
        echo "$NAME: the EFI system partition is not mounted: mount it, then run 'dpkg --configure -a'" >&2
        exit 1
    }
    trap 'umount "$esp" && rmdir "$esp"' EXIT
fi
entries=$esp/EFI/Linux
new=${NAME}_$VERSION

# The entry that a file is of: its name without the tries left and done.
entry_of() {
    printf '%s\n' "${1##*/}" | sed -E 's/(\+[0-9]+(-[0-9]+)?)?\.efi$//'
}

for file in "$entries/$new".efi "$entries/$new"+*.efi; do
    [ ! -e "$file" ] || exit 0
done

# What the boot stub says that it started. bootctl prints it only since systemd 257, and a machine may be upgraded from
# an older one.
running=$(entry_of "$(variable StubImageIdentifier | tr '\\' /)")
good=
for file in $(find "$entries" -maxdepth 1 -name "${NAME}_*.efi" | sort -rV); do
    entry=$(entry_of "$file")
    [ "$entry" != "$running" ] || continue
    if [ -z "$good" ] && [ "$file" = "$entries/$entry.efi" ]; then
        good=$entry
        continue
    fi
    rm -f -- "$file"
    echo "$NAME: removed $entry from the EFI system partition"
done

size=$(stat --format=%s "$here/kernel.efi")
room=$(($(stat --file-system --format='%a * %S' "$esp")))
if [ "$size" -gt "$room" ]; then
    echo "$NAME: the kernel image has $size bytes, and $esp has room for $room" >&2
    exit 1
fi
cp -- "$here/kernel.efi" "$entries/.$NAME.new"
sync -- "$entries/.$NAME.new"
mv -- "$entries/.$NAME.new" "$entries/$new+$TRIES.efi"
sync -f -- "$entries"
echo "$NAME: $VERSION is started next, and has $TRIES tries to come up"
bootctl --no-variables --graceful --esp-path="$esp" update >/dev/null
