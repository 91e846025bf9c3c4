# Two guests: usb4_dma finds its neighbour, its rails come up; unplug, replug, and the module unloads and loads again.
#
#   cargo xtask kernel build --kernel 6.12
#   cargo xtask vm run --kernel 6.12 --topology pair:2 --artifact target/kernel/6.12/usb4_dma.ko \
#       --script kernel/testbed/scenarios/usb4dma-rails.sh
. /lib.sh
rails=/sys/class/misc/usb4dma/rails
insert() { busybox insmod /job/artifacts/usb4_dma.ko rails=2; }

# up COUNT: so many rails are up.
up() { [ "$(cat $rails/*/state 2> /dev/null | busybox grep -c up)" = "$1" ]; }
show() { for rail in $rails/*; do say "${rail##*/}: $(cat $rail/name $rail/state $rail/peer_node $rail/epoch $rail/rate_bits_per_s | busybox tr '\n' ' ')"; done; }

load thunderbolt || fail "thunderbolt does not load"
insert || fail "usb4_dma does not load"
wait_for 40 up 4 || { show; fail "not all rails came up"; }
show
node=$(cat /sys/class/misc/usb4dma/node)
echo "$node" > "/job/node.$h"
barrier up
[ "$(cat $rails/0/peer_node)" = "$(cat /job/node.$((1 - h)))" ] || fail "the peer is $(cat $rails/0/peer_node)"

[ "$h" = 1 ] || fault unplug 0
wait_for 20 up 2 || { show; fail "unplugging one cable did not take down its two rails alone"; }
say "unplugged: $(cat $rails/*/state | busybox tr '\n' ' ')"
unplugged=$(busybox grep -l down $rails/*/state)
barrier unplugged
[ "$h" = 1 ] || fault replug 0
wait_for 40 up 4 || { show; fail "the rails did not come back"; }
for state in $unplugged; do
    [ "$(cat "${state%state}epoch")" = 2 ] || { show; fail "not the same rails came back"; }
done
[ "$(cat $rails/*/epoch | busybox sort | busybox tr '\n' ' ')" = "1 1 2 2 " ] || { show; fail "not two rails came back"; }
barrier replugged

# One side leaves; the other sees its rails go and come back.
for round in 1 2 3; do
    if [ "$h" = 0 ]; then
        busybox rmmod usb4_dma || fail "usb4_dma does not unload"
        touch "/job/left.$round"
        wait_for 60 test -e "/job/seen.$round" || fail "the other side did not come through"
        insert || fail "usb4_dma does not load again"
    else
        wait_for 60 test -e "/job/left.$round" || fail "the other side did not leave"
        wait_for 20 up 0 || { show; fail "rails to a module that is gone"; }
        touch "/job/seen.$round"
    fi
    wait_for 60 up 4 || { show; fail "round $round: the rails did not come back"; }
    barrier "again.$round"
    say "round $round: back"
done
[ "$(cat /sys/class/misc/usb4dma/node)" = "$node" ] || fail "the node's number changed from $node"
[ "$h" = 1 ] || busybox rmmod usb4_dma || fail "usb4_dma does not unload"
barrier gone
[ "$h" = 0 ] || wait_for 20 up 0 || fail "rails to a module that is gone"
[ "$h" = 0 ] || busybox rmmod usb4_dma || fail "usb4_dma does not unload"
unload_thunderbolt
barrier end
