//! Slots of `uct_tl_t`, `uct_iface_ops_t` and `uct_iface_internal_ops_t`.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::abi::params::{AddressParams, ReachableParams, field};
use crate::public::*;
use crate::transport::{Device, PeerAddress, Transport, Unreachable};

pub(crate) type QueryDevices =
    unsafe extern "C" fn(*mut uct_md_t, *mut *mut uct_tl_device_resource_t, *mut c_uint) -> ucs_status_t;
pub(crate) type IfaceOpen = unsafe extern "C" fn(
    *mut uct_md_t,
    uct_worker_h,
    *const uct_iface_params_t,
    *const c_void,
    *mut *mut uct_base_iface_t,
) -> ucs_status_t;
pub(crate) type IfaceQueryV2 = unsafe extern "C" fn(uct_iface_h, *mut c_void) -> ucs_status_t;
pub(crate) type EstimatePerf = unsafe extern "C" fn(uct_iface_h, *mut c_void) -> ucs_status_t;
pub(crate) type IsReachableV2 = unsafe extern "C" fn(*mut uct_base_iface_t, *const ReachableParams) -> c_int;
pub(crate) type EpIsConnected = unsafe extern "C" fn(*mut uct_base_ep_t, *const AddressParams) -> c_int;
pub(crate) type EpInvalidateFlags = unsafe extern "C" fn(*mut uct_base_ep_t, c_uint) -> ucs_status_t;
pub(crate) type EpInvalidate = unsafe extern "C" fn(*mut uct_base_ep_t, *const c_void) -> ucs_status_t;

/// `uct_tl_t::query_devices`: the array is freed by UCX.
pub(crate) unsafe extern "C" fn query_devices<T: Transport>(
    md: *mut uct_md_t,
    devices_p: *mut *mut uct_tl_device_resource_t,
    count_p: *mut c_uint,
) -> ucs_status_t {
    // SAFETY: UCX asks an open memory domain.
    let devices = match unsafe { T::query_devices(md) } {
        Ok(devices) => devices,
        Err(status) => return status,
    };
    let mut array = std::ptr::null_mut::<uct_tl_device_resource_t>();
    if !devices.is_empty() {
        // SAFETY: takes any size and a terminated name.
        array = unsafe { ucs_malloc(size_of::<uct_tl_device_resource_t>() * devices.len(), c"usb4_devices".as_ptr()) }
            .cast();
        if array.is_null() {
            return UCS_ERR_NO_MEMORY;
        }
    }
    for (index, device) in devices.iter().enumerate() {
        // SAFETY: the array has a place for each device.
        let place = unsafe { array.add(index) };
        // SAFETY: as above.
        unsafe { place.write(resource(device)) };
    }
    // SAFETY: UCX's out parameter.
    unsafe { devices_p.write(array) };
    // SAFETY: UCX's out parameter.
    unsafe { count_p.write(c_uint::try_from(devices.len()).unwrap_or(0)) };
    UCS_OK
}

fn resource(device: &Device) -> uct_tl_device_resource_t {
    let mut name = [0; UCT_DEVICE_NAME_MAX as usize];
    // The last byte stays zero.
    for (to, from) in name[..UCT_DEVICE_NAME_MAX as usize - 1].iter_mut().zip(device.name.bytes()) {
        *to = c_char::from_ne_bytes([from]);
    }
    uct_tl_device_resource_t { name, type_: device.kind, sys_device: device.sys_device }
}

/// `uct_tl_t::iface_open`.
pub(crate) unsafe extern "C" fn iface_open<T: Transport>(
    md: *mut uct_md_t,
    worker: uct_worker_h,
    params: *const uct_iface_params_t,
    config: *const c_void,
    iface_p: *mut *mut uct_base_iface_t,
) -> ucs_status_t {
    // SAFETY: UCX's arguments; it filled the configuration through the transport's own fields.
    match unsafe { T::iface_open(md, worker, params, config.cast()) } {
        Ok(iface) => {
            // SAFETY: UCX's out parameter.
            unsafe { iface_p.write(iface) };
            UCS_OK
        }
        Err(status) => status,
    }
}

