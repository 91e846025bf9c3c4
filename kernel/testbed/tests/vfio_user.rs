//! The whole process but the guest: a vfio-user client stands in for QEMU and a few register writes for the driver.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde_json::Value;
use usb4_testbed::command::{self, Command};
use usb4_testbed::control::{Address, Packet, PacketType};
use usb4_testbed::server::{ServeError, control_path, host_path, serve};
use usb4_testbed::topology::Topology;
use vfio_user::Client;

const BAR: u32 = 0;
const CONFIG: u32 = 7;
const MSIX: u32 = 2;
/// `VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER`.
const TRIGGER_BY_EVENTFD: u32 = 1 << 2 | 1 << 5;
const MEMORY_BYTES: u64 = 0x10000;
const BASE: u64 = 0x4000_0000;
const TX_RING: u64 = 0x0;
const RX_RING: u64 = 0x100;
const TX_BUFFER: u64 = 0x1000;
const RX_BUFFERS: u64 = 0x4000;

/// A testbed that serves in a folder of its own until it is told to quit.
struct Running {
    folder: tempfile::TempDir,
    thread: JoinHandle<Result<(), ServeError>>,
}

fn start(topology: &str) -> Running {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, topology) = (folder.path().to_owned(), topology.parse::<Topology>().expect("known"));
    let (ready, is_ready) = mpsc::channel();
    let thread = thread::spawn(move || serve(&topology, &path, || ready.send(()).expect("the test waits")));
    is_ready.recv().expect("it starts");
    Running { folder, thread }
}

impl Running {
    fn control(&self, command: &Command) -> Value {
        command::send(&control_path(self.folder.path()), command).expect("it answers")
    }

    fn quit(self) {
        self.control(&Command::Quit);
        self.thread.join().expect("no panic").expect("no error");
        assert_eq!(std::fs::read_dir(self.folder.path()).expect("readable").count(), 0, "no socket is left behind");
    }
}

/// A guest with memory, one vector, and its control ring running.
struct Guest {
    client: Client,
    memory: File,
    interrupt: OwnedFd,
}

impl Guest {
    fn start(folder: &Path, host: usize) -> Guest {
        let mut client = Client::new(&host_path(folder, host)).expect("it listens");
        let memory = tempfile::tempfile().expect("a temporary file");
        memory.set_len(MEMORY_BYTES).expect("room");
        client.dma_map(0, BASE, MEMORY_BYTES, memory.as_raw_fd()).expect("mapped");
        let interrupt = eventfd(0, EventfdFlags::empty()).expect("an eventfd");
        client.set_irqs(MSIX, TRIGGER_BY_EVENTFD, 0, 1, &[interrupt.as_raw_fd()]).expect("taken");
        let mut guest = Guest { client, memory, interrupt };
        for index in 0..8 {
            guest.put(RX_RING + 16 * index, &(BASE + RX_BUFFERS + 0x100 * index).to_le_bytes());
        }
        for (block, options, ring) in [(0, 0x19800, TX_RING), (0x8000, 0x29800, RX_RING)] {
            guest.write(block, (BASE + ring) as u32);
            guest.write(block + 12, 0x100 << 16 | 8);
            guest.write(options, 1 << 31 | 1 << 30);
        }
        guest.write(0x8008, 7);
        guest.write(0x38200, 1 << 12);
        guest
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, offset).expect("inside");
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.client.region_write(BAR, offset, &value.to_le_bytes()).expect("taken");
    }

    fn send(&mut self, packet: &Packet) {
        let bytes = packet.to_bytes();
        self.put(TX_BUFFER, &bytes);
        self.put(TX_RING, &(BASE + TX_BUFFER).to_le_bytes());
        let word = bytes.len() as u32 | u32::from(packet.kind.eof()) << 12;
        self.put(TX_RING + 8, &word.to_le_bytes());
        self.write(8, 1 << 16);
    }

    /// Waits for the interrupt, then takes the packet that the descriptor at `index` got.
    fn receive(&mut self, index: u64) -> Packet {
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(self.interrupt.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&patience)).expect("possible"), 1, "no interrupt");
        let mut word = [0; 4];
        self.memory.read_exact_at(&mut word, RX_RING + 16 * index + 8).expect("inside");
        let word = u32::from_le_bytes(word);
        assert_eq!(word >> 20 & 0x2, 0x2, "the descriptor is done");
        let mut bytes = vec![0; (word & 0xfff) as usize];
        self.memory.read_exact_at(&mut bytes, RX_BUFFERS + 0x100 * index).expect("inside");
        Packet::parse((word >> 12 & 0xf) as u8, &bytes).expect("a good packet")
    }
}

#[test]
fn a_driver_reads_its_router_over_dma_and_msix() {
    let running = start("pair");
    let mut guest = Guest::start(running.folder.path(), 0);
    let mut class = [0; 4];
    guest.client.region_read(CONFIG, 8, &mut class).expect("there");
    assert_eq!(u32::from_le_bytes(class) >> 8, 0x0c_0340);
    assert_eq!(guest.client.get_irq_info(MSIX).expect("there").count, 16);
    let address = Address { offset_words: 7, len_words: 2, adapter: 0, space: 2 };
    let request = Packet::request(PacketType::Read, 0, address, &[]);
    guest.send(&request);
    assert_eq!(guest.receive(0), request.reply(3, &[0x5151, 0xa200_0000]));
    running.quit();
}

#[test]
fn guests_that_come_and_go_are_plug_events_for_their_peer() {
    let running = start("pair");
    let mut guest = Guest::start(running.folder.path(), 0);
    let peer = Guest::start(running.folder.path(), 1);
    assert_eq!(guest.receive(0), Packet::plug_event(1, false));
    assert!(peer.client.shutdown().is_ok());
    drop(peer);
    // The unplug comes when the server sees that the connection is closed.
    while running.control(&Command::Status)["hosts"][1]["attached"] != false {
        thread::yield_now();
    }
    assert_eq!(guest.receive(1), Packet::plug_event(1, true));
    running.quit();
}

#[test]
fn a_second_testbed_does_not_take_the_sockets_of_a_running_one() {
    let running = start("pair");
    let topology: Topology = "pair".parse().expect("known");
    let refused = serve(&topology, running.folder.path(), || panic!("it must not start"));
    assert!(matches!(refused, Err(ServeError::InUse(_))), "{refused:?}");
    running.quit();
    let gone = tempfile::tempdir().expect("a temporary folder");
    let error = command::send(&control_path(gone.path()), &Command::Status).expect_err("nobody is there");
    assert!(error.to_string().contains("usb4-testbed serve"), "{error}");
}
