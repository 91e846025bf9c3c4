//! Wireshark's dissector and `usb4ctl trace` read in a frame what `usb4-wire` wrote there.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use pcap_file::pcap::{PcapPacket, PcapWriter};
use usb4_engine::RegionTable;
use usb4_link::{LinkSpec, NodeId};
use usb4_port::trace::{Direction, PREFIX_LEN, capture_header};
use usb4_port::{Arrival, Options, Part, Port};
use usb4_wire::control::{Handshake, Refusal, Reset, ResetReason};
use usb4_wire::extension::{
    AtomicOp, AtomicRequest, AtomicResponse, AtomicWidth, GetRequest, GetResponse, OpErrorReason, Put,
};
use usb4_wire::{Address, Flags, Form, HEADER_LEN, Header, Kind, Psn, Token, VERSION};

/// Values of fields by their names in Wireshark.
type Fields = BTreeMap<String, u64>;

const TOKEN: Token = Token(0x1122_3344_5566_7788);

fn header(kind: Kind, payload_len: usize) -> Header {
    Header {
        form: Form::new(kind, kind.flags(), payload_len).unwrap(),
        hop_limit: 15,
        dst: Address::new(0xd0d1_d2d3, 0xa0a1),
        src: Address::new(0x5051_5253, 0xb0b1),
        window: 0xc0c1,
        word: 0xe0e1,
        token: TOKEN,
        psn: Psn(0x9091_9293),
        ack: Psn(0x8081_8283),
    }
}

/// The payload of a kind as `usb4-wire` writes it, and what its fields are.
fn body(kind: Kind) -> (Vec<u8>, Vec<(&'static str, u64)>) {
    let (a, b, c, d, op) =
        (0x0102_0304_0506_0708, 0x1112_1314_1516_1718, 0x2122_2324_2526_2728, 0x3132_3334, 0x4142_4344);
    match kind {
        Kind::Connect | Kind::Accept => (
            Handshake { incarnation: a, peer_incarnation: b, token: Token(c), serial: d }.emit().to_vec(),
            vec![
                ("handshake.incarnation", a),
                ("handshake.peer_incarnation", b),
                ("handshake.token", c),
                ("handshake.serial", d.into()),
            ],
        ),
        Kind::Reset => (
            Reset { refused: Token(a), incarnation: b, reason: ResetReason::NoRoom }.emit().to_vec(),
            vec![("reset.refused", a), ("reset.incarnation", b), ("reset.reason", ResetReason::NoRoom as u64)],
        ),
        Kind::Refuse => (
            Refusal { op, reason: OpErrorReason::Misaligned }.emit().to_vec(),
            vec![("refusal.op", op.into()), ("refusal.reason", OpErrorReason::Misaligned as u64)],
        ),
        Kind::Put => (
            Put { key: a, remote_addr: b, op }.emit().to_vec(),
            vec![("put.key", a), ("put.remote_addr", b), ("put.op", op.into())],
        ),
        Kind::GetRequest => (
            GetRequest { key: a, remote_addr: b, len: c, op }.emit().to_vec(),
            vec![("get.key", a), ("get.remote_addr", b), ("get.len", c), ("get.op", op.into())],
        ),
        Kind::GetResponse => (
            GetResponse { offset: a, op }.emit().to_vec(),
            vec![("get_response.offset", a), ("get_response.op", op.into())],
        ),
        Kind::AtomicRequest => {
            let (code, width) = (AtomicOp::Xor, AtomicWidth::Bits64);
            let request = AtomicRequest { key: a, remote_addr: b, operand: c, compare: a ^ b, op, code, width };
            let fields = vec![
                ("atomic.key", a),
                ("atomic.remote_addr", b),
                ("atomic.operand", c),
                ("atomic.compare", a ^ b),
                ("atomic.op", op.into()),
                ("atomic.code", code as u64),
                ("atomic.width", width.bytes()),
            ];
            (request.emit().to_vec(), fields)
        }
        Kind::AtomicResponse => (
            AtomicResponse { old: a, op }.emit().to_vec(),
            vec![("atomic_response.old", a), ("atomic_response.op", op.into())],
        ),
        Kind::Ack | Kind::Probe | Kind::Close | Kind::CloseAck | Kind::RefuseAck | Kind::Am => (Vec::new(), Vec::new()),
    }
}

/// What the dissector must show of a header.
fn expected(header: &Header, check: u64) -> Fields {
    let mut fields: Fields = [
        ("version", VERSION.into()),
        ("kind", header.form.kind() as u64),
        ("flags", header.form.flags().bits().into()),
        ("hop_limit", header.hop_limit.into()),
        ("payload_len", header.form.payload_len() as u64),
        ("check", check),
        ("dst_node", header.dst.node.0.into()),
        ("src_node", header.src.node.0.into()),
        ("dst_channel", header.dst.channel.0.into()),
        ("src_channel", header.src.channel.0.into()),
        ("window", header.window.into()),
        ("word", header.word.into()),
        ("token", header.token.0),
        ("psn", header.psn.0.into()),
        ("ack", header.ack.0.into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    fields.extend(
        Flags::all()
            .iter_names()
            .map(|(name, flag)| (format!("flags.{}", name.to_lowercase()), header.form.flags().contains(flag).into())),
    );
    fields
}

/// What tshark shows of each frame of a capture, of the fields that `wanted` names.
fn dissect(capture: &Path, wanted: &[String]) -> Vec<Fields> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/wireshark/usb4.lua");
    let mut tshark = Command::new("tshark");
    tshark.arg("-X").arg(format!("lua_script:{}", script.display())).arg("-r").arg(capture);
    tshark.args(["-T", "fields", "-E", "separator=,"]);
    for name in wanted {
        tshark.args(["-e", &format!("usb4.{name}")]);
    }
    let output = tshark.output().expect("tshark starts; `cargo xtask install` installs it");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !errors.contains("usb4.lua"), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| wanted.iter().cloned().zip(line.split(',')).filter_map(number).collect()).collect()
}

fn number((name, text): (String, &str)) -> Option<(String, u64)> {
    let value = match text {
        "" => return None,
        "True" => 1,
        "False" => 0,
        text => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => text.parse().unwrap(),
        },
    };
    Some((name, value))
}