/// `uct_iface_ops_t::iface_is_reachable`, in all releases.
pub(crate) unsafe extern "C" fn is_reachable<T: Transport>(
    iface: uct_iface_h,
    device: *const uct_device_addr_t,
    address: *const uct_iface_addr_t,
) -> c_int {
    let peer = PeerAddress { device: device.cast(), iface: address.cast() };
    // SAFETY: UCX asks an open interface, which starts with the base interface; the addresses are valid during the call.
    c_int::from(unsafe { T::is_reachable(iface.cast(), peer) }.is_ok())
}

/// `uct_iface_internal_ops_t::iface_is_reachable_v2`, from 1.15 on.
pub(crate) unsafe extern "C" fn is_reachable_v2<T: Transport>(
    iface: *mut uct_base_iface_t,
    params: *const ReachableParams,
) -> c_int {
    // SAFETY: every release's struct begins with these fields.
    let params = unsafe { params.read() };
    let peer = PeerAddress { device: params.device_addr(), iface: params.iface_addr() };
    // SAFETY: UCX asks an open interface; the addresses are valid during the call.
    let mut answer = unsafe { T::is_reachable(iface, peer) };
    if answer.is_ok() && params.field_mask & field::REACHABLE_SCOPE != 0 && params.scope == field::SCOPE_DEVICE {
        // SAFETY: as above.
        if !unsafe { is_same_device(iface, peer.device) } {
            answer = Err(Unreachable("the peer has another device".into()));
        }
    }
    // UCX 1.16 and 1.17 leave it to the transport to say that there is no reason.
    let why = answer.as_ref().map_or_else(|why| why.0.as_str(), |()| "");
    // SAFETY: the text buffer is UCX's.
    unsafe { params.explain(why) };
    c_int::from(answer.is_ok())
}

/// UCX's `uct_iface_is_same_device`: the peer's device address is our own.
unsafe fn is_same_device(iface: *mut uct_base_iface_t, device: *const u8) -> bool {
    // SAFETY: the interface is open, so its table is set and has no `None`.
    let ops = unsafe { (*iface).super_.ops };
    let (Some(query), Some(get_address)) = (ops.iface_query, ops.iface_get_device_address) else { return false };
    let mut attr = std::mem::MaybeUninit::<uct_iface_attr_t>::zeroed();
    // SAFETY: the interface is open and the attributes have room.
    if unsafe { query(iface.cast(), attr.as_mut_ptr()) } != UCS_OK || device.is_null() {
        return false;
    }
    // SAFETY: all zeroes is valid, and the query only writes valid values.
    let len = unsafe { attr.assume_init() }.device_addr_len;
    let mut own = vec![0_u8; len];
    // SAFETY: the buffer has the length that the interface asks for.
    if unsafe { get_address(iface.cast(), own.as_mut_ptr().cast()) } != UCS_OK {
        return false;
    }
    let mut theirs = vec![0_u8; len];
    // SAFETY: a device address has the length that its transport says.
    unsafe { device.copy_to_nonoverlapping(theirs.as_mut_ptr(), len) };
    own == theirs
}

/// `uct_iface_internal_ops_t::ep_is_connected`, from 1.16 on.
pub(crate) unsafe extern "C" fn ep_is_connected<T: Transport>(
    ep: *mut uct_base_ep_t,
    params: *const AddressParams,
) -> c_int {
    // SAFETY: every release's struct begins with these fields.
    let params = unsafe { params.read() };
    let peer = PeerAddress { device: params.device_addr(), iface: params.iface_addr() };
    // SAFETY: UCX asks an open endpoint; the addresses are valid during the call.
    c_int::from(unsafe { T::ep_is_connected(ep, peer) })
}

