#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The beginning of every check that runs in a guest: how it reports, and how the system settled.
#
# A report is one JSON object a line: {"fact": name, "boot": number, "status": exit code, "data": output in base64}. The
# boots are 1 and 2, and 0 that of a version from which the one that is checked is updated.
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
if [ -r "$CREDENTIALS_DIRECTORY/zaffre.update" ]; then
    . /usr/lib/os-release
    read -r before next <"$CREDENTIALS_DIRECTORY/zaffre.update"
    [ "$IMAGE_VERSION" != "$before" ] || boot=0
fi

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

judged() { # whether the boot is judged, and blessed if that is due
    case $(systemctl is-active boot-complete.target systemd-bless-boot.service | tr '\n' ' ') in
        'active activating '*) return 1 ;;
        active*) return 0 ;;
    esac
    systemctl is-failed --quiet zaffre-health.service
}

# What SELinux has refused in a boot, as far as its log is kept, contexts that it takes for invalid among it (type 1401,
# which journald calls SELINUX_ERR); that it loaded a policy (type 1403), which shows that what
# it says arrives there; and what says that something did not: the kernel's, and journald's word for it
# (SD_MESSAGE_JOURNAL_MISSED).
denials() {
    journalctl --boot="$1" --no-pager --output=cat _TRANSPORT=audit + _TRANSPORT=kernel \
        + MESSAGE_ID=e9bf28e6e834481bb6f48f548ad13606 >"$work/journal" || return
    while read -r line; do
        case $line in
            *avc:*denied* | *type=1403* | *type=1401* | "SELINUX_ERR "*) printf '%s\n' "$line" ;;
            *audit_lost=* | *audit*"backlog limit exceeded"* | *audit*"callbacks suppressed"* | "Missed "*)
                printf 'lost: %s\n' "$line"
                ;;
        esac
    done <"$work/journal"
}

# From here to where the machine stops the journal is not on a disk: the console has what is refused then.
last_words() {
    fact console.level sh -c 'echo 6 >/proc/sys/kernel/printk'
}

event started
fact system.state timeout 180 systemctl is-system-running --wait
event settled
fact system.memory cat /proc/meminfo
