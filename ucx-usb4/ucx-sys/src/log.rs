//! A sink for the `log` crate that hands each line to UCX's own log, and a plain way to the user for a refusal.
//!
//! UCX decides what is shown (`UCX_LOG_LEVEL`) and where (`UCX_LOG_FILE`); its level is read for each line, since a program
//! may change it.

use std::ffi::{CString, c_int};
use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::detect::Refusal;
use crate::public::{ucs_global_opts, ucs_log_dispatch};

/// Sends the `log` crate's lines of this library to UCX. Later calls do nothing.
pub fn install() {
    // An error means that a sink is installed already: this one, after a second load, or none of ours.
    if log::set_logger(&UcxLog).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// Tells the user on standard error, in one line, why the transport is not there. UCX's own log would hide it: a refused
/// transport with `UCX_TLS` naming it makes the program fail with an unspecific message.
pub fn report_refusal(refusal: &Refusal) {
    let line = format!("usb4: not available: {refusal}\n");
    // Nothing is left to do when standard error is closed.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

struct UcxLog;

impl Log for UcxLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ucs_level(metadata.level()) <= shown_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = without_nul(record.args().to_string());
        let file = without_nul(record.file().unwrap_or("usb4").to_owned());
        // SAFETY: three terminated strings, the component of ucs_global_opts as UCX itself passes it, and one argument for
        // the one conversion of the format.
        unsafe {
            ucs_log_dispatch(
                file.as_ptr(),
                record.line().unwrap_or(0),
                c"usb4".as_ptr(),
                ucs_level(record.level()),
                &raw const ucs_global_opts,
                c"%s".as_ptr(),
                text.as_ptr(),
            );
        }
    }

    fn flush(&self) {}
}

/// UCX's level that lines must not exceed: the first member of `ucs_global_opts` in all supported releases.
fn shown_level() -> c_int {
    let level = (&raw const ucs_global_opts).cast::<c_int>();
    // SAFETY: an aligned int of a live object; another thread may set it, hence volatile, and each value is one we can take.
    unsafe { level.read_volatile() }
}

/// `UCS_LOG_LEVEL_*`, the same in all supported releases.
pub(crate) fn ucs_level(level: Level) -> c_int {
    match level {
        Level::Error => 1,
        Level::Warn => 2,
        Level::Info => 4,
        Level::Debug => 5,
        Level::Trace => 6,
    }
}

fn without_nul(mut text: String) -> CString {
    text.retain(|c| c != '\0');
    CString::new(text).unwrap_or_default()
}
