# Two guests: whatever goes away under load, the kernels stay clean and frames flow again afterwards.
#
#   cargo xtask vm run --kernel 6.12 --topology pair:2 --artifact target/kernel/6.12/usb4_dma.ko --artifact target/frames \
#       --script kernel/testbed/scenarios/usb4dma-storm.sh
# (target/frames: see usb4dma-frames.sh)
. /lib.sh
rails=/sys/class/misc/usb4dma/rails
frames=/job/artifacts/frames
driver=/sys/bus/thunderbolt/drivers/usb4_dma
up() { [ "$(cat $rails/*/state 2> /dev/null | busybox grep -c up)" = "$1" ]; }
empty() { [ "$(cat /sys/class/misc/usb4dma/channels)" = 0 ]; }
insert() { busybox insmod /job/artifacts/usb4_dma.ko rails=2; }

# both NAME: on both guests, all rails are up and nothing holds a channel.
both() { wait_for 90 up 4 || fail "$1: the rails did not come back: $(cat $rails/*/state | busybox tr '\n' ' ')"; barrier "both.$1"; }

# flood: until killed; each guest floods a channel of the other that only counts.
flood() {
    $frames serve "/job/sink.$h.tmp" > /dev/null 2>&1 &
    sink=$!
    wait_for 20 test -s "/job/sink.$h.tmp" || fail "no sink"
    mv "/job/sink.$h.tmp" "/job/sink.$h.$1"
    wait_for 30 test -e "/job/sink.$((1 - h)).$1" || fail "the other side has no sink"
    read -r node channel < "/job/sink.$((1 - h)).$1"
    $frames flood $node $channel > /dev/null 2>&1 &
    flood=$!
    busybox sleep 1
}
calm() {
    busybox kill -9 $flood $sink
    wait
    wait_for 20 empty || fail "killed processes left channels"
}

load thunderbolt && insert || fail "the modules do not load"
both start

flood unplug
[ "$h" = 1 ] || { fault unplug 0; fault unplug 1; }
wait_for 20 up 0 || fail "unplug: not seen"
barrier unplugged
[ "$h" = 1 ] || { fault replug 0; fault replug 1; }
both replugged
calm
say "both cables unplugged under load: back"
barrier calm1

# The driver lets go of a cable while channels are open; the module must stay loaded.
flood unbind
if [ "$h" = 0 ]; then
    busybox rmmod usb4_dma 2> /dev/null && fail "the module unloads under an open channel"
    for service in $driver/*-*; do
        [ -e "$service" ] || continue
        echo "${service##*/}" >> /job/services
        echo "${service##*/}" > $driver/unbind || fail "unbind ${service##*/}"
    done
    wait_for 20 up 0 || fail "unbind: the rails stayed"
    touch /job/unbound
else
    wait_for 60 test -e /job/unbound || fail "the other side did not unbind"
    wait_for 20 up 0 || fail "unbind: the rails of the other side stayed"
fi
barrier unbound
[ "$h" = 1 ] || while read -r service; do echo "$service" > $driver/bind || fail "bind $service"; done < /job/services
both bound
calm
say "driver unbound under load: back"
barrier calm2

# One side's module goes while the other floods.
flood gone
[ "$h" = 1 ] || { calm; busybox rmmod usb4_dma || fail "usb4_dma does not unload"; }
[ "$h" = 0 ] || wait_for 20 up 0 || fail "rails to a module that is gone"
barrier removed
[ "$h" = 1 ] || insert || fail "usb4_dma does not load again"
both loaded
[ "$h" = 0 ] || calm
say "module unloaded under load: back"
barrier calm3

# Frames still flow, and all of them.
if [ "$h" = 1 ]; then
    $frames serve /job/last.tmp > /dev/null 2>&1 &
    wait_for 20 test -s /job/last.tmp && mv /job/last.tmp /job/last
    wait
else
    wait_for 30 test -e /job/last || fail "the other side does not serve"
    read -r node channel < /job/last
    result=$($frames ping $node $channel 2000 kick 2>&1) || fail "after the storm: $result"
    say "after the storm: $result"
    $frames stop $node $channel
fi
barrier last

# Power cut of a peer while its neighbour floods. Its own kernel is left with a dead device.
flood power
touch "/job/flooding.$h"
wait_for 30 test -e "/job/flooding.$((1 - h))"
if [ "$h" = 1 ]; then
    calm
    busybox rmmod usb4_dma || fail "usb4_dma does not unload"
    touch /job/leaving
    wait_for 60 test -e /job/dead || fail "node0 did not see the end"
    exit 0
fi
wait_for 60 test -e /job/leaving || fail "node1 did not leave"
fault host-down 1
wait_for 30 up 0 || fail "rails to a host without power"
calm
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
say "power cut: seen"
touch /job/dead
