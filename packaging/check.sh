#!/bin/sh
# Run in a fresh Debian by `cargo xtask package --check`: installs the packages that are named, runs a job, removes them, and
# looks for what is left.
set -eu

say() { printf '\n-- %s\n' "$*"; }
fail() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }
# All files but those of apt's, dpkg's, depmod's and DKMS's own books, which remember every package.
snapshot() {
    find / -xdev \( -path '/lib/modules/*/modules.*' -o -path '/usr/lib/modules/*/modules.*' -o -path '/var/lib/dkms/mok.*' \
        -o -path /tmp -o -path /var/cache -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg \
        -o -path /proc -o -path /sys -o -path /dev -o -path /run \) -prune -o -print | sort
}
as_user() { runuser -u tester -- env HOME=/home/tester "$@"; }

export DEBIAN_FRONTEND=noninteractive
say "what the packages need"
apt-get update -q
for deb in "$@"; do
    dpkg-deb --field "$deb" Depends | tr ',' '\n'
done >/run/depends
apt-get satisfy -q -y --no-install-recommends "$(paste -s -d, /run/depends)"
apt-get install -q -y --no-install-recommends openmpi-bin ucx-utils environment-modules
case "$*" in
    *usb4-dma-dkms*) has_module=yes; apt-get install -q -y --no-install-recommends linux-headers-amd64 kmod ;;
    *) has_module=no ;;
esac
useradd --create-home tester
snapshot >/run/before

say "install"
dpkg --install "$@"
[ -z "$(dpkg --verify ucx-usb4)" ] || fail "files are missing: $(dpkg --verify ucx-usb4)"

if [ $has_module = yes ]; then
    say "the kernel module, for Debian's kernel"
    kernel=$(basename "$(find /lib/modules /usr/lib/modules -mindepth 1 -maxdepth 1 -name '*-amd64' | head -1)")
    dkms install usb4-dma/0.1.0 -k "$kernel"
    modinfo -k "$kernel" usb4_dma | grep -E '^(version|license|vermagic)'
    getent group usb4 >/dev/null || fail "there is no group usb4, which udev's rule names"
fi

say "a job, as the README has it"
as_user bash -euc '
    eval "$(usb4ctl env)"
    export UCX_USB4_LINKS=sim:ideal
    usb4ctl doctor
    export UCX_USB4_STATS=/tmp/stats
    mpirun --oversubscribe -n 2 osu-bench latency -m 8:1048576 -i 100 -x 10
'
[ "$(grep -c '"tx_bytes":[1-9]' /tmp/stats)" = 2 ] || fail "usb4 did not carry both ranks' messages: $(cat /tmp/stats)"

say "the module file"
as_user bash -euc '
    . /usr/share/modules/init/bash
    before=$(env | sort)
    module load ucx-usb4
    module list
    [ "$UCX_TLS" = usb4 ] && [ "$OMPI_MCA_pml" = ucx ] || { echo "the module sets nothing"; exit 1; }
    case $LD_PRELOAD in *libucx_usb4_preload.so) ;; *) echo "LD_PRELOAD=$LD_PRELOAD"; exit 1 ;; esac
    module unload ucx-usb4
    [ -z "${UCX_TLS-}${LD_PRELOAD-}${OMPI_MCA_pml-}" ] || { echo "the module leaves variables"; env; exit 1; }
'

say "the profile script"
[ -z "$(as_user bash -lc 'printf %s "${OMPI_MCA_pml-}"')" ] || fail "the profile script acts unasked"
sed -i s/USB4_FOR_ALL=no/USB4_FOR_ALL=yes/ /etc/default/ucx-usb4
[ "$(as_user bash -lc 'printf %s "${OMPI_MCA_pml-}"')" = ucx ] || fail "the profile script does not act when asked"

say "man pages and completions"
for page in usb4ctl usb4ctl-doctor osu-bench; do
    gzip -t "/usr/share/man/man1/$page.1.gz"
done
bash -n /usr/share/bash-completion/completions/usb4ctl

say "the cables without MPI, and their frames"
as_user env UCX_USB4_LINKS=sim:ideal usb4ctl bench --seconds 0.1 --report /tmp/report.md
grep -q '"figures"' /tmp/report.md || fail "the report holds no figures"
as_user env UCX_USB4_TRACE=/tmp/job UCX_USB4_LINKS=sim:ideal usb4ctl run -- mpirun --oversubscribe -n 2 osu-bench latency -m 8:8 -i 10
as_user sh -c 'usb4ctl trace /tmp/job.*.pcap' | grep -q 'Am FIRST|LAST' || fail "no frames were recorded"
[ -s /usr/share/ucx-usb4/usb4.lua ] || fail "the dissector is missing"

say "purge"
dpkg --purge $(for deb in "$@"; do dpkg-deb --field "$deb" Package; done)
snapshot >/run/after
# The user's own home and bookkeeping of other packages' triggers may change; nothing of ours may be there.
if left=$(comm -13 /run/before /run/after | grep -v '^/home/tester/'); then
    fail "left behind: $left"
fi
[ -z "$(find / -xdev \( -name '*usb4*' -o -name '*osu-bench*' \) -not -path '/tmp/*' -not -path '/proc/*' -not -path '/sys/*')" ] ||
    fail "files named after us are left"
say "all is well"
