//! A command as a child that behaves, seen from outside, as if it had been run directly.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// Signals that end a command, and that this process outlives to report what the command did.
const SIGNALS: [i32; 4] = [SIGINT, SIGQUIT, SIGTERM, SIGHUP];

/// Runs the command to its end; returns its exit code, or 128 + n when signal n ended it.
pub(super) fn supervise(command: &mut Command) -> io::Result<u8> {
    // Before the child exists: a signal in between must not end this process.
    let mut signals = SignalsInfo::<WithOrigin>::new(SIGNALS)?;
    let handle = signals.handle();
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let forwarder = thread::spawn(move || {
        for origin in signals.forever() {
            if let (Some(pid), Some(signal)) = (pid, to_forward(&origin)) {
                // The child may just have ended; then there is nobody to tell.
                let _ = kill_process(pid, signal);
            }
        }
    });
    let status = child.wait();
    handle.close();
    let _ = forwarder.join();
    status.map(exit_code)
}

/// The signal to pass on. The terminal sends Ctrl-C to the whole foreground group, so the child has it already, and mpirun
/// takes a second one as an order to give up at once. What a process sent was meant for the command and reached only us.
fn to_forward(origin: &Origin) -> Option<Signal> {
    match origin.cause {
        Cause::Sent(_) => Signal::from_named_raw(origin.signal),
        _ => None,
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> io::Result<u8> {
        supervise(Command::new("sh").args(["-c", script]))
    }

    /// One test, because a signal to this process reaches the children of all that run beside each other.
    #[test]
    fn exit_codes_and_signals_pass_through() {
        assert_eq!(shell("exit 7").unwrap(), 7);
        assert_eq!(shell("kill -KILL $$").unwrap(), 128 + 9);
        assert_eq!(supervise(&mut Command::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
        // The child asks its parent, this process, to end; the parent passes that on.
        assert_eq!(shell("trap 'exit 9' TERM; kill -TERM $PPID; while :; do sleep 0.01; done").unwrap(), 9);
    }
}
