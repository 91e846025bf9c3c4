# Two guests behind a virtual IOMMU: frames map nothing for DMA; opening a channel and plugging a cable do.
#
#   cargo xtask vm run --kernel 6.12 --iommu --artifact target/kernel/6.12/usb4_dma.ko --artifact target/frames \
#       --script kernel/testbed/scenarios/usb4dma-iommu.sh
# (target/frames: see usb4dma-frames.sh)
. /lib.sh
rails=/sys/class/misc/usb4dma/rails
frames=/job/artifacts/frames
tracing=/sys/kernel/tracing
up() { [ "$(cat $rails/*/state 2> /dev/null | busybox grep -c up)" = "$1" ]; }

load thunderbolt && busybox insmod /job/artifacts/usb4_dma.ko rails=2 || fail "the modules do not load"
wait_for 60 up 2 || fail "not all rails came up"
busybox mount -t tracefs tracefs $tracing 2> /dev/null
[ -d $tracing/events/usb4_dma ] && [ -d $tracing/events/iommu ] || fail "no trace events"
for event in usb4_dma/usb4_dma_map usb4_dma/usb4_dma_unmap iommu/map iommu/unmap; do
    echo 1 > $tracing/events/$event/enable || fail "$event cannot be traced"
done
# mapped: events so far.
mapped() { busybox grep -c 'map: ' $tracing/trace; }
barrier up

if [ "$h" = 1 ]; then
    $frames serve /job/server.tmp > /job/served 2>&1 &
    server=$!
    wait_for 20 test -s /job/server.tmp || fail "the server did not start: $(cat /job/served)"
    mv /job/server.tmp /job/server
    wait_for 120 test -e /job/pinged || fail "node0 did not come through"
    wait $server || fail "the server failed: $(cat /job/served)"
else
    wait_for 60 test -e /job/server || fail "the other side does not serve"
    read -r node channel < /job/server
    # The program maps when it opens the channel and unmaps when it closes it; in between it waits for the number of events to be read.
    for count in 1 3000; do
        echo > $tracing/trace
        $frames ping $node $channel $count sleep > /job/ping.out 2>&1 || fail "$(cat /job/ping.out)"
        empty() { [ "$(cat /sys/class/misc/usb4dma/channels)" = 0 ]; }
        wait_for 10 empty || fail "the channel did not end"
        say "$(cat /job/ping.out): $(mapped) events: $(busybox grep -o '[a-z0-9_]*map: ' $tracing/trace | busybox sort | busybox uniq -c | busybox tr '\n' ' ')"
        eval "events_$count=$(mapped)"
    done
    [ "$events_1" -gt 0 ] || fail "opening a channel maps nothing: the trace does not work"
    # shellcheck disable=SC2154 # set by eval
    [ "$events_3000" = "$events_1" ] || fail "3000 frames bring $events_3000 events, one brings $events_1"
    say "no mapping for 2999 frames"
    $frames stop $node $channel
    touch /job/pinged
fi
barrier done
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
barrier end