/// `uct_iface_internal_ops_t::ep_invalidate` up to 1.20; no flag is defined.
pub(crate) unsafe extern "C" fn ep_invalidate_flags<T: Transport>(
    ep: *mut uct_base_ep_t,
    _flags: c_uint,
) -> ucs_status_t {
    // SAFETY: UCX gives an open endpoint.
    unsafe { T::ep_invalidate(ep) }
}

/// `uct_iface_internal_ops_t::ep_invalidate` from 1.21 on; the parameters have no field but their mask.
pub(crate) unsafe extern "C" fn ep_invalidate<T: Transport>(
    ep: *mut uct_base_ep_t,
    _params: *const c_void,
) -> ucs_status_t {
    // SAFETY: UCX gives an open endpoint.
    unsafe { T::ep_invalidate(ep) }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr::null;

    use super::*;
    use crate::NO_IFACE_OPS;
    use crate::testing::Null;

    unsafe extern "C" fn query(_iface: uct_iface_h, attr: *mut uct_iface_attr_t) -> ucs_status_t {
        // SAFETY: the adapter's own attributes.
        unsafe { (*attr).device_addr_len = 4 };
        UCS_OK
    }

    unsafe extern "C" fn device_address(_iface: uct_iface_h, address: *mut uct_device_addr_t) -> ucs_status_t {
        // SAFETY: four bytes were asked for.
        unsafe { address.cast::<[u8; 4]>().write(*b"mine") };
        UCS_OK
    }

    /// What UCX from 1.15 on gets for an answer and a reason. Null reaches whoever has an interface address.
    fn ask(device: &CStr, iface: *const u8, scope: Option<u32>) -> (c_int, String) {
        let ops = uct_iface_ops_t {
            iface_query: Some(query),
            iface_get_device_address: Some(device_address),
            ..NO_IFACE_OPS
        };
        let mut base = std::mem::MaybeUninit::<uct_base_iface_t>::zeroed();
        // SAFETY: zeroed memory of the right type.
        unsafe { (*base.as_mut_ptr()).super_ = uct_iface_t { ops } };
        let mut text = [b'?' as c_char; 64];
        text[63] = 0;
        let params = ReachableParams {
            field_mask: 0xf | scope.map_or(0, |_| field::REACHABLE_SCOPE),
            device_addr: device.as_ptr().cast(),
            iface_addr: iface,
            info_string: text.as_mut_ptr(),
            info_string_length: text.len(),
            scope: scope.unwrap_or(field::SCOPE_DEVICE),
        };
        // SAFETY: an interface with all that the adapter uses, and parameters as UCX makes them.
        let answer = unsafe { is_reachable_v2::<Null>(base.as_mut_ptr(), &raw const params) };
        // SAFETY: terminated, by the adapter or above.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        (answer, text.to_string_lossy().into_owned())
    }

    #[test]
    fn the_scope_of_a_device_ends_at_its_address() {
        let address = b"address".as_ptr();
        let network = Some(field::SCOPE_DEVICE + 1);
        let device = Some(field::SCOPE_DEVICE);
        assert_eq!(ask(c"mine", address, device), (1, String::new()));
        assert_eq!(ask(c"theirs", address, network), (1, String::new()));
        assert_eq!(ask(c"theirs", address, None), (1, String::new()), "without its bit the scope is not looked at");
        assert_eq!(ask(c"theirs", address, device), (0, "the peer has another device".into()));
        assert_eq!(ask(c"mine", null(), network), (0, "nobody is there".into()));
    }

    #[test]
    fn a_long_device_name_is_cut_and_stays_terminated() {
        let device = Device { name: "x".repeat(40), kind: UCT_DEVICE_TYPE_NET, sys_device: 3 };
        let resource = resource(&device);
        assert!(resource.name[..31].iter().all(|c| *c == b'x' as c_char));
        assert_eq!((resource.name[31], resource.sys_device), (0, 3));
    }
}
