//! A recorded frame for people: what `usb4-wire` reads in it.

use std::fmt;

use serde::Serialize;
use usb4_port::trace::PREFIX_LEN;
use usb4_wire::control::{BodyError, Handshake, Refusal, Reset, Sack};
use usb4_wire::extension::{AtomicRequest, AtomicResponse, GetRequest, GetResponse, Put};
use usb4_wire::{HEADER_LEN, Header, HeaderError, Kind, RailId};

use super::capture::Captured;

/// Why a record means nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("only {0} bytes")]
    Short(usize),
    #[error("rail {0} does not exist")]
    Rail(u8),
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// A frame that was sent or received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    /// Since 1970.
    time_ns: u64,
    received: bool,
    rail: usize,
    kind: String,
    flags: String,
    from: String,
    to: String,
    /// Bytes, the kind's extension included.
    payload_bytes: usize,
    psn: u32,
    acknowledges: u32,
    window: u16,
    word: u16,
    /// The receiver's slot; the rest of the token is a secret.
    token_slot: u16,
    /// What the kind has beside; empty: nothing.
    body: String,
}

impl Record {
    pub(super) fn read(captured: &Captured) -> Result<Record, RecordError> {
        let bytes = &captured.bytes;
        let (Some(&[direction, rail, ..]), Some((_, frame))) =
            (bytes.first_chunk::<PREFIX_LEN>(), bytes.split_at_checked(PREFIX_LEN))
        else {
            return Err(RecordError::Short(bytes.len()));
        };
        let (header, payload) = frame.split_first_chunk::<HEADER_LEN>().ok_or(RecordError::Short(bytes.len()))?;
        let rail_id = RailId::new(rail).ok_or(RecordError::Rail(rail))?;
        let header = Header::parse(header)?;
        Ok(Record {
            time_ns: captured.time.as_nanos() as u64,
            received: direction != 0,
            rail: rail_id.index(),
            kind: format!("{:?}", header.form.kind()),
            flags: header.form.flags().iter_names().map(|(name, _)| name).collect::<Vec<_>>().join("|"),
            from: header.src.to_string(),
            to: header.dst.to_string(),
            payload_bytes: header.form.payload_len(),
            psn: header.psn.0,
            acknowledges: header.ack.0,
            window: header.window,
            word: header.word,
            token_slot: header.token.slot(),
            body: body(&header, payload),
        })
    }
}

fn body(header: &Header, payload: &[u8]) -> String {
    fn shown<T: fmt::Debug>(body: Result<T, BodyError>) -> String {
        body.map_or_else(|error| error.to_string(), |body| format!("{body:?}"))
    }
    match header.form.kind() {
        Kind::Connect | Kind::Accept => shown(Handshake::parse(payload)),
        Kind::Reset => shown(Reset::parse(payload)),
        Kind::Refuse => shown(Refusal::parse(payload)),
        Kind::Ack => match Sack::parse(payload, header.psn) {
            Ok(sack) if sack.is_empty() => String::new(),
            Ok(sack) => {
                let frames = sack.offsets().map(|offset| format!("{:#x}", header.ack.add(offset as u32).0));
                format!("also has {}", frames.collect::<Vec<_>>().join(" "))
            }
            Err(error) => error.to_string(),
        },
        Kind::Put => shown(Put::parse(payload)),
        Kind::GetRequest => shown(GetRequest::parse(payload)),
        Kind::GetResponse => shown(GetResponse::parse(payload)),
        Kind::AtomicRequest => shown(AtomicRequest::parse(payload)),
        Kind::AtomicResponse => shown(AtomicResponse::parse(payload)),
        Kind::Am | Kind::Probe | Kind::Close | Kind::CloseAck | Kind::RefuseAck => String::new(),
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { rail, kind, flags, from, to, payload_bytes, psn, acknowledges, window, word, body, .. } = self;
        let way = if self.received { "received" } else { "sent    " };
        write!(f, "{way} rail {rail:2}  {from} -> {to}  {kind}")?;
        if !flags.is_empty() {
            write!(f, " {flags}")?;
        }
        write!(f, "  {payload_bytes} bytes, psn {psn:#x}, ack {acknowledges:#x}, window {window}, word {word}")?;
        if body.is_empty() { Ok(()) } else { write!(f, ", {body}") }
    }
}
