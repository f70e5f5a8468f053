#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Whether this boot of this host is healthy, and what follows from it (docs/explanation/updates.md).
#
#   check       runs all checks, writes their verdicts, and ends with 1 if one of them fails, or they can't be written
#   gate [N]    on trial: ends with 1, at which systemd restarts the machine, if the boot is not healthy and there is
#               something better to boot. With N, a version that was good before is not on trial, and is armed
#   arm N       gives the version that runs N tries again, and remembers that it was good
#   root, var   two of the checks; the others are programs in health.d, which say by exit code 0 that all is well
#
# Needs a POSIX shell, coreutils, dmsetup and systemctl.
set -u
export LC_ALL=C

here=/usr/lib/zaffre
state=/var/lib/zaffre/health
kernels=/boot/EFI/Linux
counted=/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
# Seconds that each check has.
limit=${ZAFFRE_HEALTH_SECONDS:-60}
# IMAGE_ID and IMAGE_VERSION
. /usr/lib/os-release

mounted() { # field of mountinfo (proc_pid_mountinfo(5)), mount point: that of what was mounted there last
    found=
    while read -r _ _ device _ target _ rest; do
        [ "$target" = "$2" ] || continue
        found=$device
        [ "$1" = device ] || found=${rest##*- } found=${found%% *}
    done </proc/self/mountinfo
    printf '%s\n' "$found"
}

# The root is a dm-verity device that has seen no damage, with the root hash of the signed kernel image.
root() {
    device=$(mounted device /)
    # shellcheck disable=SC2046 # words
    set -- "${device%:*}" "${device#*:}" \
        $(dmsetup status --major "${device%:*}" --minor "${device#*:}") \
        $(dmsetup table --major "${device%:*}" --minor "${device#*:}")
    # status: START LENGTH verity V; table: START LENGTH verity VERSION DEVICES… with the digest as the twelfth word
    [ "${5-}" = verity ] && [ "${6-}" = V ] || { echo "the root is not verified: ${*}" >&2; return 1; }
    shift 6
    case " $(cat /proc/cmdline) " in
        *" roothash=${12-} "*) ;;
        *) echo "the root has the hash ${12-}, which is not that of the kernel command line" >&2; return 1 ;;
    esac
}

# /var is a file system on a disk, and takes what is written.
var() {
    case $(mounted type /var) in
        '' | tmpfs | ramfs | overlay) echo "/var is not on a disk" >&2; return 1 ;;
    esac
    probe=$state/.probe
    read -r id </proc/sys/kernel/random/boot_id
    mkdir -p "$state" && printf '%s\n' "$id" >"$probe" && sync "$probe" && [ "$(cat "$probe")" = "$id" ] && rm "$probe"
}

uptime() { # whole seconds
    read -r seconds _ </proc/uptime
    printf '%s\n' "${seconds%%.*}"
}

current() { # the file name of the entry that runs, if its boots are counted
    [ -e "$counted" ] || return 0
    # Four bytes of attributes, then UTF-16 (efivarfs; systemd.io/BOOT_LOADER_INTERFACE).
    path=$(tr -d '\000' <"$counted")
    printf '%s\n' "${path##*\\}"
}

used_up() { # file name: whether it is an entry that has no tries left
    case $1 in *+0.efi | *+0-*.efi) return 0 ;; esac
    return 1
}

remember_bad() { # every other version of this image whose tries were used up in vain
    running=$(current)
    for path in "$kernels/${IMAGE_ID}_"*.efi; do
        name=${path##*/}
        { [ -e "$path" ] && used_up "$name" && [ "$name" != "$running" ]; } || continue
        version=${name#"${IMAGE_ID}_"}
        version=${version%+*}
        [ ! -e "$state/bad/$version" ] || continue
        date +%s >"$state/bad/$version"
        rm -f "$state/good/$version"
        echo "version $version did not come up healthy, and is remembered as bad"
    done
}

verdicts=
healthy=true
run() { # name, command and arguments
    check=$1
    shift
    before=$(uptime)
    timeout --kill-after=5 "$limit" "$@"
    status=$?
    took=$(($(uptime) - before))
    case $status in
        0) echo "$check: healthy" ;;
        124 | 137) echo "$check: not healthy: no answer within $limit s" ;;
        *) echo "$check: not healthy: exit code $status" ;;
    esac
    [ "$status" = 0 ] || healthy=false
    verdicts="$verdicts${verdicts:+, }{\"name\": \"$check\", \"status\": $status, \"seconds\": $took}"
}

check() {
    mkdir -p "$state/bad"
    remember_bad
    run root sh "$here/health" root
    run var sh "$here/health" var
    for path in "$here"/health.d/* /etc/zaffre/health.d/*; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        # What JSON and a path can hold without a second thought; the program itself is called by its whole name.
        run "$(printf %s "${path##*/}" | tr -c 'A-Za-z0-9._-' _)" "$path"
    done
    trial=false
    [ ! -e "$counted" ] || trial=true
    printf '{"version": "%s", "boot": "%s", "time": %s, "trial": %s, "healthy": %s, "checks": [%s]}\n' \
        "$IMAGE_VERSION" "$(cat /proc/sys/kernel/random/boot_id)" "$(date +%s)" "$trial" "$healthy" "$verdicts" \
        >"$state/.verdict" && sync "$state/.verdict" && mv "$state/.verdict" "$state/$IMAGE_VERSION.json" || {
        echo "the verdict can't be written to $state" >&2
        return 1
    }
    [ "$healthy" = true ] || return 1
    rm -f "$state/bad/$IMAGE_VERSION"
}

better() { # whether a restart can help: tries are left, or another entry has not failed
    running=$(current)
    used_up "$running" || return 0
    for path in "$kernels"/*.efi; do
        name=${path##*/}
        { [ ! -e "$path" ] || [ "$name" = "$running" ] || used_up "$name"; } || return 0
    done
    return 1
}

arm() { # tries
    version=${IMAGE_ID}_$IMAGE_VERSION
    for name in "$version.efi" "$(current)"; do
        [ -n "$name" ] && [ -e "$kernels/$name" ] || continue
        mkdir -p "$state/good" && : >"$state/good/$IMAGE_VERSION" && sync "$state/good" || return 1
        mv "$kernels/$name" "$kernels/$version+$1.efi" && sync "$kernels"
        return
    done
    echo "no kernel image of version $IMAGE_VERSION is there, and it has no new tries" >&2
    return 1
}

gate() { # tries, if every boot is counted
    systemctl is-active --quiet zaffre-health.service && return 0
    if [ -n "${1-}" ] && [ -e "$state/good/$IMAGE_VERSION" ]; then
        echo "version $IMAGE_VERSION is not healthy, and was before: it stays, and has its tries again"
        arm "$1"
        return
    fi
    if better; then
        echo "version $IMAGE_VERSION is on trial and not healthy: the machine restarts"
        return 1
    fi
    echo "version $IMAGE_VERSION is not healthy, and there is nothing else to boot: it stays"
}

case ${1-} in
    check | root | var) "$1" ;;
    gate | arm) "$@" ;;
    *) echo "usage: health check|gate [N]|arm N|root|var" >&2; exit 64 ;;
esac
