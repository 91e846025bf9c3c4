# Two guests: node0 sends, node1 receives. Prints RESULT lines for the table.
. /lib.sh
uptime() { busybox cut -d ' ' -f 1 /proc/uptime; }
result() { [ "$h" = 0 ] && echo "RESULT $*"; say "$*"; }
mine=10.9.0.$((h + 1)) other=10.9.0.$((2 - h)) port=5000
result "ready $(uptime) s"

load thunderbolt || fail "thunderbolt does not load"
load thunderbolt_net || fail "thunderbolt-net does not load"
loaded=$(uptime)
has_network() { services | busybox grep -q network; }
wait_for 60 has_network || fail "the peer was not discovered"
xdomain=$(services | busybox grep network | busybox head -n 1); xdomain=${xdomain%%.*}
result "discovered $(echo "$(uptime) $loaded" | busybox awk '{ printf "%.1f s", $1 - $2 }')"
say "peer: $(cat /sys/bus/thunderbolt/devices/$xdomain/device_name), services: $(services | busybox tr '\n' ' ')"
result "bonded $(cat /sys/bus/thunderbolt/devices/$xdomain/rx_lanes) x $(cat /sys/bus/thunderbolt/devices/$xdomain/rx_speed)"
tbnet_up thunderbolt0 $mine
barrier network
busybox ping -c 3 -W 10 $other || fail "no answer from $other over thunderbolt-net"

# transfer NAME FIRST_HALF_HOOK: node0 sends 10 MiB in two halves and runs the hook between them; node1 compares the checksum.
transfer() {
    if [ "$h" = 0 ]; then
        busybox head -c 10485760 /dev/urandom > /tmp/data
        barrier "$1.listening"
        busybox sleep 0.5
        start=$(uptime)
        { busybox head -c 5242880 /tmp/data; $2; busybox tail -c +5242881 /tmp/data; } | busybox nc $other $port || fail "$1: nc"
        barrier "$1.received"
        took=$(echo "$(uptime) $start" | busybox awk '{ print $1 - $2 }')
        sent=$(busybox sha256sum < /tmp/data) received=$(cat "/job/sum.$1")
        [ "$sent" = "$received" ] || fail "$1: checksums differ: $sent sent, $received received"
        say "$1: checksum $sent"
    else
        # Both ends keep their input open: busybox's nc closes the connection as soon as its own input ends.
        busybox sleep 300 | busybox nc -l -p $port > /tmp/data &
        barrier "$1.listening"
        wait_for 90 received_all || fail "$1: $(busybox wc -c < /tmp/data) bytes arrived"
        busybox sha256sum < /tmp/data > "/job/sum.$1"
        barrier "$1.received"
        kill $! 2>/dev/null
    fi
    port=$((port + 1))
}
received_all() { [ "$(busybox wc -c < /tmp/data)" = 10485760 ]; }

transfer whole true
[ "$h" = 1 ] || result "tcp equal sums, $(echo "$took" | busybox awk '{ printf "%.1f MB/s", 10.5 / $1 }')"

# The cable is out while TCP has data to send; the connection must survive and deliver every byte after the replug.
gone() { ! test -e /sys/class/net/thunderbolt0; }
replug() {
    fault unplug 0 >&2
    wait_for 30 gone || fail "thunderbolt0 stayed after the unplug" >&2
    fault replug 0 >&2
    tbnet_up thunderbolt0 $mine >&2
    touch /job/replugged
}
if [ "$h" = 1 ]; then
    # The receiver's interface goes and comes too, while its half of the transfer waits.
    { wait_for 90 gone && tbnet_up thunderbolt0 $mine; } &
fi
transfer replugged replug
[ "$h" = 1 ] || result "replug equal sums, $(echo "$took" | busybox awk '{ printf "%.0f s", $1 }')"

# USB4STREAM (7.2 and later): node0 announces a stream named data, node1 joins it and reads what node0 writes to its device.
stream_service() { services | busybox grep ' stream$' | busybox cut -d ' ' -f 1; }
has_stream() { [ -n "$(stream_service)" ]; }
stream_ended() { [ -e /tmp/stream.rc ]; }
stream() {
    load thunderbolt_stream || { result "stream not shipped"; return; }
    busybox mount -t configfs c /sys/kernel/config 2>/dev/null
    wait_for 30 has_stream || fail "stream: the peer's service did not appear"
    folder=/sys/kernel/config/thunderbolt/stream/$(stream_service)/data
    if [ "$h" = 0 ]; then
        busybox mkdir -p "$folder" && echo -1 > "$folder/in_hopid" && echo -1 > "$folder/out_hopid" || fail "stream: $folder"
    fi
    barrier stream.announced
    if [ "$h" = 1 ]; then
        joined() { busybox mkdir -p "$folder" && [ "$(cat "$folder/in_hopid")" -gt 0 ] || { busybox rmdir "$folder"; false; }; }
        wait_for 30 joined || fail "stream: $folder did not take the peer's HopIDs"
        { cat /dev/tbstream0 > /tmp/stream; echo $? > /tmp/stream.rc; } &
        busybox sleep 1
    fi
    barrier stream.open
    if [ "$h" = 0 ]; then
        cat /tmp/data > /dev/tbstream0 || fail "stream: writing"
        busybox sha256sum < /tmp/data > /job/stream.sum
        barrier stream.sent
    else
        barrier stream.sent
        wait_for 60 stream_ended || fail "stream: no end after $(busybox wc -c < /tmp/stream) bytes"
        [ "$(busybox sha256sum < /tmp/stream)" = "$(cat /job/stream.sum)" ] || fail "stream: checksums differ"
    fi
    barrier stream.checked
    result "stream equal sums"
}
stream
say "all done"
