#!/bin/sh
# Run in a fresh Debian by `cargo xtask package --check`: the RPM that is named, as rpm itself installs and removes it. What it
# requires is not there under Fedora's names, so nothing is run that needs UCX.
set -eu

say() { printf '\n-- %s\n' "$*"; }
fail() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }
rpm=$1

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends rpm

say "digests and requirements"
rpm --checksig --nosignature "$rpm"
for needed in ucx openmpi; do
    rpm --query --package --requires "$rpm" | grep -q "^$needed\b" || fail "it does not require $needed"
done
rpm --query --package --scripts "$rpm"

say "install"
rpm --install --nodeps "$rpm"
rpm --verify --nodeps ucx-usb4 || fail "files are missing or changed"
getent group usb4 >/dev/null || fail "the script made no group usb4, which udev's rule names"
[ "$(usb4ctl --version)" = "usb4ctl $(rpm --query --queryformat '%{VERSION}' ucx-usb4)" ] || fail "$(usb4ctl --version)"
usb4ctl env | grep -q /usr/lib64/ucx-usb4/libucx_usb4_preload.so || fail "usb4ctl does not find its libraries"
UCX_USB4_LINKS=sim:ideal usb4ctl bench --seconds 0.1 --sizes 8

say "remove"
rpm --erase ucx-usb4
left=$(find / -xdev \( -name '*usb4*' -o -name '*osu-bench*' \) -not -path '/tmp/*' -not -path '/proc/*' -not -path '/sys/*' \
    -not -path '/dev/*' -not -path "$(dirname "$rpm")*")
[ -z "$left" ] || fail "files are left: $left"
say "all is well"
