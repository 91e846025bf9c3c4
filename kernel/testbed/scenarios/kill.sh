# Two guests, two cables: processes are killed, drivers unbound and the module unloaded while frames are on their way.
. /lib.sh
conformance=/job/artifacts/usb4-dma-conformance
result() { [ "$h" = 0 ] && echo "RESULT $*"; say "$*"; }
up() {
    busybox insmod /job/artifacts/usb4_dma.ko rails=2 || fail "usb4_dma does not load"
    wait_for 10 test -c /dev/usb4dma || fail "there is no /dev/usb4dma"
    $conformance wait 4 || fail "no rails"
}
gone() { ! test -e /sys/module/usb4_dma; }

load thunderbolt || fail "thunderbolt does not load"
up
for round in 1 2 3; do
    mkdir -p "/job/kill.$round"
    barrier "kill.$round"
    $conformance cable --folder "/job/kill.$round" --number "$h" --rails 4 --seconds 60 > /tmp/cable 2>&1 &
    load_pid=$!
    $conformance fuzz --seconds 60 --seed "$round" > /tmp/fuzz 2>&1 &
    fuzz_pid=$!
    busybox sleep 3
    kill -0 $load_pid 2>/dev/null || { cat /tmp/cable; fail "the load ended by itself"; }
    # The other side goes on for a while with a peer that is gone.
    [ "$h" = $((round % 2)) ] || busybox sleep 1
    kill -9 $load_pid $fuzz_pid
    wait $load_pid $fuzz_pid 2>/dev/null
    # Right after the kill: frames of the dead processes may still be with the hardware.
    busybox rmmod usb4_dma || fail "round $round: usb4_dma does not unload"
    gone || fail "round $round: usb4_dma is still there"
    barrier "unloaded.$round"
    up
done

# The driver is taken from the service while somebody sends over it, and given back.
mkdir -p /job/unbind
barrier unbind
$conformance cable --folder /job/unbind --number "$h" --rails 4 --seconds 12 > /tmp/cable 2>&1 &
load_pid=$!
if [ "$h" = 1 ]; then
    for service in /sys/bus/thunderbolt/drivers/usb4_dma/*.*; do
        name=${service##*/}
        busybox sleep 2
        echo "$name" > /sys/bus/thunderbolt/drivers/usb4_dma/unbind
        busybox sleep 1
        echo "$name" > /sys/bus/thunderbolt/drivers/usb4_dma/bind
    done
fi
wait $load_pid || { cat /tmp/cable; fail "frames over rails whose driver goes and comes"; }
cat /tmp/cable
barrier unbound
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
result "kill 3 rounds, unbind"