#[test]
fn every_field_of_every_kind_is_where_wire_puts_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kinds.pcap");
    let mut capture = PcapWriter::with_header(File::create(&path).unwrap(), capture_header()).unwrap();
    let mut frames = Vec::new();
    for kind in Kind::ALL {
        let (payload, body_fields) = body(kind);
        let header = header(kind, payload.len());
        let bytes = header.emit();
        let record = [&[Direction::Received as u8, 7, 0, 0], &bytes[..], &payload].concat();
        capture.write_packet(&PcapPacket::new(Duration::ZERO, record.len() as u32, &record)).unwrap();
        // The check is the one field that a header does not name.
        let mut fields = expected(&header, u16::from_le_bytes([bytes[6], bytes[7]]).into());
        fields.extend(body_fields.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        fields.extend([("direction".to_owned(), Direction::Received as u64), ("rail".to_owned(), 7)]);
        frames.push(fields);
    }
    drop(capture);
    let mut names: Vec<String> = frames.iter().flat_map(|fields| fields.keys().cloned()).collect();
    names.sort();
    names.dedup();
    let shown = dissect(&path, &names);
    assert_eq!(shown.len(), frames.len());
    for (kind, (shown, expected)) in Kind::ALL.into_iter().zip(shown.iter().zip(&frames)) {
        assert_eq!(shown, expected, "{kind:?}");
    }
}

