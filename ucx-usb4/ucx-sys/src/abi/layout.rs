//! Layouts as facts: asserted when compiling, and listed for the comparison with UCX's headers.

/// Size and offsets of one C type, in bytes.
#[derive(Debug)]
#[cfg_attr(not(test), allow(dead_code))] // read by the comparison with UCX's headers
pub(crate) struct Layout {
    /// UCX's name of the type.
    pub(crate) c_type: &'static str,
    /// Its size; `None` where ours is the head of a type that UCX lengthens.
    pub(crate) size: Option<usize>,
    /// Members and their offsets.
    pub(crate) fields: &'static [(&'static str, usize)],
}

/// `NAME: RustType = "c_type", size { member @ offset, ... } ...`: asserts each and lists them all in `NAME`. With `head` before
/// the size, the C type may be longer.
macro_rules! layout {
    ($(#[$meta:meta])* $vis:vis $name:ident:
     $($type:ty = $c_type:literal, $($head:ident)? $size:literal { $($($field:ident).+ @ $offset:literal),* $(,)? })*) => {
        $(const _: () = {
            assert!(size_of::<$type>() == $size);
            $(assert!(std::mem::offset_of!($type, $($field).+) == $offset);)*
        };)*
        $(#[$meta])*
        #[cfg_attr(not(test), allow(dead_code))]
        $vis const $name: &[$crate::abi::Layout] = &[$($crate::abi::Layout {
            c_type: $c_type,
            size: $crate::abi::layout!(@size $($head)? $size),
            fields: &[$((stringify!($($field).+), $offset)),*],
        }),*];
    };
    (@size head $size:literal) => { None };
    (@size $size:literal) => { Some($size) };
}
pub(crate) use layout;
