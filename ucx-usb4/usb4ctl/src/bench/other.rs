//! The other side: its address as people copy it, and how it is started.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use usb4_port::address::{DEVICE_ADDR_LEN, FabricAddress, IFACE_ADDR_LEN, PortAddress};

use super::BenchError;

fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(processor);
    set
}

/// Where a side listens: fabric, node, channel, and which opening of it. 44 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(super) fabric: u64,
    pub(super) port: PortAddress,
}

/// Bytes of a token: a fabric address without its node, which the port's address repeats.
const TOKEN_LEN: usize = DEVICE_ADDR_LEN - 4 + IFACE_ADDR_LEN;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fabric = FabricAddress { fabric: self.fabric, node: self.port.address.node }.pack();
        fabric[..8].iter().chain(&self.port.pack()).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Token, String> {
        let wrong = || {
            format!(
                "give the {} digits that `usb4ctl bench --listen` prints on the other host, or its name with --host",
                2 * TOKEN_LEN
            )
        };
        let text = text.trim();
        if text.len() != 2 * TOKEN_LEN || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; TOKEN_LEN];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| wrong())?;
        }
        let (fabric, port) = bytes.split_at(8);
        Ok(Token {
            fabric: u64::from_le_bytes(fabric.try_into().expect("eight bytes")),
            port: PortAddress::unpack(port.try_into().expect("the rest")),
        })
    }
}

/// The other side as a process that this one has started. It ends with this one.
pub(super) struct Started {
    child: Child,
    /// Open for as long as the other side is wanted.
    stdin: Option<ChildStdin>,
}

impl Started {
    /// On another node of the same simulated fabric.
    ///
    /// Each side has a processor of its own from then on, if there are two: sharing one, each message would wait for a time slice.
    pub(super) fn here(links: &str, node: u32) -> Result<(Started, Token), BenchError> {
        let program = std::env::current_exe().map_err(|error| BenchError::NotStarted(error.to_string()))?;
        let mut command = Command::new(program);
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let mut processors = (0..CpuSet::MAX_CPU).filter(|&number| allowed.is_set(number));
        if let (Some(here), Some(there)) = (processors.next(), processors.next()) {
            // The other side inherits what this one has when it starts. Without permission both stay where they are.
            let _ = sched_setaffinity(None, &only(there));
            let started = Started::start(command.env("UCX_USB4_SIM_NODE", node.to_string()), links);
            let _ = sched_setaffinity(None, &only(here));
            return started;
        }
        Started::start(command.env("UCX_USB4_SIM_NODE", node.to_string()), links)
    }

    /// On another host.
    pub(super) fn on_host(links: &str, host: &str) -> Result<(Started, Token), BenchError> {
        Started::start(Command::new("ssh").args([host, "usb4ctl"]), links)
    }

    fn start(command: &mut Command, links: &str) -> Result<(Started, Token), BenchError> {
        let failed = |what: &dyn fmt::Display| BenchError::NotStarted(what.to_string());
        command.args(["bench", "--listen", "--attached", "--links", links]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| failed(&format_args!("{name}: {error}")))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let started = Started { child, stdin };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(&error))?;
        }
        match line.parse() {
            Ok(token) => Ok((started, token)),
            Err(_) if line.is_empty() => Err(failed(&format_args!("{name} printed no address; see above"))),
            Err(_) => Err(failed(&format_args!("{name} printed {:?} instead of an address", line.trim()))),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It ends by itself when it has been told so, or when its standard input does.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use usb4_link::Address;

    use super::*;

    #[test]
    fn an_address_can_be_copied() {
        let port = PortAddress { address: Address::new(0x0bad_cafe, 3), incarnation: 0x1122_3344_5566_7788 };
        let token = Token { fabric: 77, port };
        let text = token.to_string();
        assert_eq!(text.len(), 44);
        assert_eq!(format!(" {text}\n").parse(), Ok(token));
        for wrong in ["", "lab2", &text[1..], &text.replace('b', "g")] {
            assert!(wrong.parse::<Token>().unwrap_err().contains("--listen"), "{wrong}");
        }
    }
}