/// Two ports of this process that talk, and what they recorded.
fn record(folder: &Path, messages: usize) -> Vec<PathBuf> {
    let cable = folder.join("lab.toml");
    std::fs::write(&cable, format!("# {}\nnodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = 2\n", folder.display()))
        .unwrap();
    let open = |node| {
        let options = Options {
            node: Some(NodeId(node)),
            trace: Some(folder.join("job")),
            ..Options::new(LinkSpec::SimFile(cable.clone()))
        };
        Port::open(&options, Arc::new(RwLock::new(RegionTable::new([7; 32])))).unwrap()
    };
    let (mut a, mut b) = (open(0), open(1));
    let conn = a.connect(&b.address()).unwrap();
    let (mut sent, mut received) = (0, 0);
    while received < messages {
        if sent < messages
            && let Ok(frame) = a.reserve(conn, 1)
        {
            a.fill(frame).put_bytes(&[sent as u8; 100]);
            a.send_am(conn, frame, 9, Part::WHOLE, 100);
            sent += 1;
        }
        for port in [&mut a, &mut b] {
            port.begin();
            while let Some(Arrival::Message { frame, .. }) = port.poll_arrival() {
                port.release(frame);
                received += 1;
            }
            port.service();
        }
    }
    // While they are open, they are found by their process, and after a tenth of a second they hold what was said.
    let pid = std::process::id().to_string();
    while !usb4ctl(&["--pid", &pid], &[]).contains("Am FIRST|LAST") {
        a.service();
        b.service();
    }
    drop((a, b));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "pcap")).collect()
}

fn usb4ctl(arguments: &[&str], files: &[PathBuf]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_usb4ctl")).arg("trace").args(arguments).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_two_ports_said_is_recorded_and_read_alike_by_both() {
    const MESSAGES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let files = record(folder.path(), MESSAGES);
    assert_eq!(files.len(), 2, "{files:?}");
    files.iter().for_each(|file| assert_private(file));

    let lines: Vec<serde_json::Value> =
        usb4ctl(&["--json"], &files).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line.get("Ok").is_some()), "each frame can be read");
    let frames: Vec<&serde_json::Value> = lines.iter().map(|line| &line["Ok"]).collect();
    let count = |kind: &str, received| {
        frames.iter().filter(|frame| frame["kind"] == kind && frame["received"] == received).count()
    };
    assert_eq!((count("Am", false), count("Am", true)), (MESSAGES, MESSAGES));
    assert!(count("Connect", false) == 1 && count("Accept", true) == 1 && count("Ack", true) > 0);
    assert!(frames.windows(2).all(|pair| pair[0]["time_ns"].as_u64() <= pair[1]["time_ns"].as_u64()));

    let text = usb4ctl(&[], &files);
    assert_eq!(text.lines().count(), frames.len());
    assert!(text.contains("Am FIRST|LAST  100 bytes"), "{text}");

    let merged = folder.path().join("all.pcap");
    assert_eq!(usb4ctl(&["--pcap", merged.to_str().unwrap()], &files), "");
    assert_private(&merged);
    let names = ["direction", "rail", "kind", "psn", "ack", "window", "word", "payload_len"].map(str::to_owned);
    let shown = dissect(&merged, &names);
    assert_eq!(shown.len(), frames.len());
    for (shown, frame) in shown.iter().zip(&frames) {
        let theirs = |name: &str| frame[name].as_u64();
        assert_eq!(shown["direction"], u64::from(frame["received"].as_bool().unwrap()));
        assert_eq!(format!("{:?}", Kind::from_number(shown["kind"] as u8).unwrap()), frame["kind"].as_str().unwrap());
        for (name, value) in [
            ("rail", theirs("rail")),
            ("psn", theirs("psn")),
            ("ack", theirs("acknowledges")),
            ("window", theirs("window")),
            ("word", theirs("word")),
            ("payload_len", theirs("payload_bytes")),
        ] {
            assert_eq!(Some(shown[name]), value, "{name} of {frame}");
        }
    }
    const { assert!(PREFIX_LEN + HEADER_LEN == 44, "as the dissector has it") };
}

/// It holds the secrets of connections.
fn assert_private(file: &Path) {
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{}", file.display());
}

#[test]
fn what_is_no_capture_of_frames_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_usb4ctl")).arg("trace").arg(&path).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = run();
    assert!(code == Some(2) && message.contains("UCX_USB4_TRACE=PREFIX"), "{message}");
    std::fs::write(&path, [7; 100]).unwrap();
    let (code, message) = run();
    assert!(code == Some(2) && message.contains("no capture"), "{message}");
}
