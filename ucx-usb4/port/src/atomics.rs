//! Atomic operations on registered memory, with the processor's own instructions: consistent with what threads do there.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use usb4_wire::extension::{AtomicOp, AtomicRequest, AtomicWidth};

/// Applies the operation, and returns the old value.
///
/// # Safety
/// The address is aligned to the width, and that many bytes there are readable and writable.
pub(super) unsafe fn apply(request: &AtomicRequest) -> u64 {
    let address = request.remote_addr as usize;
    match request.width {
        AtomicWidth::Bits32 => {
            let target = std::ptr::with_exposed_provenance_mut(address);
            // SAFETY: promised by the caller; whoever else uses it concurrently does so atomically, or races by his own choice.
            let target = unsafe { AtomicU32::from_ptr(target) };
            apply32(target, request.code, request.operand as u32, request.compare as u32).into()
        }
        AtomicWidth::Bits64 => {
            let target = std::ptr::with_exposed_provenance_mut(address);
            // SAFETY: as above.
            let target = unsafe { AtomicU64::from_ptr(target) };
            apply64(target, request.code, request.operand, request.compare)
        }
    }
}

macro_rules! apply_fn {
    ($name:ident, $atomic:ty, $int:ty) => {
        fn $name(target: &$atomic, code: AtomicOp, operand: $int, compare: $int) -> $int {
            let order = Ordering::SeqCst;
            match code {
                AtomicOp::Add => target.fetch_add(operand, order),
                AtomicOp::And => target.fetch_and(operand, order),
                AtomicOp::Or => target.fetch_or(operand, order),
                AtomicOp::Xor => target.fetch_xor(operand, order),
                AtomicOp::Swap => target.swap(operand, order),
                AtomicOp::CompareSwap => {
                    target.compare_exchange(compare, operand, order, order).unwrap_or_else(|old| old)
                }
            }
        }
    };
}

apply_fn!(apply32, AtomicU32, u32);
apply_fn!(apply64, AtomicU64, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_returns_the_old_value_and_leaves_the_new() {
        let cases = [
            (AtomicOp::Add, 7, 0, 12),
            (AtomicOp::And, 4, 0, 4),
            (AtomicOp::Or, 2, 0, 7),
            (AtomicOp::Xor, 1, 0, 4),
            (AtomicOp::Swap, 9, 0, 9),
            (AtomicOp::CompareSwap, 9, 5, 9),
            (AtomicOp::CompareSwap, 9, 6, 5),
        ];
        for (code, operand, compare, after) in cases {
            let value = AtomicU64::new(5);
            assert_eq!(apply64(&value, code, operand, compare), 5, "{code:?}");
            assert_eq!(value.load(Ordering::Relaxed), after, "{code:?}");
            let value = AtomicU32::new(5);
            assert_eq!(apply32(&value, code, operand as u32, compare as u32), 5, "{code:?}");
            assert_eq!(u64::from(value.load(Ordering::Relaxed)), after, "{code:?}");
        }
    }

    #[test]
    fn addition_wraps() {
        let value = AtomicU32::new(u32::MAX);
        assert_eq!(apply32(&value, AtomicOp::Add, 2, 0), u32::MAX);
        assert_eq!(value.load(Ordering::Relaxed), 1);
    }
}
