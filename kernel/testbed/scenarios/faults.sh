# Two guests: each fault of `usb4-testbed ctl` shows in the real driver as it would on hardware.
#
#   cargo xtask vm run --script kernel/testbed/scenarios/faults.sh
. /lib.sh
load thunderbolt && load thunderbolt_net || fail "thunderbolt does not load"
mine=10.9.0.$((h + 1)) other=10.9.0.$((2 - h)) device=/sys/class/net/thunderbolt0
discovered() { test -e $device; }
gone() { ! test -e $device; }
again() { wait_for 60 discovered && tbnet_up thunderbolt0 $mine; }
again
barrier up

# ping_to COUNT: prints how many answers came.
ping_to() { busybox ping -c "$1" -W 2 -i 0.2 $other | busybox sed -n 's/.* \([0-9]*\) packets received.*/\1/p'; }
counter() { cat "$device/statistics/$1"; }

if [ "$h" = 0 ]; then
    [ "$(ping_to 5)" = 5 ] || fail "without faults not all came back"

    fault fault 0 --drop-ppm 1000000
    [ "$(ping_to 3)" = 0 ] || fail "frames got through a cable that drops all"
    fault fault 0
    [ "$(ping_to 3)" = 3 ] || fail "no answers after the faults ended"
    say "drop: shown"

    before=$(counter rx_crc_errors)
    fault fault 0 --from 1 --corrupt-next 2
    ping_to 5 > /dev/null
    [ $(($(counter rx_crc_errors) - before)) = 2 ] || fail "rx_crc_errors went from $before to $(counter rx_crc_errors), not by 2"
    say "corrupt: the driver counted two CRC errors"

    fault fault 0 --delay-us 100000
    trip=$(busybox ping -c 2 -W 5 $other | busybox sed -n 's/.*time=\([0-9]*\).*/\1/p' | busybox sort -n | busybox head -n 1)
    [ "$trip" -ge 200 ] || fail "two delays of 100 ms made a round trip of $trip ms"
    fault fault 0
    say "delay: round trip $trip ms"

    fault stall 1 rx 1
    [ "$(ping_to 3)" = 0 ] || fail "a stalled ring received"
    fault resume 1 rx 1
    [ "$(ping_to 3)" -ge 3 ] || fail "no answers after the ring went on"
    say "stall: shown"
    touch /job/rings.done
fi
wait_for 100 test -e /job/rings.done || fail "node0 did not come through"
barrier rings

# The rest takes the link down, which both sides see.
[ "$h" = 1 ] || fault speed 0 10G
wait_for 30 gone || fail "the link stayed up while it was trained anew"
again
xdomain=$(services | busybox grep network | busybox cut -d . -f 1)
speed=$(cat "/sys/bus/thunderbolt/devices/$xdomain/rx_speed")
[ "$speed" = "10.0 Gb/s" ] || fail "the link trained at $speed"
say "speed: $speed"
barrier slow

if [ "$h" = 1 ]; then
    # Its NHI is about to read all ones; a driver must be able to leave such a device.
    busybox rmmod thunderbolt_net
    touch /job/leaving
    wait_for 60 test -e /job/dead || fail "node0 did not see the end"
    exit 0
fi
wait_for 60 test -e /job/leaving || fail "node1 did not leave"
fault host-down 1
peer_gone() { [ -z "$(services)" ]; }
wait_for 30 peer_gone || fail "the peer is still there: $(services)"
say "host-down: the peer is gone"
touch /job/dead
