//! Where a device sits in the machine, in UCX's terms.

use std::ffi::CStr;

use crate::public::*;

/// UCX's number for the PCI function of this name, such as `0000:c7:00.5`; `UCS_SYS_DEVICE_ID_UNKNOWN` where the name is of another form.
/// UCX reckons with it how far the device is from memory, from CPUs and from other devices.
#[must_use]
pub fn sys_device(pci_name: &CStr) -> u8 {
    let mut number = UCS_SYS_DEVICE_ID_UNKNOWN;
    // SAFETY: a terminated string, and room for the number, which UCX writes on success only.
    let status = unsafe { ucs_topo_find_device_by_bdf_name(pci_name.as_ptr(), &raw mut number) };
    if status == UCS_OK { number } else { UCS_SYS_DEVICE_ID_UNKNOWN }
}
