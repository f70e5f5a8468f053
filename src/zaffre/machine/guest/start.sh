#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in the guest by an injected unit. Reports how the system settled, lays the check's signed extension over it and
# goes on with the program in there. All that it needs is coreutils and systemd.
#
# A report is one JSON object a line: {"fact": name, "boot": 1 or 2, "status": exit code, "data": output in base64}.
set -u
export LC_ALL=C
port=/dev/virtio-ports/org.zaffre.notify
work=/run/zaffre-check
kept=/var/lib/zaffre-check
mkdir -p "$work"
tries=0
until [ -e "$port" ] || [ "$tries" -ge 30 ]; do
    sleep 1
    tries=$((tries + 1))
done
exec 3>"$port"

boot=1
[ -e "$kept/nonce" ] && boot=2

tell() { # name, status, data
    printf '{"fact":"%s","boot":%s,"status":%s,"data":"%s"}\n' "$1" "$boot" "$2" "$(printf '%s' "$3" | base64 -w0)" >&3
}

fact() { # name, command and arguments; the output stays in $work/output
    name=$1
    shift
    "$@" >"$work/output" 2>&1
    status=$?
    printf '{"fact":"%s","boot":%s,"status":%s,"data":"%s"}\n' \
        "$name" "$boot" "$status" "$(base64 -w0 "$work/output")" >&3
}

event() { # the uptime tells the listener when the kernel had started
    read -r uptime _ </proc/uptime
    printf '{"event":"%s","boot":%s,"uptime":%s}\n' "$1" "$boot" "$uptime" >&3
}

give_up() { # what, output
    printf '{"event":"failed","boot":%s,"what":"%s","data":"%s"}\n' "$boot" "$1" "$(printf %s "$2" | base64 -w0)" >&3
    exit 1
}

event started
fact system.state timeout 180 systemctl is-system-running --wait
event settled
fact system.memory cat /proc/meminfo

# Asked now, as the extension will be an overlay on /usr.
said=$( (: >/usr/.zaffre-check) 2>&1)
tell usr.write $? "$said"

disk=/dev/disk/by-id/virtio-zaffre-check
[ -b "$disk" ] || give_up "the disk of the check's extension is not there" "$(ls /dev/disk/by-id 2>&1)"
mkdir -p /run/extensions
# A copy: systemd 257 takes an extension's name from the block device (vdb), and then finds no release file in it.
cp "$disk" "/run/extensions/$(cat "$CREDENTIALS_DIRECTORY/zaffre.extension").raw"
said=$(systemd-sysext refresh --image-policy="$(cat "$CREDENTIALS_DIRECTORY/zaffre.policy")" 2>&1) ||
    give_up "the check's extension was refused" "$said"
[ -r /usr/lib/zaffre-check/check ] || give_up "the check's extension has no check in it" "$said"
# shellcheck source=/dev/null
. /usr/lib/zaffre-check/check
