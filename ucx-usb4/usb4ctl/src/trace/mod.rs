//! `usb4ctl trace`: frames that `UCX_USB4_TRACE` recorded, readable, or as one capture for Wireshark.

mod capture;
mod process;
mod record;

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use usb4_port::trace::capture_header;

use crate::cli::TraceArgs;
use crate::out;
use capture::{Capture, Captured};
use record::Record;

/// Between two looks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// Prints or converts.
pub(crate) fn run(arguments: &TraceArgs) -> anyhow::Result<ExitCode> {
    let mut files = arguments.files.clone();
    for &pid in &arguments.pid {
        files.extend(process::recordings(pid)?);
    }
    let mut captures: Vec<Capture> = files.iter().map(|path| Capture::open(path)).collect::<Result<_, _>>()?;
    let mut start = None;
    loop {
        let batch = next(&mut captures)?;
        if let Some(path) = &arguments.pcap {
            write(&batch, path)
                .with_context(|| format!("{} cannot be written; name another file with --pcap", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        for captured in &batch {
            let start = *start.get_or_insert(captured.time);
            print(arguments.json, captured, captured.time.saturating_sub(start))?;
        }
        if !arguments.follow {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// What the captures have now that they had not before, in the order of time.
fn next(captures: &mut [Capture]) -> anyhow::Result<Vec<Captured>> {
    let mut all = Vec::new();
    for capture in captures {
        all.extend(capture.more()?);
    }
    all.sort_by_key(|captured| captured.time);
    Ok(all)
}

fn print(json: bool, captured: &Captured, since_start: Duration) -> anyhow::Result<()> {
    let record = Record::read(captured);
    if json {
        return Ok(out::line(serde_json::to_string(&record.as_ref().map_err(ToString::to_string))?)?);
    }
    let shown = record.map_or_else(|error| format!("not readable: {error}"), |record| record.to_string());
    Ok(out::line(format_args!("{:14.9}  {shown}", since_start.as_secs_f64()))?)
}

/// Like what it was made from, the file holds the secrets of connections: it is its owner's alone.
fn write(records: &[Captured], path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut writer = PcapWriter::with_header(BufWriter::new(file), capture_header())?;
    for captured in records {
        writer.write_packet(&PcapPacket::new(captured.time, captured.full_len, &captured.bytes))?;
    }
    // Dropped, it would keep to itself that the disk is full.
    writer.into_writer().flush()?;
    Ok(())
}
