//! Parameters that UCX hands to the slots (`uct/api/v2/uct_v2.h`). UCX appends fields to them and marks in `field_mask` what
//! is there, so each is declared as far as all releases that use it agree, and read through its mask.

use std::ffi::{c_char, c_int, c_uint};

use crate::public::*;

/// Bits of the masks and flags.
pub(crate) mod field {
    /// `UCT_*_FIELD_DEVICE_ADDR` of reachability and connection.
    pub(crate) const DEVICE_ADDR: u64 = 1 << 0;
    /// `UCT_*_FIELD_IFACE_ADDR` of reachability and connection.
    pub(crate) const IFACE_ADDR: u64 = 1 << 1;
    /// `UCT_IFACE_IS_REACHABLE_FIELD_INFO_STRING` and `..._LENGTH`.
    pub(crate) const REACHABLE_INFO: u64 = 1 << 2 | 1 << 3;
    /// `UCT_IFACE_IS_REACHABLE_FIELD_SCOPE`.
    pub(crate) const REACHABLE_SCOPE: u64 = 1 << 4;
    /// `UCT_IFACE_REACHABILITY_SCOPE_DEVICE`.
    pub(crate) const SCOPE_DEVICE: u32 = 0;
    /// `UCT_MD_MEM_REG_FIELD_FLAGS`.
    pub(crate) const REG_FLAGS: u64 = 1 << 0;
    /// `UCT_MD_MEM_DEREG_FIELD_MEMH`.
    pub(crate) const DEREG_MEMH: u64 = 1 << 0;
    /// `UCT_MD_MEM_DEREG_FIELD_FLAGS`.
    pub(crate) const DEREG_FLAGS: u64 = 1 << 1;
    /// `UCT_MD_MEM_DEREG_FIELD_COMPLETION`.
    pub(crate) const DEREG_COMPLETION: u64 = 1 << 2;
    /// `UCT_MD_MEM_DEREG_FLAG_INVALIDATE`.
    pub(crate) const DEREG_INVALIDATE: u32 = 1 << 0;
    /// `UCT_MD_MKEY_PACK_FIELD_FLAGS`.
    pub(crate) const MKEY_FLAGS: u64 = 1 << 0;
    /// `UCT_MD_MKEY_PACK_FLAG_INVALIDATE_RMA`, up to 1.14 `UCT_MD_MKEY_PACK_FLAG_INVALIDATE`.
    pub(crate) const MKEY_INVALIDATE_RMA: u32 = 1 << 0;
    /// `UCT_MD_MKEY_PACK_FLAG_INVALIDATE_AMO`, from 1.15 on.
    pub(crate) const MKEY_INVALIDATE_AMO: u32 = 1 << 1;
}

/// The head of `uct_iface_is_reachable_params_t` (the slot has it from 1.15 on) and, up to `iface_addr`, of
/// `uct_ep_is_connected_params_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ReachableParams {
    pub(crate) field_mask: u64,
    pub(crate) device_addr: *const u8,
    pub(crate) iface_addr: *const u8,
    pub(crate) info_string: *mut c_char,
    pub(crate) info_string_length: usize,
    pub(crate) scope: c_uint,
}

impl ReachableParams {
    pub(crate) fn device_addr(&self) -> *const u8 {
        given(self.field_mask & field::DEVICE_ADDR != 0, self.device_addr)
    }

    pub(crate) fn iface_addr(&self) -> *const u8 {
        given(self.field_mask & field::IFACE_ADDR != 0, self.iface_addr)
    }

    /// Writes the reason where UCX wants it, cut to what fits.
    ///
    /// # Safety
    /// Where the mask says so, the buffer has the length that stands beside it.
    pub(crate) unsafe fn explain(&self, why: &str) {
        let wanted = self.field_mask & field::REACHABLE_INFO == field::REACHABLE_INFO;
        if !wanted || self.info_string.is_null() || self.info_string_length == 0 {
            return;
        }
        let len = why.len().min(self.info_string_length - 1);
        // SAFETY: `len` fits with one byte to spare, and nobody else has the buffer during the call.
        unsafe { self.info_string.copy_from_nonoverlapping(why.as_ptr().cast(), len) };
        // SAFETY: the byte to spare.
        let end = unsafe { self.info_string.add(len) };
        // SAFETY: as above.
        unsafe { end.write(0) };
    }
}

/// The head of `uct_ep_is_connected_params_t` (from 1.16 on).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct AddressParams {
    pub(crate) field_mask: u64,
    pub(crate) device_addr: *const u8,
    pub(crate) iface_addr: *const u8,
    pub(crate) ep_addr: *const u8,
}

impl AddressParams {
    pub(crate) fn device_addr(&self) -> *const u8 {
        given(self.field_mask & field::DEVICE_ADDR != 0, self.device_addr)
    }

    pub(crate) fn iface_addr(&self) -> *const u8 {
        given(self.field_mask & field::IFACE_ADDR != 0, self.iface_addr)
    }
}

