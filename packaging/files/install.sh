#!/bin/sh
# Installs ucx-usb4 from its archive: ./install.sh [--prefix FOLDER], /usr/local by default.
# Takes it away again: FOLDER/share/ucx-usb4/uninstall.sh
set -eu

prefix=/usr/local
case "${1-}" in
    "") ;;
    --prefix) prefix=${2:?--prefix needs a folder} ;;
    *) echo "usage: $0 [--prefix FOLDER]" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
esac
case $prefix in
    *[:\ ]*) echo "$prefix: LD_PRELOAD splits names at spaces and colons; choose another folder" >&2; exit 2 ;;
esac

state=$prefix/share/ucx-usb4
mkdir -p "$state"
(cd "$here/files" && find . -type f) | sed 's|^\./||' | sort >"$state/files"
while read -r file; do
    mkdir -p "$prefix/$(dirname "$file")"
    # A new file under the old name: jobs that run keep the one they have.
    cp "$here/files/$file" "$prefix/$file.new"
    mv "$prefix/$file.new" "$prefix/$file"
done <"$state/files"
sed -i "s|@USB4CTL@|$prefix/bin/usb4ctl|" "$prefix/share/modulefiles/ucx-usb4"

cat >"$state/uninstall.sh" <<END
#!/bin/sh
# Removes what install.sh put into $prefix.
set -eu
cd "$prefix"
while read -r file; do rm -f "\$file"; done <share/ucx-usb4/files
rm -f share/ucx-usb4/files share/ucx-usb4/uninstall.sh
while read -r folder; do rmdir "\$folder" 2>/dev/null || true; done <<FOLDERS
$( { sed 's|/[^/]*$||' "$state/files"; echo share/ucx-usb4; } | awk '{ for (p = $0; p != ""; ) { print p; if (!sub("/[^/]*$", "", p)) break } }' | sort -ru)
FOLDERS
END
chmod +x "$state/uninstall.sh"

echo "installed in $prefix; UCX 1.13 to 1.22 and an MPI must be there already"
case ":$PATH:" in
    *":$prefix/bin:"*) echo "next: usb4ctl doctor" ;;
    *) echo "next: export PATH=$prefix/bin:\$PATH; usb4ctl doctor" ;;
esac
