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
