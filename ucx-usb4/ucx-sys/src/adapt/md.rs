//! Slots of `uct_component_t` and `uct_md_ops_t`.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use crate::abi::params::{MemDeregParams, MemRegParams, MkeyPackParams, field};
use crate::public::*;
use crate::transport::{DeregMode, MemFlags, MemRegion, MkeyFlags, Rkey, Transport};

pub(crate) type QueryMdResources = unsafe extern "C" fn(*mut c_void, *mut *mut c_void, *mut c_uint) -> ucs_status_t;
pub(crate) type MdOpen =
    unsafe extern "C" fn(*mut c_void, *const c_char, *const c_void, *mut *mut uct_md_t) -> ucs_status_t;
pub(crate) type RkeyUnpackV1 =
    unsafe extern "C" fn(*mut c_void, *const c_void, *mut uct_rkey_t, *mut *mut c_void) -> ucs_status_t;
pub(crate) type RkeyUnpack =
    unsafe extern "C" fn(*mut c_void, *const c_void, *const c_void, *mut uct_rkey_t, *mut *mut c_void) -> ucs_status_t;
pub(crate) type RkeyRelease = unsafe extern "C" fn(*mut c_void, uct_rkey_t, *mut c_void) -> ucs_status_t;
pub(crate) type RkeyCompare =
    unsafe extern "C" fn(*mut c_void, uct_rkey_t, uct_rkey_t, *const c_void, *mut c_int) -> ucs_status_t;
pub(crate) type MdClose = unsafe extern "C" fn(*mut uct_md_t);
pub(crate) type MemRegFlags =
    unsafe extern "C" fn(*mut uct_md_t, *mut c_void, usize, c_uint, *mut uct_mem_h) -> ucs_status_t;
pub(crate) type MemReg =
    unsafe extern "C" fn(*mut uct_md_t, *mut c_void, usize, *const MemRegParams, *mut uct_mem_h) -> ucs_status_t;
pub(crate) type MemDereg = unsafe extern "C" fn(*mut uct_md_t, *const MemDeregParams) -> ucs_status_t;
pub(crate) type MkeyPackWhole =
    unsafe extern "C" fn(*mut uct_md_t, uct_mem_h, *const MkeyPackParams, *mut c_void) -> ucs_status_t;
pub(crate) type MkeyPack = unsafe extern "C" fn(
    *mut uct_md_t,
    uct_mem_h,
    *mut c_void,
    usize,
    *const MkeyPackParams,
    *mut c_void,
) -> ucs_status_t;

/// `uct_component_t::md_open`.
pub(crate) unsafe extern "C" fn md_open<T: Transport>(
    _component: *mut c_void,
    name: *const c_char,
    config: *const c_void,
    md_p: *mut *mut uct_md_t,
) -> ucs_status_t {
    // SAFETY: UCX gives a terminated name.
    let name = unsafe { CStr::from_ptr(name) };
    // SAFETY: UCX calls, after the registration, with settings that it parsed by the transport's own table.
    match unsafe { T::md_open(name, config.cast()) } {
        Ok(md) => {
            // SAFETY: UCX's out parameter.
            unsafe { md_p.write(md) };
            UCS_OK
        }
        Err(status) => status,
    }
}

/// `uct_md_ops_t::close`.
pub(crate) unsafe extern "C" fn md_close<T: Transport>(md: *mut uct_md_t) {
    // SAFETY: UCX closes what it opened.
    unsafe { T::md_close(md) };
}

/// `uct_md_ops_t::mem_reg` of 1.13.
pub(crate) unsafe extern "C" fn mem_reg_flags<T: Transport>(
    md: *mut uct_md_t,
    address: *mut c_void,
    len_bytes: usize,
    flags: c_uint,
    memh_p: *mut uct_mem_h,
) -> ucs_status_t {
    let region = MemRegion { address, len_bytes, flags: MemFlags::from_bits_truncate(flags.into()) };
    // SAFETY: UCX's arguments.
    unsafe { mem_reg_region::<T>(md, region, memh_p) }
}

