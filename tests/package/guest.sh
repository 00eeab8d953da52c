#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Run by a Debian that has just booted, on whose second disk this lies beside two versions of the package:
# what an administrator does with it. Each step is one line on the console; the first that fails ends it.
set -u
here=$(dirname "$0")
unit=slamboot
config=/etc/slamboot/slamboot.toml
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

# shellcheck source=steps.sh
. "$here/steps.sh"
last_words() { journalctl --no-pager -u "$unit" -n 30; }
installed() { apt-get install --yes --no-install-recommends "$1"; }
pid() { systemctl show --property MainPID --value "$unit"; }
is() { [ "$(systemctl is-active "$1")" = "$2" ]; }
# So many lines of the journal since the unit's present start say this.
told() { [ "$(journalctl --no-pager -o cat -u "$unit" "_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value "$unit")" | grep -c -- "$1")" -ge "$2" ]; }
until_told() {
    for _ in $(seq "${3:-60}"); do
        told "$1" "${2:-1}" && return 0
        sleep 1
    done
    echo "the journal does not say $1"
    return 1
}
address() { ip -4 -o address show scope global | awk '{ sub("/.*", "", $4); print $4; exit }'; }
fetch() { slam-client "x-slam://$(address)" --output "$1" && cmp "$1" /usr/share/slamboot/demo.img; }
healthy() { curl --silent --show-error --fail --max-time 60 "http://$(address):8080/healthz"; }

for _ in $(seq 60); do [ -n "$(address)" ] && break; sleep 1; done
[ -n "$(address)" ] || fail "an address"
say "address $(address)"
# Names of files alone: what systemd writes in between is not ours.
files() { find / -xdev \( -iname '*slamboot*' -o -iname '*slam-client*' \) -not -path "$here/*" | sort; }
step "nothing was there" [ -z "$(files)" ]

say "begins: install"
read_step "apt installs the package" installed "$here/this.deb"
step "it is neither enabled" [ "$(systemctl is-enabled $unit)" = disabled ]
step "nor started" is $unit inactive
say "begins: doctor"
slamboot doctor 2>&1 | show
say "begins: start"
step "it is enabled and started" systemctl enable --now $unit
step "Type=notify: it was started when it said so" is $unit active
read_step "status" systemctl --no-pager --full status $unit
step "it says what it does" [ "$(systemctl show -p StatusText --value $unit)" = serving ]
step "HTTP answers" healthy
say "serving $(address)"

exposure=$(systemd-analyze security --no-pager $unit | sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
say "exposure $exposure"
step "systemd-analyze security says less than 3.0" awk -v e="$exposure" 'BEGIN { exit !(e != "" && e < 3.0) }'
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid)/status"; }
say "uid $(status Uid | cut -f1), capabilities $(status CapEff), no new privileges $(status NoNewPrivs), seccomp $(status Seccomp)"
step "it is not root" [ "$(status Uid | cut -f1)" != 0 ]
step "it has no capability left" [ "$(status CapEff)$(status CapPrm)$(status CapAmb)" = "$(printf '0%.0s' {1..48})" ]
step "it gets none" [ "$(status NoNewPrivs)" = 1 ]
step "its state is where it should be" test -f /var/lib/private/$unit/token
step "and nobody else's" [ "$(stat -c %a /var/lib/private/$unit/token)" = 600 ]
step "slam-client fetches the demo" fetch /tmp/first.img

# A PC beside this Debian has been switched on.
until_told '"event":"client_finished"' 2 900 || fail "a PC is served"
say "ok a PC is served"

main=$(pid)
sed -i 's/^\[server\]/[slam]\nmax_rate = "40 Mbit\/s"\n[server]/' $config
step "systemctl reload reads the changed configuration" systemctl reload $unit
step "and says so" until_told '"event":"reloaded"'
fetch /tmp/second.img >/tmp/second.log 2>&1 &
fetching=$!
sleep 3
step "it is reloaded while somebody is served" systemctl reload $unit
step "somebody is" kill -0 $fetching
wait $fetching || fail "who gets the whole file"
say "ok who gets the whole file"
step "from the process that it was" [ "$(pid)" = "$main" ]

fetch /tmp/third.img >/tmp/third.log 2>&1 &
fetching=$!
sleep 3
step "it is restarted while somebody is served" systemctl restart $unit
step "somebody is" kill -0 $fetching
wait $fetching || fail "who gets the whole file, from both"
say "ok who gets the whole file, from both"
step "the first of which is gone" [ "$(pid)" != "$main" ]

main=$(pid)
say "begins: upgrade"
step "apt upgrades the package" installed "$here/next.deb"
step "which restarts it" [ "$(pid)" != "$main" ]
step "it serves again" healthy
step "the changed configuration stays" grep -q "40 Mbit" $config
step "a reinstallation" apt-get install --yes --reinstall --no-install-recommends "$here/next.deb"
step "serves again" healthy

step "it is stopped" systemctl stop $unit
step "systemd opens its port" systemctl enable --now $unit.socket
step "which is systemd's" bash -c "ss -ltnp 'sport = :8080' | grep -q '\"systemd\"'"
step "the first connection starts it" healthy
step "it is started when it says so" systemctl start $unit
step "it says that HTTP's socket came from systemd" until_told '"event":"serving"'
# Connections are taken while it restarts.
(for _ in $(seq 20); do healthy >/dev/null || echo lost; done) >/tmp/lost 2>&1 &
asking=$!
step "it restarts" systemctl restart $unit
wait $asking
step "and loses no connection" [ ! -s /tmp/lost ]

step "it is removed" apt-get remove --yes $unit
step "which ends it" is $unit inactive
step "the configuration stays" test -f $config
step "and so does its state" test -f /var/lib/private/$unit/token
step "it is purged" apt-get purge --yes $unit
left=$(files | grep -v -e '^/var/log/journal/' -e '^/tmp/')
printf '%s\n' "$left" | show
step "nothing of it is left" [ -z "$left" ]
systemctl list-unit-files --no-legend "$unit*" | show
step "no unit either" [ -z "$(systemctl list-unit-files --no-legend "$unit*")" ]
done_with_it
