# For job scripts: . /lib.sh
# $h is this guest's number from 0, $n how many there are. Guests reach each other as node0, node1, ... on the management network.

say() { echo "[$(busybox cut -d ' ' -f 1 /proc/uptime)] $*"; }
fail() { say "FAILED: $*"; exit 1; }

# load MODULE: inserts it and what it needs, with the parameters that the kernel command line has for it (MODULE.PARAMETER=VALUE);
# fails if this kernel does not have it.
load() {
    [ -f "/m/$1.list" ] || return 1
    while read -r module; do
        # shellcheck disable=SC2046 # parameters are words
        [ -d "/sys/module/$module" ] || busybox insmod "/m/$module.ko" $(_parameters "$module") || return 1
    done < "/m/$1.list"
}
# unload_thunderbolt: where that is safe. The core of 7.3 leaves the other host's device behind, with no driver of a service too, and the
# kernel trips over it when it goes off.
unload_thunderbolt() {
    case $(busybox uname -r) in 7.3.*) return ;; esac
    busybox rmmod thunderbolt || fail "thunderbolt does not unload"
}
_parameters() {
    for _word in $(cat /proc/cmdline); do
        case $_word in "$1".*=*) echo "${_word#"$1".}" ;; esac
    done
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    _left=$(($1 * 5)); shift
    until "$@" > /dev/null 2>&1; do
        _left=$((_left - 1))
        [ $_left -gt 0 ] || return 1
        busybox usleep 200000
    done
}

# barrier NAME: until all guests came here.
barrier() {
    touch "/job/barrier.$1.$h"
    wait_for 60 _all_at "$1" || fail "barrier $1: not all guests came"
}
_all_at() {
    for _i in $(busybox seq 0 $((n - 1))); do [ -e "/job/barrier.$1.$_i" ] || return 1; done
}

# fault ARGS...: what `usb4-testbed ctl` takes, such as: fault unplug 0
_faults=0
fault() {
    _faults=$((_faults + 1))
    echo "$*" > "/job/fault.$h.$_faults.tmp"
    mv "/job/fault.$h.$_faults.tmp" "/job/fault.$h.$_faults"
    wait_for 10 test -e "/job/fault.$h.$_faults.done" || fail "fault $*: no answer"
    [ "$(busybox head -n 1 "/job/fault.$h.$_faults.done")" = ok ] || fail "fault $*: $(cat "/job/fault.$h.$_faults.done")"
}

# suspend SECONDS: this guest suspends to idle, all drivers down to the last, and resumes by the kernel's own test of that (pm_test): of the
# emulated machine's devices none can wake it. Without /job, since virtio-9p does not live through it: no other process may have a file
# open there, and what is said meanwhile is shown afterwards.
suspend() {
    _driver=/sys/bus/virtio/drivers/9pnet_virtio
    _device=$(cd $_driver && echo virtio*)
    exec > /tmp/meanwhile 2>&1
    busybox umount /job || { cat /tmp/meanwhile >> "/job/out.$h"; exec >> "/job/out.$h" 2>&1; fail "something has files of /job open"; }
    echo "$_device" > $_driver/unbind
    echo s2idle > /sys/power/mem_sleep
    echo platform > /sys/power/pm_test
    echo "$1" > /sys/module/suspend/parameters/pm_test_delay
    echo mem > /sys/power/state; _slept=$?
    echo none > /sys/power/pm_test
    echo "$_device" > $_driver/bind
    busybox mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=131072 job /job
    exec >> "/job/out.$h" 2>&1
    cat /tmp/meanwhile
    [ $_slept = 0 ] || fail "this guest does not sleep: $(busybox dmesg | busybox grep PM: | busybox tail -n 3)"
}

# Services that peers offer: one line each, such as 0-1.0 network
services() {
    for _s in /sys/bus/thunderbolt/devices/*.*; do
        [ -e "$_s/key" ] && echo "${_s##*/} $(cat "$_s/key")"
    done
}

# tbnet_up INTERFACE ADDRESS: waits until the interface of thunderbolt-net has the address and a carrier. It tries anew each time,
# since a link that trains takes the interface away and brings another of the same name.
tbnet_up() {
    _tbnet_interface=$1 _tbnet_address=$2
    wait_for 60 _tbnet_ready || fail "$1 did not come up: $(busybox ip addr show dev "$1" 2>&1)"
}
_tbnet_ready() {
    [ -e "/sys/class/net/$_tbnet_interface" ] || return 1
    busybox ip addr add "$_tbnet_address/24" dev "$_tbnet_interface" 2>/dev/null
    busybox ip link set "$_tbnet_interface" up && busybox grep -q 1 "/sys/class/net/$_tbnet_interface/carrier"
}

# ssh_up: root of every guest may log in to every other, as mpirun needs it (Debian image only).
ssh_up() {
    mkdir -p $HOME/.ssh /run/sshd && chmod 700 $HOME/.ssh
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key < /dev/null
    if [ "$h" = 0 ]; then
        ssh-keygen -q -t ed25519 -N '' -f $HOME/.ssh/id_ed25519 < /dev/null
        cp $HOME/.ssh/id_ed25519 /job/id.tmp && mv /job/id.tmp /job/id
        cp $HOME/.ssh/id_ed25519.pub /job/key.tmp && mv /job/key.tmp /job/key
    fi
    wait_for 60 test -e /job/key || fail "node0 made no key for ssh"
    cp /job/key $HOME/.ssh/authorized_keys; cp /job/id $HOME/.ssh/id_ed25519
    chmod 600 $HOME/.ssh/*
    /usr/sbin/sshd || fail "sshd does not start"
    barrier sshd
}