/// `uct_md_ops_t::mem_reg` from 1.14 on.
pub(crate) unsafe extern "C" fn mem_reg<T: Transport>(
    md: *mut uct_md_t,
    address: *mut c_void,
    len_bytes: usize,
    params: *const MemRegParams,
    memh_p: *mut uct_mem_h,
) -> ucs_status_t {
    // SAFETY: every release's struct begins with these fields.
    let flags = unsafe { params.read() }.flags();
    let region = MemRegion { address, len_bytes, flags: MemFlags::from_bits_truncate(flags) };
    // SAFETY: UCX's arguments.
    unsafe { mem_reg_region::<T>(md, region, memh_p) }
}

unsafe fn mem_reg_region<T: Transport>(md: *mut uct_md_t, region: MemRegion, memh_p: *mut uct_mem_h) -> ucs_status_t {
    // SAFETY: UCX registers on an open memory domain and keeps the memory mapped.
    match unsafe { T::mem_reg(md, region) } {
        Ok(memh) => {
            // SAFETY: UCX's out parameter.
            unsafe { memh_p.write(memh) };
            UCS_OK
        }
        Err(status) => status,
    }
}

/// `uct_md_ops_t::mem_dereg`, in all releases.
pub(crate) unsafe extern "C" fn mem_dereg<T: Transport>(
    md: *mut uct_md_t,
    params: *const MemDeregParams,
) -> ucs_status_t {
    // SAFETY: the same struct in all releases.
    let params = unsafe { params.read() };
    if params.field_mask & field::DEREG_MEMH == 0 || params.memh.is_null() {
        return UCS_ERR_INVALID_PARAM;
    }
    let mode = match params.invalidate() {
        None => DeregMode::Plain,
        Some(completion) if completion.is_null() => return UCS_ERR_INVALID_PARAM,
        Some(completion) => DeregMode::Invalidate(completion),
    };
    // SAFETY: UCX deregisters what it registered, once.
    unsafe { T::mem_dereg(md, params.memh, mode) }.into()
}

/// `uct_md_ops_t::mkey_pack` of 1.13 and 1.14, whose only flag asks for both kinds of invalidation.
pub(crate) unsafe extern "C" fn mkey_pack_one_flag<T: Transport>(
    md: *mut uct_md_t,
    memh: uct_mem_h,
    params: *const MkeyPackParams,
    buffer: *mut c_void,
) -> ucs_status_t {
    // SAFETY: the same struct in all releases.
    let flags = match unsafe { params.read() }.flags() {
        0 => MkeyFlags::empty(),
        field::MKEY_INVALIDATE_RMA => MkeyFlags::all(),
        _ => return UCS_ERR_UNSUPPORTED,
    };
    // SAFETY: UCX's arguments; the buffer has the length that the memory domain names.
    unsafe { T::mkey_pack(md, memh, flags, buffer) }.into()
}

/// `uct_md_ops_t::mkey_pack` of 1.15.
pub(crate) unsafe extern "C" fn mkey_pack_whole<T: Transport>(
    md: *mut uct_md_t,
    memh: uct_mem_h,
    params: *const MkeyPackParams,
    buffer: *mut c_void,
) -> ucs_status_t {
    // SAFETY: the same struct in all releases.
    let asked = unsafe { params.read() }.flags();
    let mut flags = MkeyFlags::empty();
    flags.set(MkeyFlags::INVALIDATE_RMA, asked & field::MKEY_INVALIDATE_RMA != 0);
    flags.set(MkeyFlags::INVALIDATE_AMO, asked & field::MKEY_INVALIDATE_AMO != 0);
    // What is left is the export to another process, whose key has another length: writing ours would overrun the buffer.
    if asked & !(field::MKEY_INVALIDATE_RMA | field::MKEY_INVALIDATE_AMO) != 0 {
        return UCS_ERR_UNSUPPORTED;
    }
    // SAFETY: UCX's arguments; the buffer has the length that the memory domain names.
    unsafe { T::mkey_pack(md, memh, flags, buffer) }.into()
}

