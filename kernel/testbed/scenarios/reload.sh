# Two guests: node1 unloads its drivers and loads them again, three times; both sides find each other anew.
#
#   cargo xtask vm run --kernel 7.3 --script kernel/testbed/scenarios/reload.sh
. /lib.sh
mine=10.9.0.$((h + 1)) other=10.9.0.$((2 - h))
answers() { busybox ping -c 1 -W 2 $other; }
load thunderbolt && load thunderbolt_net || fail "thunderbolt does not load"
tbnet_up thunderbolt0 $mine
wait_for 30 answers || fail "no answer before the first reload"
for round in 1 2 3; do
    barrier "before.$round"
    if [ "$h" = 1 ]; then
        busybox rmmod thunderbolt_net && busybox rmmod thunderbolt || fail "round $round: the drivers do not unload"
        load thunderbolt && load thunderbolt_net || fail "round $round: the drivers do not load again"
    fi
    barrier "loaded.$round"
    # node0's interface may go and come, or stay: its core decides. In the end both have it, and the peer answers.
    again() { _tbnet_ready && answers; }
    tbnet_up thunderbolt0 $mine
    wait_for 60 again || fail "round $round: no answer"
    say "round $round: found again"
done
barrier end
