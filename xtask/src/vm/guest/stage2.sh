# Second half of a guest's start: management network, then the job's script; what it leaves goes to /job, rc.$h last.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
for word in $(cat /proc/cmdline); do
    case $word in ucx.*=*) key=${word%%=*}; eval "${key#ucx.}='${word#*=}'" ;; esac
done
export h n limit image
mkdir -p /dev/pts /dev/shm /tmp /run /root
mount -t devpts p /dev/pts; mount -t tmpfs t /dev/shm; mount -t tmpfs t /tmp; mount -t tmpfs t /run
mount -t debugfs d /sys/kernel/debug 2>/dev/null
busybox hostname "node$h"
busybox ip link set lo up
interface=$(ls /sys/class/net | busybox grep -E '^(eth|en)' | busybox head -n 1)
busybox ip addr add "10.8.0.$((h + 1))/24" dev "$interface"
busybox ip link set "$interface" up
for i in $(busybox seq 0 $((n - 1))); do echo "10.8.0.$((i + 1)) node$i"; done >> /etc/hosts 2>/dev/null
[ -f /job/local.sh ] && . /job/local.sh
touch "/job/ready.$h"
echo "@ready $(cat /proc/uptime)"
# Of a kernel with detectors: what the system's start left is not ours.
leaks=/sys/kernel/debug/kmemleak
[ ! -w $leaks ] || echo clear > $leaks
# Only the script itself has files of /job open, so that it can do without the folder for a while.
cp /job/script /tmp/script
busybox setsid busybox timeout -k 5 "$limit" sh -c 'exec sh /tmp/script >> "/job/out.$h" 2>&1'
rc=$?
echo "@done $rc $(cat /proc/uptime)"
# kmemleak suspects nothing that is younger than five seconds, and says so in the kernel's log.
[ ! -w $leaks ] || { busybox sleep 6; echo scan > $leaks; busybox sleep 1; echo scan > $leaks; cat $leaks; }
dmesg > "/job/dmesg.$h" 2>/dev/null || busybox dmesg > "/job/dmesg.$h"
echo $rc > "/job/rc.$h.tmp"; mv "/job/rc.$h.tmp" "/job/rc.$h"
sync
# When two hosts go off at once, the core of 7.3 takes the neighbour down twice, in its shutdown and for the cable that went, and uses what it
# has freed. So one of a pair goes off first, and the other when it has no neighbour any more.
neighbours() { ls /sys/bus/thunderbolt/devices 2>/dev/null | busybox grep -c -e '^[0-9]*-[1-9][0-9]*$'; }
wait_until() { _left=100; until "$@"; do _left=$((_left - 1)); [ $_left -gt 0 ] || return; busybox usleep 200000; done; }
alone() { [ "$(neighbours)" = 0 ]; }
if [ "$n" = 2 ] && [ "$h" = 0 ]; then
    wait_until test -e /job/off
    wait_until alone
fi
[ "$h" = 0 ] || touch /job/off
busybox poweroff -f
