//! What one header costs. Figures are of this machine at this moment: compare within a run only.

use std::hint::black_box;

use criterion::Criterion;
use usb4_wire::{Address, Flags, Form, HOP_LIMIT, Header, Kind, Psn, Token};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let header = Header {
        form: Form::new(Kind::Am, Flags::FIRST | Flags::LAST, 8).expect("valid"),
        hop_limit: HOP_LIMIT,
        dst: Address::new(1, 2),
        src: Address::new(3, 4),
        window: 512,
        word: 6,
        token: Token(0x1234_5678_9abc_def0),
        psn: Psn(8),
        ack: Psn(9),
    };
    let bytes = header.emit();
    criterion.bench_function("header emit", |b| b.iter(|| black_box(&header).emit()));
    criterion.bench_function("header parse", |b| b.iter(|| Header::parse(black_box(&bytes))));
    criterion.final_summary();
}
