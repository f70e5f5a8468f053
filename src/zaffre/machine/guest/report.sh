#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The beginning of every check that runs in a guest: how it reports, and how the system settled.
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

denials() { # what SELinux has refused in a boot, as far as its log is kept
    journalctl --boot="$1" --no-pager --output=cat _TRANSPORT=audit + _TRANSPORT=kernel >"$work/journal" || return
    while read -r line; do
        case $line in *avc:*denied*) printf '%s\n' "$line" ;; esac
    done <"$work/journal"
}

event started
fact system.state timeout 180 systemctl is-system-running --wait
event settled
fact system.memory cat /proc/meminfo
