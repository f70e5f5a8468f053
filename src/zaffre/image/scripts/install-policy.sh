#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts the SELinux policy of this package where the system looks for it, loads it, and gives files the labels that it has
# for them. A package's own files come to their place one by one, while dpkg labels what it unpacks by the table that is
# there: the table and the policy have to change as one.
set -eu

here=/usr/lib/zaffre/selinux
there=/etc/selinux
table=contexts/files/file_contexts

known=no
cmp -s "$here/default/$table" "$there/default/$table" && known=yes

mkdir -p "$there"
rm -rf "$there/default.new"
cp -R "$here/default" "$there/default.new"
if [ -e "$there/default" ]; then
    mv --exchange --no-copy --no-target-directory "$there/default.new" "$there/default"
    rm -rf "$there/default.new"
else
    mv "$there/default.new" "$there/default"
fi
cp "$here/config" "$there/config.new"
mv "$there/config.new" "$there/config"

# An image that is being made is labelled with its file system.
[ -d /run/systemd/system ] || exit 0

if [ -e /sys/fs/selinux/load ]; then
    load_policy
fi
# setfiles does it on a kernel without SELinux too: the next one may have it.
if [ $known = no ]; then
    setfiles -F -m -e /dev -e /proc -e /run -e /sys "$there/default/$table" /
else
    setfiles -F "$there/default/$table" "$there"
fi
