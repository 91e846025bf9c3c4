# Two Debian guests, two cables with two rails each: UCX's own test and MPI over UCX_TLS=usb4 on /dev/usb4dma, one rank in each guest.
# The data is checked by the program, and the kernel's counters must show that the rails carried it.
#
#   cargo xtask vm mpi --part run
. /lib.sh
. /usb4.sh
usb4dma_load 4 rails=2
usb4_install
ssh_up
only_first

status=$($prefix/bin/usb4ctl status) || fail "usb4ctl status: $status"
echo "$status"
[ "$(echo "$status" | grep -c 'up *40 Gb/s')" = 4 ] || fail "usb4ctl status does not list four rails at 40 Gb/s"
echo "$status" | grep -q "$(on_peer "cat $usb4dma/node")" || fail "usb4ctl status does not list the peer"
result rails "4 up, 40 Gb/s"

eval "$($prefix/bin/usb4ctl env)"
export UCX_TLS=usb4 UCX_USB4_STATS=/tmp/stats

carried() { echo $(($(counted tx_bytes) + $(counted rx_bytes))); }
# over_usb4 NAME BYTES PROGRAM...: runs it; at least so many bytes must have come and gone over the rails of this guest.
over_usb4() {
    _name=$1 _bytes=$2; shift 2
    _before=$(carried)
    mpi "$@" || fail "$_name ended with $?"
    _sent=$(($(carried) - _before))
    [ $_sent -ge "$_bytes" ] || fail "$_name: the rails carried only $_sent bytes"
    result "$_name" "$((_sent / 1024)) KiB over the rails"
}
over_usb4 perftest_lat 20000 ucx_perftest -f -t tag_lat -s 8 -n 300
over_usb4 perftest_sleep 10000 ucx_perftest -f -E sleep -t tag_lat -s 8 -n 100
over_usb4 perftest_bw 20971520 ucx_perftest -f -t tag_bw -s 1048576 -n 20
over_usb4 mpirun 12000000 $prefix/bin/ring 1000000 3
for rail in 0 1 2 3; do
    [ "$(counted tx_frames $rail)" -gt 0 ] && [ "$(counted rx_frames $rail)" -gt 0 ] || fail "rail $rail carried nothing"
done
# Every mode to receive carries the same program.
for mode in poll ring; do
    UCX_USB4_RECEIVE=$mode over_usb4 "receive_$mode" 1200000 $prefix/bin/ring 100000 3
done
cat /tmp/stats
no_channels() { [ "$(cat $usb4dma/channels)" = 0 ] && [ "$(on_peer "cat $usb4dma/channels")" = 0 ]; }
wait_for 10 no_channels || fail "channels are open after the jobs"
$prefix/bin/usb4ctl status
finish
