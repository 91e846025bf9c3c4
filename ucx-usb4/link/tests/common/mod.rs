//! What the tests of the simulated cable share.

#![allow(dead_code, missing_docs)]

use std::path::PathBuf;

use usb4_link::{Address, Carrier, Channel, HEADER_LEN, LinkSpec, NodeId, OpenOptions, RailId, Reaped, SubmitError};

/// A fabric of its own, in a folder that disappears with it.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    toml: PathBuf,
}

impl Lab {
    pub(crate) fn new(toml: &str) -> Lab {
        let folder = tempfile::Builder::new().prefix("usb4-link-test-").tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("lab.toml");
        std::fs::write(&path, toml).unwrap();
        Lab { folder, toml: path }
    }

    pub(crate) fn ideal() -> Lab {
        Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\n")
    }

    pub(crate) fn options(&self, node: u32) -> OpenOptions {
        OpenOptions {
            node: Some(NodeId(node)),
            transmit_frames: 64,
            shm: Some(self.folder.path().to_owned()),
            ..OpenOptions::new(LinkSpec::SimFile(self.toml.clone()))
        }
    }

    pub(crate) fn open(&self, node: u32) -> Channel {
        self.options(node).open().unwrap()
    }

    /// What is left of fabrics in the folder.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lab.toml").collect()
    }
}

pub(crate) const RAIL: RailId = RailId::new(0).unwrap();

pub(crate) fn header(value: u8) -> [u8; HEADER_LEN] {
    std::array::from_fn(|index| value.wrapping_add(index as u8))
}

/// Sends bytes in a frame of the pool; the frame is the caller's to free.
pub(crate) fn send(
    channel: &mut Channel,
    rail: RailId,
    dst: Address,
    value: u8,
    payload: &[u8],
) -> Result<usb4_link::TxFrame, SubmitError> {
    let frame = channel.alloc().unwrap();
    // SAFETY: a frame has room for PAYLOAD_MAX bytes, and nobody reads it before it is submitted.
    unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), channel.payload_mut(frame), payload.len()) };
    let now = channel.now_ns();
    channel.submit(now, rail, dst, &header(value), frame, payload.len()).map(|()| frame)
}

/// Takes the next frame, waiting as long as it takes.
pub(crate) fn receive(channel: &mut Channel) -> Reaped {
    loop {
        let now = channel.now_ns();
        if let Some(reaped) = channel.reap(now) {
            return reaped;
        }
        std::thread::yield_now();
    }
}

/// Takes what has arrived until nothing comes for a few hundred rounds.
pub(crate) fn drain(channel: &mut Channel) -> Vec<Reaped> {
    let mut all = Vec::new();
    let mut idle = 0;
    while idle < 300 {
        let now = channel.now_ns();
        match channel.reap(now) {
            Some(reaped) => {
                all.push(reaped);
                idle = 0;
            }
            None => idle += 1,
        }
    }
    all
}

pub(crate) fn payload(channel: &Channel, reaped: &Reaped) -> Vec<u8> {
    let mut bytes = vec![0; reaped.frame.payload_len()];
    // SAFETY: the payload is that long and stays until it is released; the sender is this test.
    unsafe { std::ptr::copy_nonoverlapping(channel.payload(reaped.frame), bytes.as_mut_ptr(), bytes.len()) };
    bytes
}