fn given(there: bool, address: *const u8) -> *const u8 {
    if there { address } else { std::ptr::null() }
}

/// The head of `uct_md_mem_reg_params_t` (from 1.14 on).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct MemRegParams {
    pub(crate) field_mask: u64,
    pub(crate) flags: u64,
    pub(crate) dmabuf_fd: c_int,
    pub(crate) dmabuf_offset: usize,
}

impl MemRegParams {
    pub(crate) fn flags(&self) -> u64 {
        if self.field_mask & field::REG_FLAGS != 0 { self.flags } else { 0 }
    }
}

/// `uct_md_mem_dereg_params_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct MemDeregParams {
    pub(crate) field_mask: u64,
    pub(crate) flags: c_uint,
    pub(crate) memh: uct_mem_h,
    pub(crate) comp: *mut uct_completion_t,
}

impl MemDeregParams {
    /// The completion (null when UCX gave none) of a deregistration that must invalidate.
    pub(crate) fn invalidate(&self) -> Option<*mut uct_completion_t> {
        let flags = if self.field_mask & field::DEREG_FLAGS != 0 { self.flags } else { 0 };
        let completion = if self.field_mask & field::DEREG_COMPLETION != 0 { self.comp } else { std::ptr::null_mut() };
        (flags & field::DEREG_INVALIDATE != 0).then_some(completion)
    }
}

/// `uct_md_mkey_pack_params_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct MkeyPackParams {
    pub(crate) field_mask: u64,
    pub(crate) flags: c_uint,
}

impl MkeyPackParams {
    pub(crate) fn flags(&self) -> u32 {
        if self.field_mask & field::MKEY_FLAGS != 0 { self.flags } else { 0 }
    }
}

#[cfg(test)]
pub(super) use tests::LAYOUTS_1_16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::layout;

    layout! {
        /// As they are from 1.16 on, the first release to have them all.
        pub(in crate::abi) LAYOUTS_1_16:
        ReachableParams = "uct_iface_is_reachable_params_t", head 48 {
            field_mask @ 0, device_addr @ 8, iface_addr @ 16, info_string @ 24, info_string_length @ 32, scope @ 40
        }
        AddressParams = "uct_ep_is_connected_params_t", head 32 {
            field_mask @ 0, device_addr @ 8, iface_addr @ 16, ep_addr @ 24
        }
        MemRegParams = "uct_md_mem_reg_params_t", head 32 {
            field_mask @ 0, flags @ 8, dmabuf_fd @ 16, dmabuf_offset @ 24
        }
        MemDeregParams = "uct_md_mem_dereg_params_t", 32 { field_mask @ 0, flags @ 8, memh @ 16, comp @ 24 }
        MkeyPackParams = "uct_md_mkey_pack_params_t", 16 { field_mask @ 0, flags @ 8 }
    }

    fn reachable(buffer: &mut [c_char], field_mask: u64) -> ReachableParams {
        ReachableParams {
            field_mask,
            device_addr: b"device".as_ptr(),
            iface_addr: b"iface".as_ptr(),
            info_string: buffer.as_mut_ptr(),
            info_string_length: buffer.len(),
            scope: 0,
        }
    }

    #[test]
    fn a_reason_is_cut_to_its_buffer_and_terminated() {
        let mut buffer = [1; 8];
        // SAFETY: the buffer is as long as the parameters say.
        unsafe { reachable(&mut buffer[..5], field::REACHABLE_INFO).explain("unreachable") };
        assert_eq!(buffer.map(|c| c as u8), *b"unre\0\x01\x01\x01");
    }

    #[test]
    fn a_reason_goes_nowhere_without_a_whole_buffer() {
        for mask in [0, 1 << 2, 1 << 3] {
            let mut buffer = [1; 8];
            // SAFETY: as above.
            unsafe { reachable(&mut buffer, mask).explain("unreachable") };
            assert_eq!(buffer, [1; 8], "mask {mask}");
        }
        // SAFETY: as above.
        unsafe { reachable(&mut [], field::REACHABLE_INFO).explain("unreachable") };
    }

    #[test]
    fn fields_outside_the_mask_are_not_looked_at() {
        let params = reachable(&mut [], field::IFACE_ADDR);
        assert!(params.device_addr().is_null() && !params.iface_addr().is_null());
        let completion = std::ptr::dangling_mut();
        let dereg = |field_mask| MemDeregParams { field_mask, flags: 1, memh: completion, comp: completion.cast() };
        assert_eq!(dereg(field::DEREG_MEMH).invalidate(), None);
        assert_eq!(dereg(field::DEREG_FLAGS).invalidate(), Some(std::ptr::null_mut()));
        assert_eq!(dereg(field::DEREG_FLAGS | field::DEREG_COMPLETION).invalidate(), Some(completion.cast()));
        assert_eq!(MkeyPackParams { field_mask: 0, flags: 1 }.flags(), 0);
        assert_eq!(MemRegParams { field_mask: 2, flags: 1, dmabuf_fd: 0, dmabuf_offset: 0 }.flags(), 0);
    }
}
