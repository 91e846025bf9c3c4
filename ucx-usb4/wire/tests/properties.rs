//! What must hold for every header and every byte string.

use proptest::prelude::*;
use usb4_wire::control::{Handshake, Refusal, Reset, ResetReason, Sack};
use usb4_wire::extension::{
    AtomicOp, AtomicRequest, AtomicResponse, AtomicWidth, GetRequest, GetResponse, OpErrorReason, Put,
};
use usb4_wire::{Address, CONTROL_MAX, Flags, Form, HEADER_LEN, Header, HeaderError, Kind, PAYLOAD_MAX, Psn, Token};

fn form() -> impl Strategy<Value = Form> {
    (prop::sample::select(&Kind::ALL[..]), any::<u8>(), any::<u16>()).prop_map(|(kind, flags, len)| {
        let max = if kind.is_control() { CONTROL_MAX } else { PAYLOAD_MAX };
        let span = max - kind.extension_len() + 1;
        let len = kind.extension_len() + usize::from(len) % span;
        Form::new(kind, Flags::from_bits_retain(flags) & kind.flags(), len).expect("made to be valid")
    })
}

prop_compose! {
    fn header()(
        form in form(), hop_limit: u8, dst: (u32, u16), src: (u32, u16), window: u16, word: u16,
        token: u64, psn: u32, ack: u32,
    ) -> Header {
        Header {
            form, hop_limit, window, word,
            dst: Address::new(dst.0, dst.1), src: Address::new(src.0, src.1),
            token: Token(token), psn: Psn(psn), ack: Psn(ack),
        }
    }
}

/// Flips each bit of `bytes` in turn.
fn each_flip<const N: usize>(bytes: [u8; N]) -> impl Iterator<Item = (usize, [u8; N])> {
    (0..N * 8).map(move |bit| {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit, flipped)
    })
}

/// Asserts that a body survives emit and parse, and that no flip of one bit does.
macro_rules! check_body {
    ($value:expr, $type:ty) => {{
        let value: $type = $value;
        let bytes = value.emit();
        prop_assert_eq!(<$type>::parse(&bytes), Ok(value));
        for (bit, flipped) in each_flip(bytes) {
            prop_assert!(<$type>::parse(&flipped).is_err(), "flip of bit {} passed", bit);
        }
        for len in 0..bytes.len() {
            prop_assert!(<$type>::parse(&bytes[..len]).is_err());
        }
    }};
}

proptest! {
    #[test]
    fn a_header_survives_the_wire(header in header()) {
        prop_assert_eq!(Header::parse(&header.emit()), Ok(header));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: [u8; HEADER_LEN]) {
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert_eq!(header.emit(), bytes);
        }
    }

    #[test]
    fn every_single_bit_flip_is_refused_except_in_the_hop_limit(header in header()) {
        for (bit, flipped) in each_flip(header.emit()) {
            let parsed = Header::parse(&flipped);
            if (24..32).contains(&bit) {
                prop_assert_eq!(parsed, Ok(Header { hop_limit: flipped[3], ..header }));
            } else {
                prop_assert!(matches!(parsed, Err(HeaderError::Check { .. })), "flip of bit {} passed", bit);
            }
        }
    }

    #[test]
    fn form_refuses_exactly_what_no_frame_may_be(kind in prop::sample::select(&Kind::ALL[..]), flags: u8, len in 0usize..70_000) {
        let flags = Flags::from_bits_retain(flags);
        let fits = len <= if kind.is_control() { CONTROL_MAX } else { PAYLOAD_MAX } && len >= kind.extension_len();
        prop_assert_eq!(Form::new(kind, flags, len).is_ok(), fits && kind.flags().contains(flags));
    }

    #[test]
    fn control_bodies_survive_the_wire_and_refuse_flips(a: u64, b: u64, c: u64, serial: u32, reason in 0usize..4) {
        use ResetReason::{GoingAway, NoRoom, UnknownToken, WrongIncarnation};
        check_body!(Handshake { incarnation: a, peer_incarnation: b, token: Token(c), serial }, Handshake);
        let reason = [UnknownToken, WrongIncarnation, NoRoom, GoingAway][reason];
        check_body!(Reset { refused: Token(a), incarnation: b, reason }, Reset);
    }

    #[test]
    fn extensions_survive_the_wire_and_refuse_flips(
        key: u64, remote_addr: u64, operand: u64, compare: u64, op: u32,
        code in prop::sample::select(&AtomicOp::ALL[..]), wide: bool,
    ) {
        check_body!(Put { key, remote_addr, op }, Put);
        check_body!(GetRequest { key, remote_addr, len: operand, op }, GetRequest);
        check_body!(GetResponse { offset: remote_addr, op }, GetResponse);
        let width = if wide { AtomicWidth::Bits64 } else { AtomicWidth::Bits32 };
        check_body!(AtomicRequest { key, remote_addr, operand, compare, op, code, width }, AtomicRequest);
        check_body!(AtomicResponse { old: operand, op }, AtomicResponse);
        check_body!(Refusal { op, reason: OpErrorReason::OutOfBounds }, Refusal);
    }

    #[test]
    fn no_bytes_make_a_body_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..CONTROL_MAX + 9), check: u32) {
        let _ = (Handshake::parse(&bytes), Reset::parse(&bytes), Sack::parse(&bytes, Psn(check)), Put::parse(&bytes));
        let _ = (GetRequest::parse(&bytes), GetResponse::parse(&bytes), AtomicRequest::parse(&bytes));
        let _ = (AtomicResponse::parse(&bytes), Refusal::parse(&bytes));
    }

    #[test]
    fn a_bitmap_survives_the_wire(offsets in prop::collection::btree_set(0usize..CONTROL_MAX * 8, 0..40)) {
        let mut sack = Sack::NONE;
        offsets.iter().for_each(|&offset| sack.insert(offset));
        prop_assert_eq!(sack.offsets().collect::<Vec<_>>(), offsets.iter().copied().collect::<Vec<_>>());
        let mut bytes = [0; CONTROL_MAX];
        let len = sack.emit(&mut bytes);
        prop_assert_eq!(len, offsets.last().map_or(0, |last| (last / 64 + 1) * 8));
        prop_assert_eq!(Sack::parse(&bytes[..len], sack.check()), Ok(sack));
        for bit in 0..len * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Sack::parse(&bytes[..len], sack.check()).is_err());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn errors_are_told_apart() {
    let form = Form::new(Kind::Am, Flags::FIRST | Flags::LAST, 8).expect("valid");
    let header = Header {
        form,
        hop_limit: 1,
        dst: Address::new(1, 2),
        src: Address::new(3, 4),
        window: 5,
        word: 6,
        token: Token(7),
        psn: Psn(8),
        ack: Psn(9),
    };
    assert_eq!(header.private_len(), 0);
    assert!(matches!(Header::parse(&[0; HEADER_LEN]), Err(HeaderError::Check { .. })));
    assert!(matches!(Header::parse(&[0xff; HEADER_LEN]), Err(HeaderError::Check { .. })));
    assert!(matches!(Form::new(Kind::Ack, Flags::LAST, 0), Err(HeaderError::Flags { .. })));
    assert!(matches!(Form::new(Kind::Put, Flags::empty(), 3), Err(HeaderError::PayloadLen { len: 3, .. })));
}
