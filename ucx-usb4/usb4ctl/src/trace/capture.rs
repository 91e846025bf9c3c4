//! A capture file that may still grow.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use pcap_file::pcap::PcapParser;
use pcap_file::{DataLink, PcapError};

const MAKES_ONE: &str = "UCX_USB4_TRACE=PREFIX makes one for each process of a job";

/// A record as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Captured {
    /// Since 1970.
    pub(super) time: Duration,
    /// Bytes before it was cut.
    pub(super) full_len: u32,
    pub(super) bytes: Vec<u8>,
}

/// A file and what of it was not understood yet.
pub(super) struct Capture {
    path: PathBuf,
    file: File,
    rest: Vec<u8>,
    parser: Option<PcapParser>,
}

impl Capture {
    pub(super) fn open(path: &Path) -> anyhow::Result<Capture> {
        let file = File::open(path).with_context(|| format!("{} cannot be read; {MAKES_ONE}", path.display()))?;
        Ok(Capture { path: path.to_owned(), file, rest: Vec::new(), parser: None })
    }

    /// The records that have come since the last look.
    pub(super) fn more(&mut self) -> anyhow::Result<Vec<Captured>> {
        self.file.read_to_end(&mut self.rest).with_context(|| format!("{} cannot be read", self.path.display()))?;
        let mut records = Vec::new();
        match self.parse(&mut records) {
            // The rest comes with the next look, or the process died while it wrote.
            Ok(()) | Err(PcapError::IncompleteBuffer) => {}
            Err(error) => bail!("{} is no capture of frames ({error}); {MAKES_ONE}", self.path.display()),
        }
        match &self.parser {
            Some(parser) if parser.header().datalink != DataLink::USER0 => {
                bail!("{} is a capture of something else than usb4's frames; {MAKES_ONE}", self.path.display())
            }
            _ => Ok(records),
        }
    }

    fn parse(&mut self, records: &mut Vec<Captured>) -> Result<(), PcapError> {
        let mut done = 0;
        let result = self.parse_from(&mut done, records);
        self.rest.drain(..done);
        result
    }

    fn parse_from(&mut self, done: &mut usize, records: &mut Vec<Captured>) -> Result<(), PcapError> {
        if self.parser.is_none() {
            let (rest, parser) = PcapParser::new(&self.rest)?;
            *done = self.rest.len() - rest.len();
            self.parser = Some(parser);
        }
        let Some(parser) = &self.parser else { return Ok(()) };
        while *done < self.rest.len() {
            let (rest, packet) = parser.next_packet(&self.rest[*done..])?;
            records.push(Captured {
                time: packet.timestamp,
                full_len: packet.orig_len,
                bytes: packet.data.into_owned(),
            });
            *done = self.rest.len() - rest.len();
        }
        Ok(())
    }
}
