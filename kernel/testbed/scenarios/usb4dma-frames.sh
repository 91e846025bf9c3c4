# Two guests: frames between two programs over all rails, by each way to wait; to a channel that is not there; to the own node;
# while a cable is unplugged; from a program that is killed.
#
#   cargo xtask kernel build --kernel 6.12
#   gcc -O2 -Wall -static -I kernel/include/uapi kernel/testbed/scenarios/frames.c -o target/frames
#   cargo xtask vm run --kernel 6.12 --topology pair:2 --artifact target/kernel/6.12/usb4_dma.ko --artifact target/frames \
#       --script kernel/testbed/scenarios/usb4dma-frames.sh
. /lib.sh
rails=/sys/class/misc/usb4dma/rails
frames=/job/artifacts/frames
up() { [ "$(cat $rails/*/state 2> /dev/null | busybox grep -c up)" = "$1" ]; }
# sum FILE: over all rails.
sum() { _total=0; for _rail in $rails/*; do _total=$((_total + $(cat $_rail/$1))); done; echo $_total; }
counters() { for c in tx_frames rx_frames tx_canceled tx_full rx_no_buffer rx_no_channel rx_malformed polls irqs; do echo "$c $(sum $c)"; done | busybox tr '\n' ' '; }

load thunderbolt && busybox insmod /job/artifacts/usb4_dma.ko rails=2 || fail "the modules do not load"
wait_for 60 up 4 || fail "not all rails came up"
barrier up

if [ "$h" = 1 ]; then
    $frames serve /job/server.tmp > /job/served 2>&1 &
    server=$!
    served() { [ -s /job/server.tmp ]; }
    wait_for 20 served || fail "the server did not start: $(cat /job/served)"
    mv /job/server.tmp /job/server
    wait_for 240 test -e /job/pinged || fail "node0 did not come through"
    wait $server || fail "the server failed: $(cat /job/served)"
    say "$(cat /job/served)"
else
    wait_for 60 test -e /job/server || fail "the other side does not serve"
    read -r node channel < /job/server
    for way in kick spin sleep; do
        result=$($frames ping $node $channel 2000 $way 2>&1) || fail "$way: $result; $(counters)"
        say "$result"
    done
    [ "$(sum tx_frames)" -ge 6000 ] && [ "$(sum rx_frames)" -ge 6000 ] || fail "the rails did not carry it: $(counters)"
    for rail in $rails/*; do [ "$(cat $rail/tx_frames)" -ge 1000 ] || fail "rail ${rail##*/} was left out"; done
    say "counters: $(counters)"

    $frames gone $node 65534 || fail "no notice from the other node"
    $frames gone $((0x$(cat /sys/class/misc/usb4dma/node))) 65534 || fail "no notice from the own node"
    say "notices: shown"

    $frames serve /job/own > /job/own.out 2>&1 &
    own=$!
    wait_for 20 test -s /job/own
    read -r own_node own_channel < /job/own
    result=$($frames ping $own_node $own_channel 2000 sleep 2>&1) || fail "loopback: $result"
    say "loopback $result"
    $frames stop $own_node $own_channel && wait $own || fail "the own server failed: $(cat /job/own.out)"

    $frames ping $node $channel 60000 sleep 500 > /job/ping.out 2>&1 &
    ping=$!
    busybox sleep 1
    fault unplug 0
    wait_for 20 up 2 || fail "unplug: not seen"
    busybox kill -0 $ping || fail "the program ended before the cable was unplugged: $(cat /job/ping.out)"
    rail=$(busybox grep -l down $rails/*/state | busybox head -n 1)
    rail=${rail%/state}
    before=$(cat $rail/tx_frames)
    fault replug 0
    wait_for 60 up 4 || fail "replug: not seen"
    used_again() { [ "$(cat $rail/tx_frames)" -gt "$before" ]; }
    wait_for 20 used_again || fail "$rail carries nothing after the replug: $(cat /job/ping.out); $(counters)"
    wait $ping || fail "unplugged: $(cat /job/ping.out); $(counters)"
    say "unplugged: $(cat /job/ping.out)"

    $frames flood $node $channel > /dev/null 2>&1 &
    flood=$!
    busybox sleep 1
    busybox kill -9 $flood
    wait $flood
    empty() { [ "$(cat /sys/class/misc/usb4dma/channels)" = 0 ]; }
    wait_for 10 empty || fail "a killed process left its channel"
    result=$($frames ping $node $channel 1000 sleep 500 2>&1) || fail "after a flood: $result; $(counters)"
    say "after a flood: $result"
    $frames stop $node $channel
    say "counters: $(counters)"
    touch /job/pinged
fi
barrier done
say "counters: $(counters)"
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
unload_thunderbolt
barrier end
