//! The two shapes of a configuration field and of a list entry.

use std::ffi::{c_char, c_void};
use std::ptr::null;

use super::layout;
use crate::config::{self, Field, Parser};
use crate::public::ucs_list_link_t;

/// `doc` of a parser, from 1.17 on (`ucs_config_doc_nop` for all of ours).
pub(crate) type Doc = unsafe extern "C" fn(*mut c_void, *const c_void);

/// A release's `ucs_config_field_t`.
pub(crate) trait FieldShape: Sized {
    /// What the shape needs besides the field.
    type Extra: Copy;
    fn new(field: &Field, parser: Parser, extra: Self::Extra) -> Self;
    /// The entry without a name that ends a table.
    fn end() -> Self;
}

/// `ucs_config_field_t` up to 1.16.
#[repr(C)]
pub(crate) struct Field80 {
    name: *const c_char,
    dfl_value: *const c_char,
    doc: *const c_char,
    offset: usize,
    parser: Parser48,
}

/// `ucs_config_parser_t` up to 1.16.
#[repr(C)]
struct Parser48 {
    read: Option<config::Read>,
    write: Option<config::Write>,
    clone: Option<config::Clone>,
    release: Option<config::Release>,
    help: Option<config::Help>,
    arg: *const c_void,
}

/// `ucs_config_field_t` from 1.17 on.
#[repr(C)]
pub(crate) struct Field88 {
    name: *const c_char,
    dfl_value: *const c_char,
    doc: *const c_char,
    offset: usize,
    parser: Parser56,
}

/// `ucs_config_parser_t` from 1.17 on: `doc` comes before `arg`.
#[repr(C)]
struct Parser56 {
    read: Option<config::Read>,
    write: Option<config::Write>,
    clone: Option<config::Clone>,
    release: Option<config::Release>,
    help: Option<config::Help>,
    doc: Option<Doc>,
    arg: *const c_void,
}

layout! {
    /// Up to 1.16.
    pub(crate) FIELD_80:
    Field80 = "ucs_config_field_t", 80 { name @ 0, dfl_value @ 8, doc @ 16, offset @ 24, parser @ 32 }
    Parser48 = "ucs_config_parser_t", 48 { read @ 0, write @ 8, clone @ 16, release @ 24, help @ 32, arg @ 40 }
}
layout! {
    /// From 1.17 on.
    pub(crate) FIELD_88:
    Field88 = "ucs_config_field_t", 88 { name @ 0, dfl_value @ 8, doc @ 16, offset @ 24, parser @ 32 }
    Parser56 = "ucs_config_parser_t", 56 { read @ 0, write @ 8, clone @ 16, release @ 24, help @ 32, doc @ 40, arg @ 48 }
}

impl FieldShape for Field80 {
    type Extra = ();

    fn new(field: &Field, parser: Parser, (): ()) -> Self {
        let parser = Parser48 {
            read: Some(parser.read),
            write: parser.write,
            clone: Some(parser.clone),
            release: Some(parser.release),
            help: Some(parser.help),
            arg: parser.arg,
        };
        let doc = field.help.map_or(null(), std::ffi::CStr::as_ptr);
        Self { name: field.name.as_ptr(), dfl_value: field.default.as_ptr(), doc, offset: field.offset, parser }
    }

    fn end() -> Self {
        let parser = Parser48 { read: None, write: None, clone: None, release: None, help: None, arg: null() };
        Self { name: null(), dfl_value: null(), doc: null(), offset: 0, parser }
    }
}

impl FieldShape for Field88 {
    type Extra = Doc;

    fn new(field: &Field, parser: Parser, extra: Doc) -> Self {
        let parser = Parser56 {
            read: Some(parser.read),
            write: parser.write,
            clone: Some(parser.clone),
            release: Some(parser.release),
            help: Some(parser.help),
            doc: Some(extra),
            arg: parser.arg,
        };
        let doc = field.help.map_or(null(), std::ffi::CStr::as_ptr);
        Self { name: field.name.as_ptr(), dfl_value: field.default.as_ptr(), doc, offset: field.offset, parser }
    }

    fn end() -> Self {
        let parser =
            Parser56 { read: None, write: None, clone: None, release: None, help: None, doc: None, arg: null() };
        Self { name: null(), dfl_value: null(), doc: null(), offset: 0, parser }
    }
}

/// The fields in a release's shape, ended as UCX expects.
pub(crate) fn shaped<F: FieldShape>(fields: &[Field], extra: F::Extra) -> Vec<F> {
    fields.iter().map(|field| F::new(field, Parser::of(field.kind), extra)).chain([F::end()]).collect()
}

/// The fields in a release's shape, for ever.
pub(crate) fn table<F: FieldShape>(fields: &[Field], extra: F::Extra) -> *const c_void {
    Box::leak(shaped::<F>(fields, extra).into_boxed_slice()).as_ptr().cast()
}

/// A release's `ucs_config_global_list_entry_t`.
pub(crate) trait EntryShape: Sized {
    /// A table of settings with a heading and a prefix, not linked yet: UCX's register functions do that.
    fn new(name: *const c_char, prefix: *const c_char, table: *const c_void, size: usize) -> Self;
}

