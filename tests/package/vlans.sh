#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Run by a Debian that has just booted, on whose second disk this lies beside slamboot, slam-client and an
# image: one server for three VLANs at once. Those numbered 10 and 20 go over a pair of virtual cards to two
# rooms, each a network namespace; 30 is a VLAN of this machine's own card, where PCs boot.
#
#   trunk.10 ─┐                    ┌─ room.10   in room10
#             ├─ trunk ──── far ───┤
#   trunk.20 ─┘                    └─ room.20   in room20
#   CARD.30 ─── CARD ──── the lab's switch ──── PCs that tag by themselves
set -u
here=$(dirname "$0")
export LC_ALL=C.UTF-8
# shellcheck source=steps.sh
. "$here/steps.sh"

image=/tmp/demo.img
events=/tmp/events
last_words() { tail -n 30 "$events" /tmp/*.log; }

server4() { echo "10.$1.0.1"; }
server6() { echo "fd$1::1"; }
# An interface, up, with an address of either family: who, in which VLAN, and how `ip` gets there.
addresses() {
    local interface=$1 vlan=$2 last=$3
    shift 3
    "$@" address add "10.$vlan.0.$last/24" dev "$interface" &&
        "$@" -6 address add "fd$vlan::$last/64" dev "$interface" nodad &&
        "$@" link set "$interface" up
}
# A VLAN of the trunk, from the server to a room.
room() {
    local vlan=$1
    ip link add link trunk name "trunk.$vlan" type vlan id "$vlan" &&
        addresses "trunk.$vlan" "$vlan" 1 ip &&
        ip netns add "room$vlan" &&
        ip -n "room$vlan" link set lo up &&
        ip -n far link add link far name "room.$vlan" type vlan id "$vlan" &&
        ip -n far link set "room.$vlan" netns "room$vlan" &&
        addresses "room.$vlan" "$vlan" 2 ip -n "room$vlan"
}
trunk() {
    ip netns add far &&
        ip link add trunk type veth peer name far netns far &&
        ip link set trunk up &&
        ip -n far link set far up
}
lab() {
    ip link add link "$card" name "$card.30" type vlan id 30 &&
        addresses "$card.30" 30 1 ip
}
# What an interface heard since it was made, whoever it was for.
heard() { ip netns exec "room$1" cat "/sys/class/net/room.$1/statistics/rx_bytes"; }
# In the room of a VLAN: a file of either family, and what it is called.
fetch() {
    local vlan=$1 family=$2 from group
    case $family in
    4) from=$(server4 "$vlan") group=239.255.1.1 ;;
    6) from="[$(server6 "$vlan")]" group="[ff15::5a]" ;;
    esac
    ip netns exec "room$vlan" "$here/slam-client" "x-slam://$from:10000/$group:10000" \
        --output "/tmp/$vlan-$family.img" >"/tmp/$vlan-$family.log" 2>&1 &&
        cmp "/tmp/$vlan-$family.img" "$image"
}
# Of a transfer: sessions that were begun, and clients that have it whole.
count_is() {
    local metrics sessions finished
    metrics=$(curl --silent --show-error --fail --max-time 60 "http://$(server4 30):8080/metrics")
    metric() { sed -n "s/^slamboot_transfer_$1{transfer=\"$2\"} //p" <<<"$metrics"; }
    sessions=$(metric sessions_total "$1") finished=$(metric clients_finished_total "$1")
    echo "$1: $sessions sessions, $finished clients"
    [ "$sessions $finished" = "$2" ]
}
# So many events of this kind, of a transfer.
told() { [ "$(grep "\"transfer\":\"$1\"" "$events" | grep -c "\"event\":\"$2\"")" -ge "$3" ]; }
within() {
    local seconds=$1
    shift
    for _ in $(seq "$seconds"); do
        "$@" && return 0
        sleep 1
    done
    echo "not within $seconds s: $*"
    return 1
}
between() {
    echo "$1 bytes, at least $2 and at most $3 were expected"
    [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
}

# What networkd does to cards that it finds is not what is tried.
systemctl stop systemd-networkd.socket systemd-networkd.service
for card in /sys/class/net/*; do
    card=${card##*/}
    [ "$card" = lo ] || break
