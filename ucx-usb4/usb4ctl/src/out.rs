//! Standard output, whose reader may have seen enough.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::exit;

/// What a shell reports of a program that SIGPIPE ended.
const READER_GONE: i32 = 128 + 13;

/// Prints a text as it is. When nobody reads any more (`usb4ctl ... | head`), the program ends, silently, as others do.
pub(crate) fn text(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => exit(READER_GONE),
        kind => io::Error::new(kind, format!("standard output cannot be written: {error}; send it somewhere else")),
    })
}

/// Prints a text and ends the line.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    self::text(format_args!("{text}\n"))
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string_pretty(value)?)?)
}
