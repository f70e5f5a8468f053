#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in the guest at each boot by an injected unit: tells what becomes of a host that follows a channel by itself. It
# changes nothing. Reports are lines of JSON, as those of `zaffre check`.
set -u
export LC_ALL=C
port=/dev/virtio-ports/org.zaffre.notify
until [ -e "$port" ]; do
    sleep 1
done
exec 3>"$port"
. /usr/lib/os-release
kept=/var/lib/zaffre/agent

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

printf '{"event":"started","version":"%s"}\n' "$IMAGE_VERSION" >&3
# A boot that is not healthy ends meanwhile.
until settled; do
    sleep 1
done
fact entries ls /boot/EFI/Linux
fact verdict cat "/var/lib/zaffre/health/$IMAGE_VERSION.json"
before=
# What was decided in an earlier boot counts for nothing. The manager makes its socket when it begins.
decided() {
    if [ "$kept/last.json" -nt /run/systemd/private ]; then
        cat "$kept/last.json"
    fi
}
until [ -e /run/systemd/shutdown/scheduled ]; do
    after=$(decided)
    if [ "$after" != "$before" ]; then
        before=$after
        fact merged systemd-sysext status --json=short
        fact units systemctl is-active zaffre-follow.service zaffre-agent.timer
        fact failed systemctl list-units --failed --plain --no-legend
        fact journal journalctl --boot --unit=zaffre-follow.service --unit=zaffre-agent.service \
            --unit=systemd-sysext.service --output=cat --no-pager
        fact did cat "$kept/journal.jsonl"
        # What it decides to stay at is told by the agent itself.
        case $after in *'"act": "stay"'*)
            fact status /usr/lib/zaffre-agent/zaffre-agent status --json
            fact drift /usr/lib/zaffre-agent/zaffre-agent drift --json
            fact quote /usr/lib/zaffre-agent/zaffre-agent quote --nonce 000102030405060708090a0b0c0d0e0f
            ;;
        esac
        if [ -e /sys/fs/selinux/enforce ]; then
            fact enforcing cat /sys/fs/selinux/enforce
            fact denials journalctl --boot --grep='avc: +denied' --output=cat --no-pager
            fact denials-before journalctl --boot=-1 --grep='avc: +denied' --output=cat --no-pager
        fi
        # The last one: whoever waits for it has all the others.
        fact last printf '%s' "$after"
    fi
    sleep 1
done
