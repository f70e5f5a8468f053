#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in the guest by an injected unit: tells by the notify port what state the boot settled in.
set -u
port=/dev/virtio-ports/org.zaffre.notify
tries=0
until [ -e "$port" ] || [ "$tries" -ge 30 ]; do
    sleep 1
    tries=$((tries + 1))
done
state=$(systemctl is-system-running --wait)
read -r uptime _ </proc/uptime
printf '{"event":"ready","state":"%s","uptime":%s}\n' "$state" "$uptime" >"$port"
