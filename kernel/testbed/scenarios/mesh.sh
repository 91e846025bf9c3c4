# Any topology: every guest finds as many neighbours as it has cables, and reaches each of them over thunderbolt-net.
#
#   cargo xtask vm run --topology chain:3 --script kernel/testbed/scenarios/mesh.sh
#   cargo xtask vm run --topology triangle --script kernel/testbed/scenarios/mesh.sh
#
#   cargo xtask vm run --topology pair:2 --rings 3 --script kernel/testbed/scenarios/mesh.sh
#
# A neighbour's folder in sysfs is named after the adapter that leads to it: port 0 is adapter 1, port 1 is adapter 3. Each cable gets
# a network of its own, by its number, so that parallel cables are not taken for each other.
. /lib.sh
load thunderbolt && load thunderbolt_net || fail "thunderbolt does not load"

# Waits until the number of discovered neighbours has not changed for five seconds; what it should be, the testbed knows.
fault status
links=$(busybox grep -o '"[0-9]*\.[0-9]*"' "/job/fault.$h.1.done" | busybox tr -d '"' | busybox paste -s -d ' \n')
expected=$(echo "$links" | busybox grep -c -E "(^| )$h\.")
say "cables: $(echo $links), $expected of them here"
neighbours() { services | busybox grep -c ' network$'; }
all_found() { [ "$(neighbours)" = "$expected" ]; }
wait_for 90 all_found || fail "$(neighbours) neighbours of $expected: $(services)"
say "neighbours: $(services | busybox tr '\n' ' ')"
barrier discovered

failed=0 reached=0 cable=-1
echo "$links" > /tmp/links
while read -r one two; do
    cable=$((cable + 1))
    case $one in "$h".*) here=$one there=$two ;; *) here=$two there=$one ;; esac
    [ "${here%.*}" = "$h" ] || continue
    adapter=$((${here#*.} * 2 + 1)) peer=${there%.*}
    net=10.9.$cable
    service=$(services | busybox grep "^0-$adapter\." | busybox grep network | busybox cut -d ' ' -f 1)
    interface=$(ls "/sys/bus/thunderbolt/devices/$service/net")
    name=$(cat "/sys/bus/thunderbolt/devices/0-$adapter/device_name")
    [ "$name" = "node$peer" ] || fail "adapter $adapter should lead to node$peer, and leads to $name"
    tbnet_up "$interface" "$net.$((h + 1))"
    echo "$net.$((peer + 1))" >> /tmp/peers
done < /tmp/links
barrier addressed
while read -r address; do
    if busybox ping -c 3 -W 10 "$address" > /tmp/ping; then reached=$((reached + 1)); else failed=1; cat /tmp/ping; fi
done < /tmp/peers
barrier pinged
[ $failed = 0 ] && [ "$reached" = "$expected" ] || fail "reached $reached of $expected neighbours"
say "reached all $reached neighbours over their own cables"
