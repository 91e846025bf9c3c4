# Two Debian guests, one cable that thunderbolt-net and usb4_dma share: the same program over UCX_TLS=tcp on thunderbolt-net and over
# UCX_TLS=usb4. What is counted in the first guest, for each message; emulated time says nothing about hardware, counts do.
#
#   cargo xtask vm mpi --part compare
. /lib.sh
. /usb4.sh
load thunderbolt || fail "thunderbolt does not load"
load thunderbolt_net || fail "thunderbolt-net does not load"
tbnet_up thunderbolt0 "10.9.0.$((h + 1))"
usb4dma_load 1 rails=1
usb4_install
ssh_up
only_first

eval "$($prefix/bin/usb4ctl env)"
count_events calls 'comm == "ucx_perftest"' raw_syscalls/sys_enter
count_events sockets 'comm == "ucx_perftest"' syscalls/sys_enter_sendto syscalls/sys_enter_sendmsg syscalls/sys_enter_writev \
    syscalls/sys_enter_recvfrom syscalls/sys_enter_recvmsg
count_events doorbells "" usb4_dma/usb4_dma_doorbell
# thunderbolt-net counts packets, and cuts those of more than 4 KiB into frames.
net=/sys/class/net/thunderbolt0/statistics
frames() { echo $(($(cat $net/tx_packets) + $(cat $net/rx_packets) + $(counted tx_frames) + $(counted rx_frames))); }
# Interrupts of the controller.
interrupts() { busybox awk '/thunderbolt/ { sum += $2 } END { print sum + 0 }' /proc/interrupts; }
# Time in the kernel, in hundredths of a second: system, interrupts, soft interrupts.
kernel_time() { busybox awk '/^cpu / { print $4 + $7 + $8 }' /proc/stat; }
# System calls that move data (sockets, doorbells), and all of them: a process that waits makes as many as its time allows.
snapshot() { echo "$(frames) $(($(events sockets) + $(events doorbells))) $(interrupts) $(events calls) $(kernel_time)"; }

# compare NAME MESSAGES TEST...: one line of the table; for a test of latency a message is there and back. Start and end of a job cost alike, so a short run is taken off a long one.
compare() {
    _name=$1 _messages=$2; shift 2
    _first=$(snapshot)
    mpi ucx_perftest -f -w 10 "$@" -n 10 > /dev/null || fail "$_name"
    _second=$(snapshot)
    mpi ucx_perftest -f -w 10 "$@" -n $((_messages + 10)) > /dev/null || fail "$_name"
    _third=$(snapshot)
    result "$_name" "$(echo "$_first $_second $_third $_messages" | busybox awk '{
        for (i = 1; i <= 5; i++) d[i] = ($(10 + i) - $(5 + i)) - ($(5 + i) - $i)
        n = $16
        printf "%.2f frames, %.2f calls that move data, %.2f interrupts, %.0f calls with those that wait, %.2f ms in the kernel", d[1] / n, d[2] / n, d[3] / n, d[4] / n, d[5] * 10 / n
    }')"
}
for size in 8 4096 1048576; do
    case $size in
        1048576) count=60 test="-t tag_bw" ;;
        *) count=2000 test="-t tag_lat" ;;
    esac
    UCX_TLS=tcp,self UCX_NET_DEVICES=thunderbolt0 compare "tcp_$size" $count $test -s $size
    for mode in poll ring; do
        UCX_TLS=usb4 UCX_USB4_RECEIVE=$mode compare "usb4_${mode}_$size" $count $test -s $size
    done
done
finish
