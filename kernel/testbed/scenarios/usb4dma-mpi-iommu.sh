# Two Debian guests behind a virtual IOMMU: MPI over usb4 maps memory for DMA when a channel is opened, and never for a message.
# So a job that moves forty times as much must make as many mappings as a short one.
#
#   cargo xtask vm mpi --part iommu
. /lib.sh
. /usb4.sh
usb4dma_load 4 rails=2
usb4_install
ssh_up
only_first

[ -n "$(ls /sys/class/iommu 2> /dev/null)" ] || fail "there is no IOMMU"
eval "$($prefix/bin/usb4ctl env)"
export UCX_TLS=usb4
count_events maps "" iommu/map
count_events unmaps "" iommu/unmap
mapped() {
    _before="$(events maps) $(events unmaps) $(counted tx_frames)"
    mpi $prefix/bin/ring "$@" > /dev/null || fail "ring $*"
    echo "$_before $(events maps) $(events unmaps) $(counted tx_frames)" | busybox awk '{ print $4 - $1, $5 - $2, $6 - $3 }'
}
mapped 1000 1 > /dev/null
short=$(mapped 1000 1)
long=$(mapped 1000000 5)
result iommu_short "maps unmaps frames: $short"
result iommu_long "maps unmaps frames: $long"
set -- $short $long
[ "$1" -gt 0 ] || fail "nothing was counted: not even a channel's pool was mapped"
[ $(($6 - $3)) -gt 2000 ] || fail "the long job sent only $6 frames"
[ "$1" = "$4" ] && [ "$2" = "$5" ] || fail "the data path maps memory: $short, but $long"
finish
