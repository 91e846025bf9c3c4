//! What a frame is for.

use crate::extension;

bitflags::bitflags! {
    /// Bits that refine a kind. Which ones a kind may carry: [`Kind::flags`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u8 {
        /// Am: the first frame of a message.
        const FIRST = 0x01;
        /// Am: the last frame of a message.
        const LAST = 0x02;
        /// Put: place it only after every frame with a lower PSN.
        const FENCE = 0x04;
        /// Sequenced: acknowledge at once when this frame and all before it have arrived.
        const ACK_REQUEST = 0x08;
        /// AtomicRequest: send the old value back.
        const FETCH = 0x10;
        /// Close: the whole channel is going, whoever still uses it.
        const GOING_AWAY = 0x20;
        /// CloseAck: nothing is left on this side either; the connection is over.
        const AGREED = 0x40;
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Asks for a connection ([`control::Handshake`](crate::control::Handshake)); the PSN is the first that the sender will use.
    Connect = 1,
    /// Grants one ([`control::Handshake`](crate::control::Handshake)).
    Accept = 2,
    /// Refuses a connection or a frame ([`control::Reset`](crate::control::Reset)).
    Reset = 3,
    /// Acknowledges; `word` repeats a probe's number; the payload is a [`control::Sack`](crate::control::Sack).
    Ack = 4,
    /// Wants an [`Kind::Ack`] now, and another one as soon as everything before its PSN has arrived; `word` is its number.
    Probe = 5,
    /// Says that the sender has nothing left to send and no endpoint; `word` is its number.
    Close = 6,
    /// Answers a [`Kind::Close`], `word` repeats its number.
    CloseAck = 7,
    /// The sender refuses an operation of the receiver ([`control::Refusal`](crate::control::Refusal)); `word` is the refusal's number.
    Refuse = 8,
    /// Answers a [`Kind::Refuse`], `word` repeats its number.
    RefuseAck = 9,
    /// A frame of an active message; `word` is the message's id. In order.
    Am = 16,
    /// A segment of a put ([`extension::Put`]). In any order unless fenced.
    Put = 17,
    /// Asks for remote bytes ([`extension::GetRequest`]). In order.
    GetRequest = 18,
    /// A segment of what was asked for ([`extension::GetResponse`]). In any order.
    GetResponse = 19,
    /// Asks for an atomic operation ([`extension::AtomicRequest`]). In order, so that it is applied exactly once.
    AtomicRequest = 20,
    /// The old value ([`extension::AtomicResponse`]). In any order.
    AtomicResponse = 21,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 15] = [
        Kind::Connect,
        Kind::Accept,
        Kind::Reset,
        Kind::Ack,
        Kind::Probe,
        Kind::Close,
        Kind::CloseAck,
        Kind::Refuse,
        Kind::RefuseAck,
        Kind::Am,
        Kind::Put,
        Kind::GetRequest,
        Kind::GetResponse,
        Kind::AtomicRequest,
        Kind::AtomicResponse,
    ];

    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Connect,
            2 => Kind::Accept,
            3 => Kind::Reset,
            4 => Kind::Ack,
            5 => Kind::Probe,
            6 => Kind::Close,
            7 => Kind::CloseAck,
            8 => Kind::Refuse,
            9 => Kind::RefuseAck,
            16 => Kind::Am,
            17 => Kind::Put,
            18 => Kind::GetRequest,
            19 => Kind::GetResponse,
            20 => Kind::AtomicRequest,
            21 => Kind::AtomicResponse,
            _ => return None,
        })
    }

    /// Whether frames of this kind have no PSN, are never retransmitted as such, and carry at most [`crate::CONTROL_MAX`] bytes.
    pub const fn is_control(self) -> bool {
        (self as u8) < Kind::Am as u8
    }

    /// Whether frames of this kind are numbered and arrive once.
    pub const fn is_sequenced(self) -> bool {
        !self.is_control()
    }

    /// Bytes of typed extension at the start of the payload.
    pub const fn extension_len(self) -> usize {
        match self {
            Kind::Put => extension::Put::LEN,
            Kind::GetRequest => extension::GetRequest::LEN,
            Kind::GetResponse => extension::GetResponse::LEN,
            Kind::AtomicRequest => extension::AtomicRequest::LEN,
            Kind::AtomicResponse => extension::AtomicResponse::LEN,
            _ => 0,
        }
    }

    /// Flags that frames of this kind may carry.
    pub const fn flags(self) -> Flags {
        match self {
            Kind::Connect | Kind::Accept | Kind::Reset | Kind::Ack | Kind::Probe | Kind::Refuse | Kind::RefuseAck => {
                Flags::empty()
            }
            Kind::Close => Flags::GOING_AWAY,
            Kind::CloseAck => Flags::AGREED,
            Kind::Am => Flags::FIRST.union(Flags::LAST).union(Flags::ACK_REQUEST),
            Kind::Put => Flags::FENCE.union(Flags::ACK_REQUEST),
            Kind::AtomicRequest => Flags::FETCH.union(Flags::ACK_REQUEST),
            Kind::GetRequest | Kind::GetResponse | Kind::AtomicResponse => Flags::ACK_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_are_one_to_one() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind as u8), Some(kind));
            assert!(kind.extension_len() <= crate::CONTROL_MAX);
            assert!(kind.is_sequenced() || kind.extension_len() == 0);
        }
        assert_eq!((0..=u8::MAX).filter_map(Kind::from_number).count(), Kind::ALL.len());
    }
}
