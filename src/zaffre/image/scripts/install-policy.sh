#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Loads the SELinux policy of this package, puts it where the system looks for it, and gives files the labels that it has
# for them; with "again", labels alone, and then the system starts anew. A package's own files come to their place one by
# one, while dpkg labels what it unpacks by the table that is there: the table and the policy have to change as one.
set -eu

here=/usr/lib/zaffre/selinux
there=/etc/selinux
table=contexts/files/file_contexts
# Files have other labels than those of the table, until all have been given theirs: whatever interrupts this.
mark=$there/.relabel

# setfiles labels on a kernel without SELinux too (-m: all mounts count): the next one may have it. It stays on one file
# system, and ends with 1 when it could not label some files, each of which it names: that is well if they were gone when
# it came to them.
label() {
    said=$(LC_ALL=C setfiles -F -m -C "$there/default/$table" "$1" 2>&1 >/dev/null) && return
    status=$?
    printf '%s\n' "$said" >&2
    [ "$status" = 1 ] && ! printf '%s\n' "$said" | grep -qv -e '^$' -e ': *No such file or directory$'
}

# All places, whatever happens in one of them.
label_all() {
    findmnt --noheadings --list --types btrfs,ext4,xfs --options rw --output TARGET | {
        failed=0
        while IFS= read -r place; do
            label "$place" || failed=1
        done
        exit "$failed"
    }
}

if [ "${1:-}" = again ]; then
    label_all
    rm "$mark"
    sync -f "$there"
    exec systemctl --no-block reboot
fi

mkdir -p "$there"
# An image that is being made is labelled with its file system.
if [ -d /run/systemd/system ] && ! cmp -s "$here/default/$table" "$there/default/$table"; then
    : >"$mark"
fi
rm -rf "$there/default.new" "$there/default.old"
cp -R "$here/default" "$there/default.new"
cp "$here/config" "$there/config.new"

# Before it takes its place: a policy that the kernel refuses would stop the next boot. By one write, as the kernel asks
# (security/selinux/selinuxfs.c).
if [ -d /run/systemd/system ] && [ -e /sys/fs/selinux/load ]; then
    dd if="$(echo "$there"/default.new/policy/policy.*)" of=/sys/fs/selinux/load bs=64M conv=notrunc status=none
fi

# What is written is on the disk before it has its name, or a power cut could leave an empty policy under it.
sync -f "$there"
# All at once; one after the other by an mv that is older than coreutils 9.5.
if [ -e "$there/default" ] &&
    ! mv --exchange --no-copy --no-target-directory "$there/default.new" "$there/default" 2>/dev/null; then
    mv "$there/default" "$there/default.old"
fi
[ -e "$there/default" ] || mv "$there/default.new" "$there/default"
mv "$there/config.new" "$there/config"
sync -f "$there"
rm -rf "$there/default.new" "$there/default.old"

[ -d /run/systemd/system ] || exit 0

# The table itself first: who looks up labels meanwhile has to be able to read it.
label "$there"
[ -e "$mark" ] || exit 0
label_all
# What a kernel without SELinux goes on to write has no label: the first start with it does this once more.
[ ! -e /sys/fs/selinux/load ] || rm "$mark"
