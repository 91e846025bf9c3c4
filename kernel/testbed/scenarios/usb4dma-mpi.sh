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

# UCX is told which PCI function carries the cables.
place=$(ucx_info -d | busybox awk '/Transport: / { is = $NF == "usb4" } is && /System device: / { print $4 }')
case $(cat $usb4dma/rails/0/nhi) in
    *"$place") [ "$place" ] || fail "ucx_info -d lists no device of usb4" ;;
    *) fail "UCX takes $place for the controller, and it is $(cat $usb4dma/rails/0/nhi)" ;;
esac
result place "$place"

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

# usb4ctl status shows from outside what the engine of a running job knows of its connection, and it agrees with the kernel.
mpi $prefix/bin/ring 1000000 100 > /tmp/job 2>&1 &
job=$!
peer=$((0x$(on_peer "cat $usb4dma/node")))
# shown FIELD: of the connection to the other guest, as shown last.
shown() { busybox awk -v field="\"$1\":" -v peer=$peer '/"peer_node"/ { is = $2 + 0 == peer } is && $1 == field { print $2 + 0; exit }' /tmp/status; }
look() { $prefix/bin/usb4ctl status --json > /tmp/status; }
moves() { look && [ "$(shown tx_frames)" -gt 1000 ] && [ "$(shown rx_frames)" -gt 1000 ]; }
wait_for 60 moves || { cat /tmp/status /tmp/job; fail "usb4ctl status does not show the job's connection"; }
before=$(shown tx_frames)
sent=$(counted tx_frames)
[ "$before" -le "$sent" ] || fail "the engine has sent $before frames, and all rails $sent"
grep -q '"state": "ready"' /tmp/status || { cat /tmp/status; fail "no connection is ready"; }
grep -q '"program": "ring"' /tmp/status || { cat /tmp/status; fail "the job's program is not shown"; }
busybox awk '/"rtt_us"/ && $2 + 0 > 0 { seen = 1 } END { exit !seen }' /tmp/status || { cat /tmp/status; fail "no round trip was measured"; }
goes_on() { look && [ "$(shown tx_frames)" -gt "$before" ]; }
wait_for 30 goes_on || { cat /tmp/job; fail "the connection shown stands still"; }
result status "$(shown tx_frames) frames to and $(shown rx_frames) from the peer, $(shown retransmissions) sent again"
wait $job || { cat /tmp/job; fail "the job that was looked at failed"; }

# Without UCX: usb4ctl starts the other side through ssh.
before=$(carried)
$prefix/bin/usb4ctl bench --host node1 --sizes 8,64K --seconds 0.3 --json > /tmp/bench 2> /tmp/bench.err || { cat /tmp/bench /tmp/bench.err; fail "usb4ctl bench"; }
# A row for each size of each of three ways to measure.
[ "$(grep -c '"size_bytes": 65536' /tmp/bench)" = 3 ] && [ "$(grep -c '"size_bytes": 8,' /tmp/bench)" = 3 ] || { cat /tmp/bench; fail "usb4ctl bench left figures out"; }
grep -q '"protocol_there": {' /tmp/bench || { cat /tmp/bench; fail "the other side of usb4ctl bench did not live to tell"; }
bytes=$(busybox awk '$1 == "\"bytes\":" { sum += $2 } END { printf "%d", sum }' /tmp/bench)
[ "$bytes" -gt 0 ] && [ $(($(carried) - before)) -ge "$bytes" ] || fail "usb4ctl bench moved $bytes bytes, and the rails carried $(($(carried) - before))"
result bench "$((bytes / 1024)) KiB by usb4ctl bench, over the rails"
no_channels() { [ "$(cat $usb4dma/channels)" = 0 ] && [ "$(on_peer "cat $usb4dma/channels")" = 0 ]; }
wait_for 10 no_channels || fail "channels are open after the jobs"
$prefix/bin/usb4ctl status
finish
