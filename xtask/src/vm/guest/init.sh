#!/bin/busybox sh
# First process of a guest: modules, the job folder, and for the Debian image the switch to its root.
B=/bin/busybox
$B mount -t devtmpfs d /dev; $B mount -t proc p /proc; $B mount -t sysfs s /sys
for word in $($B cat /proc/cmdline); do
    case $word in ucx.*=*) key=${word%%=*}; eval "${key#ucx.}='${word#*=}'" ;; esac
done
load() {
    [ -f "/m/$1.list" ] || return 1
    while read -r module; do
        $B grep -q "^$module " /proc/modules || $B insmod "/m/$module.ko"
    done < "/m/$1.list"
}
for module in virtio_pci virtio_net 9pnet_virtio 9p virtio_rng; do load $module; done
if [ "$image" = debian ]; then
    for module in virtio_blk crc32c_generic erofs overlay; do load $module; done
    $B mount -t erofs -o ro /dev/vda /lower || echo "the Debian root cannot be mounted"
    $B mount -t tmpfs t /upper; $B mkdir /upper/up /upper/work
    $B mount -t overlay -o lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work o /new
    $B mkdir -p /new/job /new/m /new/dev /new/proc /new/sys
    $B cp /m/* /new/m/; $B cp /lib.sh /usb4.sh /stage2.sh /new/; $B cp $B /new/bin/busybox
    $B mount --move /dev /new/dev; $B mount --move /proc /new/proc; $B mount --move /sys /new/sys
    $B mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=131072 job /new/job
    exec $B switch_root /new /bin/busybox sh /stage2.sh
fi
$B --install -s /bin
$B mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=131072 job /job
exec $B sh /stage2.sh
