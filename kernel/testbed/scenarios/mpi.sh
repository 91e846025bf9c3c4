# Two Debian guests: Open MPI over UCX's tcp, on the management network and on thunderbolt-net.
#
#   cargo xtask vm run --image debian --script kernel/testbed/scenarios/mpi.sh
. /lib.sh
load thunderbolt && load thunderbolt_net || fail "thunderbolt does not load"
tbnet_up thunderbolt0 "10.9.0.$((h + 1))"
mkdir -p /root/.ssh /etc/ssh /run/sshd && chmod 700 /root/.ssh
if [ "$h" = 0 ]; then
    ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
    cp /root/.ssh/id_ed25519.pub /job/key.tmp && mv /job/key.tmp /job/key
fi
wait_for 60 test -e /job/key || fail "node0 made no key"
cp /job/key /root/.ssh/authorized_keys
printf 'Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n' > /root/.ssh/config
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd -o UsePAM=no || fail "sshd does not start"
barrier sshd

if [ "$h" = 0 ]; then
    interface=$(ls /sys/class/net | busybox grep -E '^(eth|en)' | busybox head -n 1)
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    for device in "$interface" thunderbolt0; do
        say "mpirun over $device"
        mpirun -n 2 --host node0,node1 --mca pml ucx --mca osc ucx --mca pml_ucx_tls any --mca pml_ucx_devices any \
            -x UCX_TLS=tcp,self -x UCX_NET_DEVICES="$device" hostname || fail "mpirun over $device"
    done
    touch /job/mpi.done
fi
wait_for 120 test -e /job/mpi.done || fail "no end of the MPI runs"
