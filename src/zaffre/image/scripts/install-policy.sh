#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Loads the SELinux policy of this package, puts it where the system looks for it, and gives files the labels that it has
# for them. A package's own files come to their place one by one, while dpkg labels what it unpacks by the table that is
# there: the table and the policy have to change as one.
set -eu

here=/usr/lib/zaffre/selinux
there=/etc/selinux
table=contexts/files/file_contexts

known=no
cmp -s "$here/default/$table" "$there/default/$table" && known=yes

mkdir -p "$there"
rm -rf "$there/default.new" "$there/default.old"
cp -R "$here/default" "$there/default.new"

# Before it takes its place: a policy that the kernel refuses would stop the next boot. By one write, as the kernel asks
# (security/selinux/selinuxfs.c).
if [ -d /run/systemd/system ] && [ -e /sys/fs/selinux/load ]; then
    dd if="$(echo "$there"/default.new/policy/policy.*)" of=/sys/fs/selinux/load bs=64M conv=notrunc status=none
fi

# All at once; one after the other by an mv that is older than coreutils 9.5.
if [ -e "$there/default" ] &&
    ! mv --exchange --no-copy --no-target-directory "$there/default.new" "$there/default" 2>/dev/null; then
    mv "$there/default" "$there/default.old"
fi
[ -e "$there/default" ] || mv "$there/default.new" "$there/default"
rm -rf "$there/default.new" "$there/default.old"
cp "$here/config" "$there/config.new"
mv "$there/config.new" "$there/config"

# An image that is being made is labelled with its file system.
[ -d /run/systemd/system ] || exit 0

# setfiles does it on a kernel without SELinux too: the next one may have it.
if [ $known = no ]; then
    setfiles -F -m -e /dev -e /proc -e /run -e /sys "$there/default/$table" /
else
    setfiles -F "$there/default/$table" "$there"
fi
