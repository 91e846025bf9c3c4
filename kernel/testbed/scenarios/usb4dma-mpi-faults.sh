# Two Debian guests, two cables: MPI over usb4 while cables are pulled, ranks are killed, the driver leaves, and a host sleeps or
# restarts. Each fault has a defined effect, and after each the same program must run again.
#
#   cargo xtask vm mpi --part faults
. /lib.sh
. /usb4.sh
echo boot >> "/job/boots.$h"
usb4dma_load 4 rails=2
usb4_install
ssh_up
only_first

eval "$($prefix/bin/usb4ctl env)"
export UCX_TLS=usb4 UCX_USB4_REPLUG_TIMEOUT=60s UCX_USB4_PEER_TIMEOUT=60s
ring=$prefix/bin/ring
mpi_limit=500

# load_start ROUNDS: a job that exchanges data; returns when the rails carry it.
load_start() {
    _before=$(counted tx_bytes)
    mpi $ring 1000000 "$1" > /tmp/load 2>&1 &
    load=$!
    wait_for 60 _load_moves || { cat /tmp/load; fail "the job does not move"; }
}
_load_moves() { [ $(($(counted tx_bytes) - _before)) -gt 3000000 ]; }
# under_load WHAT: the fault has happened, and the job is not over.
under_load() { busybox kill -0 $load 2> /dev/null || { cat /tmp/load; fail "$1: the job had ended before the fault"; }; }
# load_passes WHAT: it must end well, with right data.
load_passes() {
    wait $load || { busybox tail -n 20 /tmp/load; fail "$1: the job failed"; }
    grep -q 'ring: PASS' /tmp/load || { cat /tmp/load; fail "$1: the data was not checked"; }
    result "$1" "$2; job passed"
}
# load_fails WHAT: it must end with an error, by itself.
load_fails() {
    wait $load; _code=$?
    [ $_code != 0 ] || fail "$1: the job ended well"
    [ $_code != 124 ] || { busybox tail -n 20 /tmp/load; fail "$1: the job did not end by itself"; }
}
no_channels() { [ "$(cat $usb4dma/channels)" = 0 ] && [ "$(on_peer "cat $usb4dma/channels")" = 0 ]; }
# works WHAT: nothing is left of the last job, and the next one runs.
works() {
    wait_for 30 no_channels || fail "$1: channels were left: $(cat $usb4dma/channels), $(on_peer "cat $usb4dma/channels")"
    mpi $ring 100000 2 > /tmp/again 2>&1 || { cat /tmp/again; fail "$1: the next job failed"; }
}

# One cable of two: the other carries on.
load_start 150
fault unplug 0
rails_up 2 20
under_load unplug_one
left=$(for rail in $usb4dma/rails/*; do grep -q up $rail/state && echo "${rail##*/}"; done)
before=$(for rail in $left; do counted tx_frames "$rail"; done | busybox awk '{ sum += $1 } END { print sum }')
load_passes unplug_one "rails $(echo $left) left"
after=$(for rail in $left; do counted tx_frames "$rail"; done | busybox awk '{ sum += $1 } END { print sum }')
[ "$after" -gt "$before" ] || fail "unplug_one: the other cable carried nothing afterwards"
fault replug 0
rails_up 4 60
works unplug_one

# Both, and back within UCX_USB4_REPLUG_TIMEOUT.
load_start 100
fault unplug 0; fault unplug 1
rails_up 0 20
under_load replug_both
fault replug 0; fault replug 1
rails_up 4 60
load_passes replug_both "no rail for a while"
works replug_both

# Both for good: the job ends with a message when the time is over.
export UCX_USB4_REPLUG_TIMEOUT=3s
load_start 1000
fault unplug 0; fault unplug 1
load_fails unplug_both
grep -i 'usb4' /tmp/load | busybox head -n 2
grep -qi 'usb4:' /tmp/load || { cat /tmp/load; fail "unplug_both: no message of usb4"; }
result unplug_both "job ended with a message"
fault replug 0; fault replug 1
rails_up 4 60
works unplug_both
export UCX_USB4_REPLUG_TIMEOUT=60s

# A rank is killed.
load_start 1000
on_peer "busybox killall -9 ring"
load_fails kill
works kill
result kill "job ended, channels freed"

# The module cannot leave under a job; its driver can be unbound from the neighbour and bound again.
load_start 200
busybox rmmod usb4_dma 2> /tmp/rmmod && fail "rmmod: the module left while a channel was open"
services=$(on_peer "cd /sys/bus/thunderbolt/drivers/usb4_dma && ls -d [0-9]*")
for service in $services; do on_peer "echo $service > /sys/bus/thunderbolt/drivers/usb4_dma/unbind"; done
rails_up 0 20
under_load rmmod
for service in $services; do on_peer "echo $service > /sys/bus/thunderbolt/drivers/usb4_dma/bind"; done
rails_up 4 60
load_passes rmmod "rmmod refused, driver unbound and bound"
works rmmod
busybox rmmod usb4_dma || fail "rmmod: the module does not leave an idle system"
busybox insmod /job/artifacts/usb4_dma.ko rails=2
rails_up 4 60
works reload

# The other host sleeps, and its rank with it.
load_start 200
put_to_sleep 1 8
rails_up 0 60
under_load sleep
rails_up 4 90
load_passes sleep "the other host slept for a while"
works sleep

# The other host restarts without a word.
export UCX_USB4_REPLUG_TIMEOUT=5s UCX_USB4_PEER_TIMEOUT=5s
mpi_limit=60
load_start 10000
mpi_limit=500
on_peer "echo 1 > /proc/sys/kernel/sysrq; (busybox sleep 1; echo b > /proc/sysrq-trigger) > /dev/null 2>&1 &"
wait $load; code=$?
busybox tail -n 12 /tmp/load
# mpirun that loses a host's daemon may call that success: what counts is that it ended by itself, and without the result.
[ $code != 124 ] || fail "reboot: the job did not end by itself"
grep -q 'ring: PASS' /tmp/load && fail "reboot: the job ended well"
booted() { [ "$(busybox wc -l < /job/boots.1)" = 2 ]; }
wait_for 120 booted || fail "reboot: the other host did not come back"
rails_up 4 90
can_login() { on_peer true; }
wait_for 60 can_login || fail "reboot: no ssh to the other host"
works reboot
result reboot "job ended, the next one passed"
[ "$(busybox wc -l < /job/boots.0)" = 1 ] || fail "this host restarted"
finish
