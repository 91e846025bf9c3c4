//! The process: a socket and a thread for each host, one for the control socket, one for time.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use log::{info, warn};
use thiserror::Error;
use vfio_user::Server;

use crate::command::{self, Command};
use crate::device::{Device, Vectors, interrupts, regions};
use crate::dma::Mappings;
use crate::fabric::Fabric;
use crate::topology::Topology;

/// Longest path of a Unix socket, which the kernel's `sockaddr_un` sets.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Why the testbed did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A socket's path is too long for the kernel.
    #[error("{0} is too long for a Unix socket ({MAX_SOCKET_PATH_BYTES} bytes are possible): choose a shorter --dir")]
    PathTooLong(String),
    /// A socket is in use.
    #[error("{0} is in use by a running testbed: choose another --dir, or end that one with `usb4-testbed ctl quit`")]
    InUse(String),
    /// A socket cannot be made.
    #[error("{path} cannot be made: {source}; is its folder there and writable?")]
    Socket {
        /// Its path.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The vfio-user server did not start.
    #[error("{path} cannot be served: {source}")]
    Server {
        /// Its path.
        path: String,
        /// The library's error.
        source: vfio_user::Error,
    },
}

/// What all threads share. One lock: the model is one machine, and guests under emulation are slower than it by far.
pub struct Shared {
    state: Mutex<State>,
    /// Told when a frame was put on a cable that delays.
    timer: Condvar,
    start: Instant,
}

/// The fabric and where its interrupts go.
pub struct State {
    /// Hosts and cables.
    pub fabric: Fabric<Mappings>,
    /// MSI-X eventfds by host.
    pub vectors: Vec<Vectors>,
}

impl Shared {
    fn new(topology: &Topology) -> Shared {
        let vectors = (0..topology.hosts).map(|_| Vectors::default()).collect();
        let state = Mutex::new(State { fabric: Fabric::new(topology), vectors });
        Shared { state, timer: Condvar::new(), start: Instant::now() }
    }

    /// Runs `change` on the state, then signals the interrupts that follow from it.
    pub fn with<T>(&self, change: impl FnOnce(&mut State, u64) -> T) -> T {
        let mut state = self.lock();
        let before_ns = state.fabric.next_deadline_ns();
        let result = change(&mut state, self.now_ns());
        signal(&mut state);
        if state.fabric.next_deadline_ns() != before_ns {
            self.timer.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Delivers delayed frames when they are due, for ever.
    fn keep_time(&self) {
        let mut state = self.lock();
        loop {
            let now_ns = self.now_ns();
            let wait = match state.fabric.next_deadline_ns() {
                Some(due_ns) if due_ns <= now_ns => {
                    state.fabric.advance(now_ns);
                    signal(&mut state);
                    continue;
                }
                Some(due_ns) => Duration::from_nanos(due_ns - now_ns),
                None => Duration::from_secs(3600),
            };
            state = self.timer.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn signal(state: &mut State) {
    while let Some((host, vector)) = state.fabric.poll_interrupt() {
        state.vectors[host].signal(vector);
    }
}

/// The control socket in `dir`.
pub fn control_path(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

/// The vfio-user socket of a host in `dir`.
pub fn host_path(dir: &Path, host: usize) -> PathBuf {
    dir.join(format!("host{host}.sock"))
}

/// Serves `topology` with its sockets in `dir`, until [`Command::Quit`] comes. `ready` is called once all sockets listen.
///
/// # Errors
/// [`ServeError`] when a socket cannot be made.
pub fn serve(topology: &Topology, dir: &Path, ready: impl FnOnce()) -> Result<(), ServeError> {
    let shared = Arc::new(Shared::new(topology));
    let mut paths = vec![control_path(dir)];
    paths.extend((0..topology.hosts).map(|host| host_path(dir, host)));
    for path in &paths {
        make_room(path)?;
    }
    let text = |path: &Path| path.display().to_string();
    let mut servers = Vec::new();
    for (host, path) in paths[1..].iter().enumerate() {
        let server = Server::new(path, true, interrupts(), regions());
        servers.push((host, server.map_err(|source| ServeError::Server { path: text(path), source })?));
    }
    let control = UnixListener::bind(&paths[0]);
    let control = control.map_err(|source| ServeError::Socket { path: text(&paths[0]), source })?;
    for (host, server) in servers {
        let mut device = Device::new(host, Arc::clone(&shared));
        thread::spawn(move || serve_host(host, &server, &mut device));
    }
    let timer = Arc::clone(&shared);
    thread::spawn(move || timer.keep_time());
    let (quit, quits) = mpsc::channel();
    thread::spawn(move || serve_control(&control, &shared, &quit));
    ready();
    // The sender lives as long as the control thread, which never ends by itself.
    let _ = quits.recv();
    for path in &paths {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Removes a socket that a testbed left behind; refuses when somebody listens there.
fn make_room(path: &Path) -> Result<(), ServeError> {
    let text = path.display().to_string();
    if text.len() > MAX_SOCKET_PATH_BYTES {
        return Err(ServeError::PathTooLong(text));
    }
    if !path.exists() {
        return Ok(());
    }
    if UnixStream::connect(path).is_ok() {
        return Err(ServeError::InUse(text));
    }
    fs::remove_file(path).map_err(|source| ServeError::Socket { path: text, source })
}

/// Serves one guest after the other.
fn serve_host(host: usize, server: &Server, device: &mut Device) {
    loop {
        if let Err(error) = server.run(device) {
            warn!("host {host}: connection ended: {error}");
        }
        device.detach();
    }
}

fn serve_control(listener: &UnixListener, shared: &Shared, quit: &mpsc::Sender<()>) {
    for stream in listener.incoming() {
        // A client that goes away in mid-sentence is its own problem.
        if let Err(error) = stream.and_then(|stream| converse(&stream, shared, quit)) {
            info!("control: {error}");
        }
    }
}

fn converse(stream: &UnixStream, shared: &Shared, quit: &mpsc::Sender<()>) -> io::Result<()> {
    // Clients are served one after the other: one that says nothing must not keep the others out.
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        let mut ending = false;
        let mut answer = command::answer(&line, |command| {
            info!("control: {command:?}");
            ending = *command == Command::Quit;
            shared.with(|state, now_ns| command::execute(&mut state.fabric, command, now_ns))
        });
        answer.push('\n');
        let mut writer = stream;
        writer.write_all(answer.as_bytes())?;
        if ending {
            let _ = quit.send(());
        }
    }
    Ok(())
}