/// `ucs_config_global_list_entry_t` up to 1.14.
#[repr(C)]
pub(crate) struct Entry48 {
    name: *const c_char,
    prefix: *const c_char,
    table: *const c_void,
    size: usize,
    pub(crate) list: ucs_list_link_t,
}

/// `ucs_config_global_list_entry_t` from 1.15 on.
#[repr(C)]
pub(crate) struct Entry56 {
    name: *const c_char,
    prefix: *const c_char,
    table: *const c_void,
    size: usize,
    pub(crate) list: ucs_list_link_t,
    flags: u8,
}

layout! {
    /// Up to 1.14.
    pub(crate) ENTRY_48:
    Entry48 = "ucs_config_global_list_entry_t", 48 { name @ 0, prefix @ 8, table @ 16, size @ 24, list @ 32 }
}
layout! {
    /// From 1.15 on.
    pub(crate) ENTRY_56:
    Entry56 = "ucs_config_global_list_entry_t", 56 { name @ 0, prefix @ 8, table @ 16, size @ 24, list @ 32, flags @ 48 }
}

impl EntryShape for Entry48 {
    fn new(name: *const c_char, prefix: *const c_char, table: *const c_void, size: usize) -> Self {
        Self { name, prefix, table, size, list: ucs_list_link_t::UNLINKED }
    }
}

impl EntryShape for Entry56 {
    fn new(name: *const c_char, prefix: *const c_char, table: *const c_void, size: usize) -> Self {
        Self { name, prefix, table, size, list: ucs_list_link_t::UNLINKED, flags: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, c_int};
    use std::mem::offset_of;

    use super::*;
    use crate::config::Kind;
    use crate::testing::{Config, Null};
    use crate::transport::Transport;

    unsafe extern "C" fn doc(_text: *mut c_void, _arg: *const c_void) {}

    fn text(pointer: *const c_char) -> Option<&'static CStr> {
        // SAFETY: null, or one of the constants of the fields.
        (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) })
    }

    #[test]
    fn fields_keep_their_place_and_words_in_both_shapes() {
        let old = shaped::<Field80>(Null::FIELDS, ());
        let new = shaped::<Field88>(Null::FIELDS, doc);
        assert_eq!(old.len(), Null::FIELDS.len() + 1, "one entry more: the end");
        for (field, (old, new)) in Null::FIELDS.iter().zip(old.iter().zip(&new)) {
            assert_eq!([text(old.name), text(new.name)], [Some(field.name()); 2]);
            assert_eq!([text(old.dfl_value), text(new.dfl_value)], [Some(field.default_value()); 2]);
            assert_eq!([text(old.doc), text(new.doc)], [field.help(); 2]);
            assert_eq!([old.offset, new.offset], [field.offset_bytes(); 2]);
            assert_eq!(old.parser.arg, new.parser.arg, "`doc` must not push `arg` aside");
            assert!(new.parser.doc.is_some(), "UCX calls it without looking");
        }
        assert_eq!(old[3].offset, offset_of!(Config, timeout));
        assert_eq!(text(old[3].parser.arg.cast()), Some(c"time value: <number>[s|us|ms|ns]"));
        assert!(old.last().unwrap().name.is_null(), "UCX stops at the entry without a name");
        assert!(new.last().unwrap().name.is_null(), "UCX stops at the entry without a name");
    }

    #[test]
    fn a_members_type_decides_its_parser() {
        let kinds: Vec<_> = Null::FIELDS.iter().map(|field| field.kind).collect();
        use Kind::*;
        assert_eq!(kinds, [BaseIface, Text, MemUnits, Time, Switch, Number, Real]);
    }

    /// Through UCX's own parsers: what a user writes arrives in the member, and prints as UCX prints it.
    #[test]
    fn values_go_through_ucx_and_back() {
        let fields = shaped::<Field80>(Null::FIELDS, ());
        for (index, written, bytes, printed) in [
            (2, c"64k", 65536_u64.to_ne_bytes().to_vec(), "64K"),
            (2, c"inf", u64::MAX.to_ne_bytes().to_vec(), "inf"),
            (2, c"auto", (u64::MAX - 1).to_ne_bytes().to_vec(), "auto"),
            (3, c"30s", 30.0_f64.to_ne_bytes().to_vec(), "30000000.00us"),
            (4, c"no", c_int::to_ne_bytes(0).to_vec(), "n"),
            (5, c"4000000000", 4_000_000_000_u32.to_ne_bytes().to_vec(), "4000000000"),
            (6, c"0.5", 0.5_f64.to_ne_bytes().to_vec(), "0.500"),
        ] {
            let parser = &fields[index].parser;
            let mut value = 0_u64;
            let place = (&raw mut value).cast::<c_void>();
            // SAFETY: a terminated text and eight bytes, which is the longest of these values.
            assert_eq!(unsafe { parser.read.unwrap()(written.as_ptr(), place, parser.arg) }, 1, "{written:?}");
            assert_eq!(value.to_ne_bytes()[..bytes.len()], bytes, "{written:?}");
            let mut text = [0; 64];
            // SAFETY: room for a text, and the value that was just read.
            assert!(unsafe { parser.write.unwrap()(text.as_mut_ptr(), 64, place, parser.arg) } > 0);
            // SAFETY: UCX terminates it.
            assert_eq!(unsafe { CStr::from_ptr(text.as_ptr()) }.to_str(), Ok(printed));
        }
    }
}