done
cp "$here/demo.img" "$image"
size=$(stat -c %s "$image")
step "the kernel has VLANs" modprobe 8021q
step "a trunk" trunk
step "VLAN 10 on it, and a room" room 10
step "VLAN 20 on it, and a room" room 20
step "VLAN 30 on $card" lab
read_step "the kernel says so" cat /proc/net/vlan/config

cat >/tmp/slamboot.toml <<END
[server]
interface = ["trunk.10", "trunk.20", "$card.30"]
state = "/tmp/state"
[dhcp]
mode = "pool"
pool = "10.30.0.100-10.30.0.109"
[slam]
group = "239.255.1.1, ff15::5a"
max_rate = "16 Mbit/s"
[firmware.script]
http_fallback = false
[[image]]
name = "demo"
kind = "disk"
path = "$image"
END
"$here/slamboot" serve --config /tmp/slamboot.toml --json >"$events" 2>/tmp/server.log &
server=$!
step "it serves on three VLANs at once" within 300 grep -q '"event":"serving"' "$events"
for transfer in "demo on trunk.10" "demo on trunk.20" "demo on $card.30" \
    "demo (IPv6) on trunk.10" "demo (IPv6) on trunk.20" "demo (IPv6) on $card.30"; do
    step "it has a transfer \"$transfer\", which nobody asked for" count_is "$transfer" "0 0"
done

before10=$(heard 10) before20=$(heard 20)
declare -A fetching
for family in 4 6; do
    for vlan in 10 20; do
        fetch $vlan $family &
        fetching[$vlan-$family]=$!
    done
done
for family in 4 6; do
    for vlan in 10 20; do
        wait "${fetching[$vlan-$family]}" || fail "VLAN $vlan gets the image over IPv$family"
        say "ok VLAN $vlan gets the image over IPv$family"
    done
done
began=$(grep -n '"event":"session_started"' "$events" | tail -n 1 | cut -d: -f1)
ended=$(grep -n '"event":"client_finished"' "$events" | head -n 1 | cut -d: -f1)
step "all four were sent at the same time" [ "$began" -lt "$ended" ]
for transfer in "demo on trunk.10" "demo on trunk.20" "demo (IPv6) on trunk.10" "demo (IPv6) on trunk.20"; do
    step "\"$transfer\" is one session, for one client" count_is "$transfer" "1 1"
done
# Twice the file, once for each family; one that heard the other's, too, would have heard it four times.
for vlan in 10 20; do
    before=before$vlan
    got=$(($(heard $vlan) - ${!before}))
    say "VLAN $vlan heard $got bytes for 2 times $size"
    step "VLAN $vlan heard its own sessions, and no others" between $got $((2 * size)) $((3 * size))
done

before10=$(heard 10) before20=$(heard 20)
step "VLAN 10 gets the image alone" fetch 10 4
got10=$(($(heard 10) - before10)) got20=$(($(heard 20) - before20))
say "VLAN 10 heard $got10 bytes for $size, VLAN 20 $got20"
step "and hears it" between $got10 $size $((size + size / 2))
step "of which VLAN 20 hears nothing" between $got20 0 10000
step "it is another session of VLAN 10's" count_is "demo on trunk.10" "2 2"
step "and none of VLAN 20's" count_is "demo on trunk.20" "1 1"

say "serving $card.30"
# Two PCs beside this Debian are switched on, one after the other.
step "a PC is served in VLAN 30" within 900 told "demo on $card.30" client_finished 1
step "a second PC is served in VLAN 30" within 900 told "demo on $card.30" client_finished 2
step "which is seen in no other VLAN's sessions" count_is "demo on trunk.20" "1 1"
step "one of them leased an address" grep -q '"event":"address_leased".*10\.30\.0\.10[0-9]' "$events"
# The lab's own DHCP server is on the same wire, without a tag.
step "and no other DHCP server was heard in a VLAN" [ "$(grep -c rival_dhcp "$events")" = 0 ]
kill -INT $server
wait $server || fail "it ends when it is told to"
say "ok it ends when it is told to"
grep -h '"event":"\(warning\|failed\|rejected\)"' "$events" | show
done_with_it
