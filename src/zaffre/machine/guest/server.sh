# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Goes on from report.sh in a server: looks at it and restarts it once, to see what is kept.

root_bytes() {
    stat --file-system --format='%b %S' /
}

efi_variables() {
    global=8be4df61-93ca-11d2-aa0d-00e098032b8c
    security=d719b2cb-3d3a-4596-a3bc-dad00e67656f
    for name in "SecureBoot-$global" "SetupMode-$global" "PK-$global" "KEK-$global" "db-$security"; do
        fact "efi.${name%%-*}" cat "/sys/firmware/efi/efivars/$name"
    done
}

settings() { # the files below /proc/sys that the machine's owner asks for, of which some are patterns
    while read -r path; do
        # shellcheck disable=SC2231 # a pattern
        for file in /proc/sys/$path; do
            [ -r "$file" ] && printf '%s=%s\n' "${file#/proc/sys/}" "$(cat "$file")"
        done
    done <"$CREDENTIALS_DIRECTORY/zaffre.sysctl"
}

domains() { # in which domain each service runs
    systemctl list-units --type=service --state=running --plain --no-legend | while read -r unit _; do
        pid=$(systemctl show --property=MainPID --value "$unit")
        printf '%s %s\n' "$unit" "$(tr -d '\000' <"/proc/$pid/attr/current")"
    done
}

both_boots() {
    fact system.failed systemctl list-units --failed --plain --no-legend
    [ -s "$work/output" ] && fact system.log journalctl --boot --priority=warning --lines=40 --no-pager --no-hostname
    fact system.times systemctl show --property=FirmwareTimestampMonotonic,LoaderTimestampMonotonic \
        --property=InitRDTimestampMonotonic,UserspaceTimestampMonotonic,FinishTimestampMonotonic
    fact system.units systemctl show multi-user.target ssh.service \
        --property=Id,ActiveState,ActiveEnterTimestampMonotonic
    fact root.size root_bytes
    fact machine-id cat /etc/machine-id
    fact boot-id cat /proc/sys/kernel/random/boot_id
    fact selinux.enforce cat /sys/fs/selinux/enforce
    fact ssh.keys sh -c 'cat /etc/ssh/ssh_host_*_key.pub'
}

first_boot() {
    fact system.release cat /etc/os-release
    fact system.kernel uname -r
    fact system.mounts cat /proc/self/mountinfo
    fact system.services systemctl list-units --type=service --state=running --plain --no-legend
    fact system.time systemctl show systemd-timesyncd.service chrony.service ntpsec.service \
        --property=Id,LoadState,ActiveState
    efi_variables
    fact kernel.settings settings
    fact kernel.modules cat /proc/modules
    fact kernel.builtin cat "/usr/lib/modules/$(uname -r)/modules.builtin"
    fact kernel.lsm cat /sys/kernel/security/lsm
    fact kernel.lockdown cat /sys/kernel/security/lockdown
    fact kernel.inputs cat /proc/bus/input/devices
    fact selinux.domains domains
    fact tpm.version cat /sys/class/tpm/tpm0/tpm_version_major
    fact network.links networkctl --json=short status --all
    fact network.resolver resolvectl dns
    for table in tcp tcp6 udp udp6; do
        fact "listening.$table" cat "/proc/net/$table"
    done
    fact firewall.rules nft --json list ruleset
    fact ssh.settings sshd -T
    fact packages.audit dpkg --audit
    fact packages.check apt-get check
    fact packages.verify dpkg --verify
    fact cloud.status cloud-init status --format json
    fact user.keys cat /home/admin/.ssh/authorized_keys
    fact user.sudo runuser -u admin -- sudo -n true
    fact boot.entries sh -c 'ls "$(bootctl --print-esp-path)/EFI/Linux"'
    fact journal.settings systemd-analyze cat-config systemd/journald.conf
    fact journal.kept ls /var/log/journal
    fact root.write sh -c 'mkdir -p "$1" && cat "$2/zaffre.nonce" >"$1/nonce" && cat "$1/nonce"' - \
        "$kept" "$CREDENTIALS_DIRECTORY"
}

both_boots
if [ "$boot" = 1 ]; then
    first_boot
    fact selinux.denials denials 0
    sync
    last_words
    event restart
    systemctl --no-block reboot
else
    fact root.kept cat "$kept/nonce"
    fact selinux.denials denials 0
    fact selinux.denials-before denials -1
    event end
    systemctl --no-block poweroff
fi