/// `uct_md_ops_t::mkey_pack` from 1.16 on. The key of the whole region serves the part that UCX names.
pub(crate) unsafe extern "C" fn mkey_pack<T: Transport>(
    md: *mut uct_md_t,
    memh: uct_mem_h,
    _address: *mut c_void,
    _len_bytes: usize,
    params: *const MkeyPackParams,
    buffer: *mut c_void,
) -> ucs_status_t {
    // SAFETY: UCX's arguments.
    unsafe { mkey_pack_whole::<T>(md, memh, params, buffer) }
}

/// `uct_component_t::rkey_unpack` up to 1.18.
pub(crate) unsafe extern "C" fn rkey_unpack_v1<T: Transport>(
    _component: *mut c_void,
    buffer: *const c_void,
    rkey_p: *mut uct_rkey_t,
    handle_p: *mut *mut c_void,
) -> ucs_status_t {
    // SAFETY: UCX gives a buffer that a peer's mkey_pack filled.
    let key = match unsafe { T::rkey_unpack(buffer) } {
        Ok(key) => key,
        Err(status) => return status,
    };
    // SAFETY: UCX's out parameter.
    unsafe { rkey_p.write(key.rkey) };
    // SAFETY: UCX's out parameter.
    unsafe { handle_p.write(key.handle) };
    UCS_OK
}

/// `uct_component_t::rkey_unpack` from 1.19 on; the parameters name a system device, which says nothing to us.
pub(crate) unsafe extern "C" fn rkey_unpack<T: Transport>(
    component: *mut c_void,
    buffer: *const c_void,
    _params: *const c_void,
    rkey_p: *mut uct_rkey_t,
    handle_p: *mut *mut c_void,
) -> ucs_status_t {
    // SAFETY: UCX's arguments.
    unsafe { rkey_unpack_v1::<T>(component, buffer, rkey_p, handle_p) }
}

/// `uct_component_t::rkey_release`, in all releases.
pub(crate) unsafe extern "C" fn rkey_release<T: Transport>(
    _component: *mut c_void,
    rkey: uct_rkey_t,
    handle: *mut c_void,
) -> ucs_status_t {
    // SAFETY: UCX releases what it unpacked, once.
    unsafe { T::rkey_release(Rkey { rkey, handle }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Null;

    fn dereg(params: MemDeregParams) -> ucs_status_t {
        // SAFETY: Null looks at nothing.
        unsafe { mem_dereg::<Null>(std::ptr::null_mut(), &raw const params) }
    }

    #[test]
    fn an_invalidation_without_completion_is_refused_before_it_starts() {
        let memh = std::ptr::dangling_mut();
        let comp = std::ptr::null_mut();
        let plain = MemDeregParams { field_mask: 1, flags: 0, memh, comp };
        assert_eq!(dereg(plain), UCS_OK);
        assert_eq!(dereg(MemDeregParams { field_mask: 7, flags: 1, ..plain }), UCS_ERR_INVALID_PARAM);
        assert_eq!(dereg(MemDeregParams { field_mask: 0, ..plain }), UCS_ERR_INVALID_PARAM);
        assert_eq!(dereg(MemDeregParams { memh: std::ptr::null_mut(), ..plain }), UCS_ERR_INVALID_PARAM);
    }

    #[test]
    fn a_key_for_export_is_refused_since_it_has_another_length() {
        let mut untouched = 7_u64;
        let buffer = (&raw mut untouched).cast();
        let memh = std::ptr::dangling_mut();
        let pack = |flags| {
            let params = MkeyPackParams { field_mask: 1, flags };
            let params = &raw const params;
            [
                // SAFETY: Null writes nothing.
                unsafe { mkey_pack_one_flag::<Null>(std::ptr::null_mut(), memh, params, buffer) },
                // SAFETY: as above.
                unsafe { mkey_pack::<Null>(std::ptr::null_mut(), memh, std::ptr::null_mut(), 0, params, buffer) },
            ]
        };
        assert_eq!(pack(1), [UCS_OK; 2]);
        // 1.14's export flag is 1.15's for invalidating atomics.
        assert_eq!(pack(2), [UCS_ERR_UNSUPPORTED, UCS_OK]);
        assert_eq!(pack(4), [UCS_ERR_UNSUPPORTED; 2]);
        assert_eq!(untouched, 7);
    }
}
