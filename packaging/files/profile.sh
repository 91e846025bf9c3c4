# Lets every login shell run MPI over usb4, if the administrator says so in /etc/default/ucx-usb4.
# Without that, run: eval "$(usb4ctl env)"
if [ -r /etc/default/ucx-usb4 ] && command -v usb4ctl >/dev/null 2>&1; then
    if [ "$(. /etc/default/ucx-usb4 && printf %s "${USB4_FOR_ALL:-no}")" = yes ]; then
        eval "$(usb4ctl env)"
    fi
fi
