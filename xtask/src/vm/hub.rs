//! The management network: a hub for Ethernet frames over Unix datagram sockets, which needs no privileges.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

/// Largest datagram that QEMU sends.
const MAX_FRAME_BYTES: usize = 70_000;
/// How often the hub looks whether it is to end.
const POLL: Duration = Duration::from_millis(200);

/// A running hub. Dropping it ends it.
pub(crate) struct Hub {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// Joins the sockets `net0`, `net1`, ... of `guests` guests in `folder`; its own socket there is `hub`.
    pub(crate) fn start(folder: &Path, guests: usize) -> Result<Hub> {
        let socket =
            UnixDatagram::bind(folder.join("hub")).context("the management network's socket cannot be made")?;
        socket.set_read_timeout(Some(POLL))?;
        socket.set_nonblocking(false)?;
        let ending = Arc::new(AtomicBool::new(false));
        let ports: Vec<PathBuf> = (0..guests).map(|number| folder.join(format!("net{number}"))).collect();
        let stop = Arc::clone(&ending);
        let thread = thread::spawn(move || forward(&socket, &ports, &stop));
        Ok(Hub { ending, thread: Some(thread) })
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A hub that panicked is gone, which is what was wanted.
            let _ = thread.join();
        }
    }
}

fn forward(socket: &UnixDatagram, ports: &[PathBuf], ending: &AtomicBool) {
    let mut frame = vec![0; MAX_FRAME_BYTES];
    while !ending.load(Ordering::Relaxed) {
        let (len_bytes, sender) = match socket.recv_from(&mut frame) {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(_) => return,
        };
        for port in ports {
            if sender.as_pathname() != Some(port) {
                // A guest that is not there yet or no more gets nothing, as on any network.
                let _ = socket.send_to(&frame[..len_bytes], port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_to_all_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _hub = Hub::start(folder.path(), 3).expect("it starts");
        let ports =
            [0, 1, 2].map(|number| UnixDatagram::bind(folder.path().join(format!("net{number}"))).expect("free"));
        ports[0].send_to(b"frame", folder.path().join("hub")).expect("it listens");
        let mut bytes = [0; 16];
        for port in &ports[1..] {
            assert_eq!(port.recv(&mut bytes).expect("it arrives"), 5);
        }
        ports[0].set_nonblocking(true).expect("possible");
        assert!(ports[0].recv(&mut bytes).is_err(), "not back to the sender");
    }
}
