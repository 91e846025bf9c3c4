# Two guests: two hosts with one node number refuse each other, and say why; with another number they come together.
#
#   cargo xtask vm run --kernel 6.12 --topology pair:2 --artifact target/kernel/6.12/usb4_dma.ko \
#       --script kernel/testbed/scenarios/usb4dma-refused.sh
. /lib.sh
rails=/sys/class/misc/usb4dma/rails
up() { [ "$(cat $rails/*/state 2> /dev/null | busybox grep -c up)" = "$1" ]; }
says_why() { busybox dmesg | busybox grep -q "refused.*two hosts with one node number"; }

load thunderbolt && busybox insmod /job/artifacts/usb4_dma.ko rails=1 node=77 || fail "the modules do not load"
wait_for 60 says_why || fail "no word about the collision"
up 0 || fail "rails between hosts with one number"
say "$(busybox dmesg | busybox grep -c 'two hosts with one node number') lines about the collision"
barrier refused
if [ "$h" = 1 ]; then
    busybox rmmod usb4_dma || fail "usb4_dma does not unload"
    busybox insmod /job/artifacts/usb4_dma.ko rails=1 node=78 || fail "usb4_dma does not load again"
fi
wait_for 60 up 2 || fail "the rails did not come up: $(busybox dmesg | busybox grep usb4_dma | busybox tail -n 5)"
[ "$(cat $rails/0/peer_node)" = "$([ "$h" = 1 ] && echo 0000004d || echo 0000004e)" ] || fail "the peer is $(cat $rails/0/peer_node)"
say "together"
barrier done
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
barrier end
