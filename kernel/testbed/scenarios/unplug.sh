# Two guests, two cables that are pulled and put back under load: one, the other, both.
. /lib.sh
conformance=/job/artifacts/usb4-dma-conformance
result() { [ "$h" = 0 ] && echo "RESULT $*"; say "$*"; }

load thunderbolt || fail "thunderbolt does not load"
busybox insmod /job/artifacts/usb4_dma.ko rails=2 || fail "usb4_dma does not load"
wait_for 10 test -c /dev/usb4dma || fail "there is no /dev/usb4dma"
$conformance wait 4 || fail "no rails"
barrier up

$conformance cable --folder /job --number "$h" --rails 4 --seconds "$load_seconds" > /tmp/cable 2>&1 &
load_pid=$!
if [ "$h" = 0 ]; then
    for cables in 0 1 "0 1" 0; do
        busybox sleep 2
        for cable in $cables; do fault unplug "$cable"; done
        busybox sleep 1
        for cable in $cables; do fault replug "$cable"; done
        $conformance wait 4 || { cat /tmp/cable; fail "after cables $cables: not all rails came back"; }
    done
    # One comes back before the other side has seen that it went.
    fault unplug 1; fault replug 1
fi
wait $load_pid || { cat /tmp/cable; fail "frames over cables that are pulled"; }
cat /tmp/cable
result "unplug $(busybox grep '^RESULT cable' /tmp/cable | busybox cut -d ' ' -f 3-)"
barrier done
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
