//! The side that answers.

use std::io::Read;
use std::sync::atomic::AtomicBool;

use usb4_link::{Address, ChannelId, LinkSpec, NodeId};
use usb4_port::address::PortAddress;

use super::BenchError;
use super::figures::Protocol;
use super::other::Token;
use super::side::{Heard, Say, Side, WORDS};
use super::stream::{Kind, Plan};
use crate::out;

/// Prints where this side is, and does what the other side asks until it says that it is done.
pub(super) fn run(links: LinkSpec, attached: bool, stop: &AtomicBool) -> Result<(), BenchError> {
    if attached {
        end_with_standard_input();
    }
    let mut side = Side::open(links, stop)?;
    let token = Token { fabric: side.port.fabric_address().fabric, port: side.port.address() };
    let line = if attached { token.to_string() } else { format!("on the other host: usb4ctl bench {token}") };
    out::line(line).map_err(|error| BenchError::NotStarted(error.to_string()))?;
    let done = match serve(&mut side) {
        // Said at any moment: the user of the other side may have seen enough.
        Err(BenchError::Left) => {
            side.say(Say::Totals, Protocol::of(&side.port.totals()).words()).and_then(|()| side.finish())
        }
        done => done,
    };
    // What was said last shall arrive.
    side.port.close();
    done
}

fn serve(side: &mut Side<'_>) -> Result<(), BenchError> {
    let client = address(side.expect(Say::Hello)?);
    side.connect(&client)?;
    side.say(Say::Hello, hello(&side.port.address()))?;
    loop {
        match side.poll()? {
            None => {}
            Some(Heard::Said(Say::Plan, words)) => {
                let plan = Plan::from_words(words)?;
                side.say(Say::Ready, [0; WORDS])?;
                match plan.kind {
                    Kind::Ping => echo(side, plan.size_bytes)?,
                    Kind::OneWay => drop(side.stream(plan, false, true)?),
                    Kind::BothWays => drop(side.stream(plan, true, true)?),
                }
            }
            Some(_) => return Err(BenchError::Misunderstood("something else than a plan")),
        }
    }
}

fn echo(side: &mut Side<'_>, size_bytes: usize) -> Result<(), BenchError> {
    while side.receive_message(size_bytes)? {
        side.send_message(size_bytes)?;
    }
    Ok(())
}

/// A port's address as a Hello carries it.
pub(super) fn hello(port: &PortAddress) -> [u64; WORDS] {
    [port.address.node.0.into(), port.address.channel.0.into(), port.incarnation, 0]
}

fn address([node, channel, incarnation, _]: [u64; WORDS]) -> PortAddress {
    PortAddress { address: Address { node: NodeId(node as u32), channel: ChannelId(channel as u16) }, incarnation }
}

/// Whoever started this side holds the other end of its standard input for as long as it lives.
fn end_with_standard_input() {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(0);
    });
}
