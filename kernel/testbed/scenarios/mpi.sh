# Two Debian guests: Open MPI over UCX's tcp, on the management network and on thunderbolt-net.
#
#   cargo xtask vm run --image debian --script kernel/testbed/scenarios/mpi.sh
. /lib.sh
load thunderbolt && load thunderbolt_net || fail "thunderbolt does not load"
tbnet_up thunderbolt0 "10.9.0.$((h + 1))"
ssh_up

if [ "$h" = 0 ]; then
    interface=$(ls /sys/class/net | busybox grep -E '^(eth|en)' | busybox head -n 1)
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    # Every pair of ranks on its own node, so that each message crosses the network that is named.
    mpi() { mpirun -n 2 --host node0,node1 --mca pml ucx --mca osc ucx --mca pml_ucx_tls any --mca pml_ucx_devices any "$@"; }
    for device in "$interface" thunderbolt0; do
        say "ucx_perftest over $device: overhead in us, bandwidth in MB/s, messages per second"
        for test in "tag_lat -s 8 -n 500" "tag_bw -s 1048576 -n 30"; do
            mpi -x UCX_TLS=tcp,self -x UCX_NET_DEVICES="$device" ucx_perftest -f -t $test < /dev/null || fail "$test over $device"
        done
    done
    touch /job/mpi.done
fi
wait_for 120 test -e /job/mpi.done || fail "no end of the MPI runs"
