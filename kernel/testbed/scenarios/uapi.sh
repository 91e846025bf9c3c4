# Two guests, one cable: every call and every error, frames over the cable, random calls, and all of it again after a reload.
. /lib.sh
conformance=/job/artifacts/usb4-dma-conformance
result() { [ "$h" = 0 ] && echo "RESULT $*"; say "$*"; }

up() {
    busybox insmod /job/artifacts/usb4_dma.ko rails=2 || fail "usb4_dma does not load"
    wait_for 10 test -c /dev/usb4dma || fail "there is no /dev/usb4dma"
    chmod 666 /dev/usb4dma
    $conformance wait "$rails" || fail "no rails"
}
down() { busybox rmmod usb4_dma || fail "usb4_dma does not unload"; }
# round NAME OPTIONS...: both sides of a run over the cable
round() {
    round_name=$1; shift
    mkdir -p "/job/$round_name"
    barrier "$round_name"
    $conformance cable --folder "/job/$round_name" --number "$h" --rails "$rails" "$@" > /tmp/cable || { cat /tmp/cable; fail "$round_name"; }
    cat /tmp/cable
    barrier "$round_name.end"
}
value() { busybox grep "^RESULT $1 " "$2" | busybox cut -d ' ' -f 3-; }

load thunderbolt || fail "thunderbolt does not load"
# For the check of what is charged; our own kernels have no cgroups.
busybox mount -t cgroup2 none /sys/fs/cgroup 2> /dev/null && echo +memory > /sys/fs/cgroup/cgroup.subtree_control
rails=2
up
barrier up

$conformance check --rails "$rails" > /job/check.$h; code=$?
cat /job/check.$h
result "check $(value check /job/check.$h)"
[ $code = 0 ] || fail "conformance"

round spin --lossless --seconds 3
result "cable $(value cable /tmp/cable)"
round sleep --lossless --sleep --seconds 3

barrier fuzz
$conformance fuzz --seconds "$fuzz_seconds" --seed $((fuzz_seed + h)) > /tmp/fuzz || { cat /tmp/fuzz; fail "fuzz with --seed $((fuzz_seed + h))"; }
cat /tmp/fuzz
result "fuzz $(value fuzz /tmp/fuzz)"
round after_fuzz --lossless --seconds 2

down
barrier down
up
round after_reload --lossless --seconds 2
down
result "reload yes"
