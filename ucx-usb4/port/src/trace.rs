//! Frames on their way, recorded into a capture file that `usb4ctl trace` and Wireshark read.
//!
//! A record is [`PREFIX_LEN`] bytes (direction, rail, two zeros), then the frame's header, then the first [`PAYLOAD_KEPT`] bytes of
//! its payload: all of what a control frame or an extension says, and little of the user's data. Times are Unix time in nanoseconds.
//!
//! A header holds its connection's token, the one secret that keeps other processes out; so only the owner may read the file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use usb4_engine::{Body, Transmit};
use usb4_link::{Carrier, OpenError, Reaped, TxFrame};
use usb4_wire::{Address, CONTROL_MAX, FRAME_MAX, HEADER_LEN};

use crate::Port;

/// What stands before a frame in a record: 0 for sent or 1 for received, the rail, and two zeros.
pub const PREFIX_LEN: usize = 4;
/// Bytes of payload that a record keeps.
pub const PAYLOAD_KEPT: usize = CONTROL_MAX;
/// The longest record.
pub const RECORD_MAX: usize = PREFIX_LEN + HEADER_LEN + PAYLOAD_KEPT;
/// A capture's size at which recording ends.
const FILE_MAX_BYTES: u64 = 256 << 20;
/// What a capture adds to each record.
const RECORD_OVERHEAD: u64 = 16;

/// Which way a recorded frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// It left the recorder.
    Sent = 0,
    /// It came to the recorder.
    Received = 1,
}

/// The capture's own header: the link type is the first of those that are left to users.
#[must_use]
pub fn capture_header() -> PcapHeader {
    PcapHeader {
        // Readers compare it with a frame's whole length, not with what a record keeps.
        snaplen: (PREFIX_LEN + FRAME_MAX) as u32,
        datalink: DataLink::USER0,
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    }
}

/// Records the frames of one port.
pub(super) struct Recorder {
    capture: PcapWriter<Shared>,
    file: Shared,
    path: PathBuf,
    left_bytes: u64,
    /// Unix time when the port's clock showed zero, in nanoseconds.
    unix_epoch_ns: u64,
}

/// The capture writes to it, and the recorder sees to it that it reaches the file.
#[derive(Clone)]
struct Shared(Arc<Mutex<BufWriter<File>>>);

impl Shared {
    fn file(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl Recorder {
    /// Makes a port's own file: `prefix`, process and channel, `.pcap`.
    pub(super) fn open(prefix: &Path, address: Address, now_ns: u64) -> Result<Self, OpenError> {
        let mut path = prefix.as_os_str().to_owned();
        path.push(format!(".{}-{address}.pcap", std::process::id()));
        let path = PathBuf::from(path);
        let failed = |source| OpenError::System { action: "record frames into", path: path.clone(), source };
        // It must be new: whoever made it before could read it.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let file = Shared(Arc::new(Mutex::new(BufWriter::new(file))));
        let capture = PcapWriter::with_header(file.clone(), capture_header()).map_err(|error| failed(as_io(error)))?;
        let unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let unix_epoch_ns = unix_ns.saturating_sub(now_ns);
        Ok(Self { capture, file, path, left_bytes: FILE_MAX_BYTES, unix_epoch_ns })
    }

    /// Appends a record; false: nothing more will be recorded.
    fn append(&mut self, now_ns: u64, record: &[u8], full_len: usize) -> bool {
        let time = Duration::from_nanos(self.unix_epoch_ns + now_ns);
        let written = self.capture.write_packet(&PcapPacket::new(time, full_len as u32, record));
        self.left_bytes = self.left_bytes.saturating_sub(record.len() as u64 + RECORD_OVERHEAD);
        match written {
            Ok(_) if self.left_bytes > 0 => return true,
            Ok(_) => log::warn!(
                "usb4: {} has reached {FILE_MAX_BYTES} bytes: no more frames are recorded",
                self.path.display()
            ),
            Err(error) => {
                log::warn!("usb4: {} cannot be written, no more frames are recorded: {error}", self.path.display())
            }
        }
        false
    }

    /// Lets readers see what was recorded.
    pub(super) fn flush(&mut self) {
        if let Err(error) = self.file.flush() {
            log::warn!("usb4: {} cannot be written: {error}", self.path.display());
        }
    }
}

fn as_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// A record in the making.
fn begin(direction: Direction, rail: usize, header: &[u8; HEADER_LEN]) -> ([u8; RECORD_MAX], usize) {
    let mut record = [0; RECORD_MAX];
    record[0] = direction as u8;
    record[1] = rail as u8;
    record[PREFIX_LEN..PREFIX_LEN + HEADER_LEN].copy_from_slice(header);
    (record, PREFIX_LEN + HEADER_LEN)
}

impl Port {
    /// Records a frame that the channel has taken.
    #[cold]
    pub(super) fn record_sent(&mut self, transmit: &Transmit<TxFrame>) {
        let (mut record, start) = begin(Direction::Sent, transmit.rail.index(), &transmit.header);
        let payload = &mut record[start..];
        let (kept, payload_len) = match &transmit.body {
            Body::Control { payload: bytes, len } => {
                payload[..*len].copy_from_slice(&bytes[..*len]);
                (*len, *len)
            }
            Body::Frame { frame, payload_len } => {
                let kept = (*payload_len).min(PAYLOAD_KEPT);
                let source = self.channel.payload_mut(*frame);
                // SAFETY: the frame's payload has that many readable bytes; it is this port's own and nobody writes it in flight.
                unsafe { std::ptr::copy_nonoverlapping(source, payload.as_mut_ptr(), kept) };
                (kept, *payload_len)
            }
        };
        self.record(&record[..start + kept], start + payload_len);
    }

    /// Records a frame that has come, whatever it holds.
    #[cold]
    pub(super) fn record_received(&mut self, reaped: &Reaped) {
        let (mut record, start) = begin(Direction::Received, reaped.rail.index(), &reaped.header);
        let mut payload = [0; PAYLOAD_KEPT];
        let kept = self.channel.copy_control(reaped.frame, PAYLOAD_KEPT, &mut payload);
        record[start..start + kept].copy_from_slice(&payload[..kept]);
        self.record(&record[..start + kept], start + reaped.frame.payload_len());
    }

    fn record(&mut self, record: &[u8], full_len: usize) {
        // Where no rail is timed, the port's clock rests while frames come.
        let now_ns = self.channel.now_ns();
        if let Some(recorder) = &mut self.recorder
            && !recorder.append(now_ns, record, full_len)
        {
            self.recorder = None;
        }
    }
}
