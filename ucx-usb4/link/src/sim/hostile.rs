//! A peer that writes what it likes: into its own file, whose rings the victim reads, and into the victim's mailbox.
//!
//! The victim must not panic, must not read outside what it has mapped, and must hand out only frames that exist and
//! lengths that fit. The fuzz target runs scripts that it invents; the tests replay those that are kept, and random
//! ones. (A peer can also cut its file short under the victim's feet, which raises SIGBUS: whoever can do that is the
//! same user and could kill the victim as well.)

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::channel::SimChannel;
use super::layout::channel as at;
use super::registry::channel_file_name;
use crate::{Address, Carrier, HEADER_LEN, LinkSpec, NodeId, OpenOptions, PAYLOAD_MAX, RailId, RxFrame};

const POOL_FRAMES: usize = 4;
/// Bytes of a script's step: what to do, where, and a value.
const STEP_BYTES: usize = 12;

/// Runs a script of a hostile peer.
///
/// # Panics
/// If the victim hands out what it must not.
pub fn run(script: &[u8]) {
    let Ok(folder) = tempfile::Builder::new().prefix("usb4-link-hostile-").tempdir_in("/dev/shm") else { return };
    let lab = folder.path().join("lab.toml");
    if std::fs::write(&lab, "nodes = 2\n[[cables]]\nbetween = [0, 1]\nlatency_us = 1\n").is_err() {
        return;
    }
    let open = |node| {
        let options = OpenOptions {
            transmit_frames: POOL_FRAMES,
            node: Some(NodeId(node)),
            shm: Some(folder.path().to_owned()),
            ..OpenOptions::new(LinkSpec::SimFile(lab.clone()))
        };
        SimChannel::open(&options)
    };
    let (Ok(victim), Ok(attacker)) = (open(0), open(1)) else { return };
    let file = |channel: &SimChannel| {
        let path = channel.folder.join(channel_file_name(channel.address()));
        File::options().write(true).open(path)
    };
    let (Ok(victims), Ok(attackers)) = (file(&victim), file(&attacker)) else { return };
    let mut scene = Scene { victim, attacker, victims, attackers, held: VecDeque::new(), now_ns: 0 };
    scene.send(100);
    scene.receive();
    for step in script.chunks_exact(STEP_BYTES).take(4096) {
        let (Some(what), Some(value)) = (step.first_chunk::<4>(), step.last_chunk::<8>()) else { continue };
        let place = u32::from_le_bytes(*what);
        scene.step(place as u8, (place >> 8) as usize, u64::from_le_bytes(*value));
    }
}

struct Scene {
    victim: SimChannel,
    attacker: SimChannel,
    victims: File,
    attackers: File,
    held: VecDeque<RxFrame>,
    now_ns: u64,
}

impl Scene {
    fn step(&mut self, what: u8, place: usize, value: u64) {
        let ring = at::ring(POOL_FRAMES, 0);
        match what % 10 {
            0 => write(&self.attackers, ring + place * 8 % at::RING_BYTES, value),
            // A first word with the sequence that the victim waits for somewhere near the start.
            1 => write(&self.attackers, ring + place % 16 * 128, value & !0xffff_ffff | (place as u64 % 16 + 1)),
            2 => write(&self.attackers, at::ring_entry(0) + place * 8 % 256, value),
            3 => write(&self.attackers, place * 8 % 128, value),
            4 => write(&self.victims, at::MAILBOX + place * 8 % 8192, value),
            // An announcement that could be true, at a free slot.
            5 => {
                let node = u64::from(place as u8 & 1);
                let word = value & 0xffff_0000_0000_0000 | (place as u64 & 7) << 32 | 1 << 24 | node << 16 | value & 3;
                write(&self.victims, at::MAILBOX + at::slot_announcement(place % 2048), word);
                write(&self.victims, at::MAILBOX + at::ANNOUNCEMENTS, value);
            }
            6 => self.send(value as usize % (PAYLOAD_MAX + 1)),
            7 => self.receive(),
            8 => {
                let index = place.checked_rem(self.held.len()).unwrap_or(0);
                if let Some(frame) = self.held.remove(index) {
                    self.victim.release(frame);
                }
            }
            _ => {
                self.now_ns = self.now_ns.saturating_add(value % 1_000_000_000);
                while self.victim.poll_event(self.now_ns).is_some() {}
                self.victim.arm(Some(0));
                self.victim.disarm();
            }
        }
    }

    fn send(&mut self, len_bytes: usize) {
        let (to, now_ns) = (self.victim.address(), self.now_ns);
        let rail = RailId::new(0).unwrap_or(RailId::LOOPBACK);
        if let Some(frame) = self.attacker.alloc() {
            // Refused or taken: either is fine here.
            let _ = self.attacker.submit(now_ns, rail, to, &[7; HEADER_LEN], frame, len_bytes);
            self.attacker.free(frame);
        }
    }

    fn receive(&mut self) {
        for now_ns in [self.now_ns, u64::MAX] {
            let Some(reaped) = self.victim.reap(now_ns) else { continue };
            let len_bytes = reaped.frame.payload_len();
            assert!(len_bytes <= PAYLOAD_MAX, "{len_bytes} bytes");
            let payload = self.victim.payload(reaped.frame);
            for index in 0..len_bytes {
                // SAFETY: this is what is to be shown: so many bytes can be read there.
                let byte = unsafe { payload.add(index) };
                // SAFETY: as above; volatile, so that the read is not left out.
                let _ = unsafe { byte.read_volatile() };
            }
            assert!(self.victim.copy_control(reaped.frame, 64, &mut [0; 64]) <= len_bytes);
            self.held.push_back(reaped.frame);
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What the attacker claimed must not reach further than this run.
        let gone: Address = self.attacker.address();
        let _ = std::fs::remove_file(self.attacker.folder.join(channel_file_name(gone)));
    }
}

fn write(file: &File, offset: usize, value: u64) {
    let _ = file.write_all_at(&value.to_ne_bytes(), offset as u64);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kept_script_is_survived() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/hostile_peer");
        let scripts: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(scripts.len() >= 4, "the corpus is there");
        for path in scripts {
            println!("{}", path.display());
            run(&std::fs::read(path).unwrap());
        }
    }

    proptest! {
        // Each opens two channels, so a quarter of the usual number; PROPTEST_CASES multiplies it.
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

        #[test]
        fn random_scripts_are_survived(script in prop::collection::vec(step(), 0..60)) {
            run(&script.concat());
        }
    }

    /// Values near what is valid, so that the later checks are reached too.
    fn step() -> impl Strategy<Value = Vec<u8>> {
        let value = prop_oneof![
            any::<u64>(),
            0..5000u64,
            (0..5000u64, 0..16u64, 0..20u64).prop_map(|(len, flags, low)| len << 32 | flags << 48 | low)
        ];
        (any::<u8>(), prop_oneof![0..64u32, 0..1u32 << 24], value).prop_map(|(what, place, value)| {
            [&(u32::from(what) | place << 8).to_le_bytes()[..], &value.to_le_bytes()].concat()
        })
    }
}
