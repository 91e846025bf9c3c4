# Two guests: node0 suspends its devices (the kernel's own test of it, which stops short of the platform) and resumes; the rails
# go for both and come back, and a channel that was open carries frames again.
#
#   cargo xtask vm run --kernel 6.12 --artifact target/kernel/6.12/usb4_dma.ko --artifact target/frames \
#       --script kernel/testbed/scenarios/usb4dma-suspend.sh
# (target/frames: see usb4dma-frames.sh)
. /lib.sh
rails=/sys/class/misc/usb4dma/rails
frames=/job/artifacts/frames
up() { [ "$(cat $rails/*/state 2> /dev/null | busybox grep -c up)" = "$1" ]; }
epoch() { [ "$(cat $rails/*/epoch | busybox sort -u)" = "$1" ]; }

load thunderbolt && busybox insmod /job/artifacts/usb4_dma.ko rails=2 || fail "the modules do not load"
wait_for 60 up 2 || fail "not all rails came up"
barrier up
if [ "$h" = 1 ]; then
    $frames serve /job/server.tmp > /job/served 2>&1 &
    server=$!
    wait_for 20 test -s /job/server.tmp || fail "the server did not start: $(cat /job/served)"
    mv /job/server.tmp /job/server
fi
wait_for 30 test -e /job/server || fail "the other side does not serve"
if [ "$h" = 0 ]; then
    echo devices > /sys/power/pm_test || fail "this kernel cannot test suspending"
    echo freeze > /sys/power/state || fail "suspending fails"
    say "suspended and resumed"
    touch /job/resumed
fi
wait_for 90 test -e /job/resumed || fail "node0 did not come back"
wait_for 60 epoch 2 && wait_for 60 up 2 || fail "the rails did not come back: $(cat $rails/*/state $rails/*/epoch | busybox tr '\n' ' ')"
barrier again
if [ "$h" = 0 ]; then
    read -r node channel < /job/server
    result=$($frames ping $node $channel 2000 sleep 2>&1) || fail "after resuming: $result"
    say "after resuming: $result"
    $frames stop $node $channel
else
    wait $server || fail "the server failed: $(cat /job/served)"
fi
barrier done
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
barrier end
