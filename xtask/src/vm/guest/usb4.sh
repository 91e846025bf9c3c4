# For job scripts with the kernel module and the transport, after /lib.sh: . /usb4.sh
# Artifacts: usb4_dma.ko, libuct_usb4.so.0, libucx_usb4_preload.so, usb4ctl, and programs.
usb4dma=/sys/class/misc/usb4dma
prefix=/opt/ucx-usb4

# usb4dma_load COUNT [PARAMETER=VALUE...]: inserts the module and waits until so many rails are up.
usb4dma_load() {
    _count=$1; shift
    load thunderbolt || fail "thunderbolt does not load"
    busybox insmod /job/artifacts/usb4_dma.ko "$@" || fail "usb4_dma does not load"
    rails_up "$_count" 60
}

# rails_up COUNT SECONDS: waits until exactly so many rails are up.
rails_up() { wait_for "$2" _rails_are_up "$1" || fail "not $1 rails are up: $(rail_states)"; }
_rails_are_up() { [ "$(rail_states | busybox tr ' ' '\n' | busybox grep -c up)" = "$1" ]; }
rail_states() { cat $usb4dma/rails/*/state 2>/dev/null | busybox tr '\n' ' '; }

# counted NAME [RAIL]: what a rail has counted, or all of them together.
counted() { cat $usb4dma/rails/${2:-*}/"$1" 2>/dev/null | busybox awk '{ sum += $1 } END { print sum + 0 }'; }

# Puts what the job brought where an installation has it.
usb4_install() {
    mkdir -p $prefix/bin $prefix/lib/ucx-usb4
    for _file in /job/artifacts/*; do
        case $_file in
            *.ko) ;;
            *.so*) cp "$_file" $prefix/lib/ucx-usb4 ;;
            *) cp "$_file" $prefix/bin && chmod +x "$prefix/bin/${_file##*/}" ;;
        esac
    done
    # Where a login through ssh finds it.
    mkdir -p /usr/local/bin && ln -sf $prefix/bin/usb4ctl /usr/local/bin/usb4ctl
}

# mpi PROGRAM...: two ranks, one on each of the first two guests, over what UCX_TLS says.
mpi() {
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout "${mpi_limit:-120}" \
        mpirun -n 2 --host node0,node1 "$@" < /dev/null
}

# on_peer COMMAND: on the second guest, over the management network.
on_peer() { ssh node1 "$1" < /dev/null; }

# Only the first guest goes on; the others do what it asks for with put_to_sleep, until it calls finish.
only_first() {
    [ "$h" = 0 ] && return
    while wait_for "$limit" _asked; do
        [ ! -e /job/finished ] || exit 0
        _seconds=$(cat "/job/sleep.$h")
        rm "/job/sleep.$h"
        suspend "$_seconds"
    done
    fail "the first guest did not finish"
}
_asked() { [ -e /job/finished ] || [ -e "/job/sleep.$h" ]; }
# put_to_sleep GUEST SECONDS: has another guest sleep.
put_to_sleep() { echo "$2" > "/job/sleep.tmp"; mv /job/sleep.tmp "/job/sleep.$1"; }
finish() { touch /job/finished; }

# count_events NAME FILTER EVENT...: counts trace events from now on; "" for no filter. Such as: count_events bells "" usb4_dma/usb4_dma_doorbell
tracing=/sys/kernel/tracing
count_events() {
    [ -e $tracing/events ] || busybox mount -t tracefs t $tracing || fail "tracefs cannot be mounted"
    _instance=$tracing/instances/$1 _filter=$2; shift 2
    mkdir "$_instance" || fail "there is no instance for events"
    echo 64 > "$_instance/buffer_size_kb"
    for _event; do
        [ -e "$_instance/events/$_event" ] || fail "this kernel has no event $_event"
        if [ -n "$_filter" ]; then echo "$_filter" > "$_instance/events/$_event/filter" || fail "the filter $_filter is refused"; fi
        echo 1 > "$_instance/events/$_event/enable"
    done
}
# events NAME: how many so far, those included that the buffer has no room for.
events() { busybox awk '/^(entries|overrun):/ { sum += $2 } END { print sum + 0 }' $tracing/instances/"$1"/per_cpu/cpu*/stats; }

# result KEY VALUE: a line for the table on the host.
result() { say "$*"; echo "RESULT $*"; }
