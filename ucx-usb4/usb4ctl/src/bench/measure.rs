//! The side that measures.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use usb4_link::{Counters, LinkSpec, NodeId, RailInfo};

use super::figures::{BandwidthRow, Figures, PingRow, Protocol, RailRow};
use super::listen::hello;
use super::other::Started;
use super::side::{Say, Side, WORDS};
use super::stream::{Kind, Plan};
use super::{BenchError, other::Token};
use crate::cli::BenchArgs;
use crate::table;

/// Before anything counts: connections open, memory is touched, clocks rise.
const WARM_UP: Duration = Duration::from_millis(100);

/// Measures everything that was asked for. What was measured before an error or Ctrl-C is returned with it.
pub(super) fn run(
    arguments: &BenchArgs,
    links: LinkSpec,
    stop: &AtomicBool,
) -> Result<(Figures, Result<(), BenchError>), BenchError> {
    let simulated = matches!(links, LinkSpec::SimProfile(_) | LinkSpec::SimFile(_));
    let mut side = Side::open(links, stop)?;
    let (started, token) = match (&arguments.peer, &arguments.host) {
        (Some(token), _) => (None, *token),
        (None, Some(host)) => start(Started::on_host(&arguments.links, host)?),
        (None, None) if simulated => start(Started::here(&arguments.links, neighbour(&side).0)?),
        (None, None) => return Err(BenchError::NoPeer),
    };
    let ours = side.port.fabric_address().fabric;
    if token.fabric != ours {
        return Err(BenchError::OtherFabric { theirs: token.fabric, ours });
    }
    side.connect(&token.port)?;
    let mut figures = Figures::new(&arguments.links, side.port.address().address, token.port.address);
    let done = all(&mut side, arguments, &mut figures);
    if !matches!(done, Err(BenchError::Lost(_))) {
        figures.protocol_there = farewell(&mut side);
    }
    figures.protocol_here = Protocol::of(&side.port.totals());
    side.port.close();
    drop(started);
    Ok((figures, done))
}

fn start((started, token): (Started, Token)) -> (Option<Started>, Token) {
    (Some(started), token)
}

/// The node at the other end of the first cable; without one, the own.
fn neighbour(side: &Side<'_>) -> NodeId {
    side.port.rails().next().map_or(side.port.address().address.node, |rail| rail.peer)
}

fn all(side: &mut Side<'_>, arguments: &BenchArgs, figures: &mut Figures) -> Result<(), BenchError> {
    side.say(Say::Hello, hello(&side.port.address()))?;
    side.expect(Say::Hello)?;
    let rails: Vec<RailInfo> = side.port.rails().filter(|rail| rail.peer == figures.there.node).cloned().collect();
    figures.limit_bits_per_s = rails.iter().map(|rail| rail.rate_bits_per_s).sum();
    figures.latency_us = rails.iter().map(|rail| rail.latency_ns as f64 / 1e3).reduce(f64::min);
    let duration = Duration::from_secs_f64(arguments.seconds);
    let steps: Vec<Plan> = (Kind::ALL.into_iter().filter(|kind| arguments.measure.contains(kind)))
        .flat_map(|kind| arguments.sizes.iter().map(move |size| Plan { kind, size_bytes: size.0, duration }))
        .collect();
    run_plan(side, Plan { kind: Kind::Ping, size_bytes: 8, duration: WARM_UP }, &mut Figures::scratch(figures))?;
    let before = side.port.counters();
    let bar = progress_bar(steps.len());
    for plan in steps {
        bar.set_message(format!("{}, {}", plan.kind.title(), table::bytes(plan.size_bytes as u64)));
        run_plan(side, plan, figures)?;
        bar.inc(1);
        figures.rails = rail_rows(&rails, &before, &side.port.counters());
    }
    bar.finish_and_clear();
    Ok(())
}

fn run_plan(side: &mut Side<'_>, plan: Plan, figures: &mut Figures) -> Result<(), BenchError> {
    side.say(Say::Plan, plan.words())?;
    side.expect(Say::Ready)?;
    if plan.kind == Kind::Ping {
        figures.ping.push(ping(side, plan)?);
        return Ok(());
    }
    let both = plan.kind == Kind::BothWays;
    let (sent_before, started) = (side.port.totals().bytes_sent, Instant::now());
    let received = side.stream(plan, true, both)?;
    let seconds = started.elapsed().as_secs_f64();
    let bytes = received + side.port.totals().bytes_sent - sent_before;
    let row = BandwidthRow::new(plan.size_bytes, bytes, seconds, figures.limit_bits_per_s, both);
    if both {
        figures.both_ways.push(row)
    } else {
        figures.one_way.push(row)
    }
    Ok(())
}

fn ping(side: &mut Side<'_>, plan: Plan) -> Result<PingRow, BenchError> {
    let mut one_way_ns = Vec::with_capacity(1 << 16);
    let started = Instant::now();
    let mut sent = started;
    loop {
        side.send_message(plan.size_bytes)?;
        if !side.receive_message(plan.size_bytes)? {
            return Err(BenchError::Misunderstood("an end without a beginning"));
        }
        let now = Instant::now();
        one_way_ns.push((now - sent).as_nanos() as u64 / 2);
        sent = now;
        if now - started >= plan.duration {
            break;
        }
    }
    side.say(Say::End, [0; WORDS])?;
    Ok(PingRow::new(plan.size_bytes, one_way_ns))
}

/// Says that this was all, and asks what the other side has counted.
fn farewell(side: &mut Side<'_>) -> Option<Protocol> {
    // More than the connection has with a peer that is silent.
    const PATIENCE: Duration = Duration::from_secs(10);
    side.ignore_stop();
    side.say(Say::Bye, [0; WORDS]).ok()?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        // After Ctrl-C, data may still be under way.
        if let Some(super::side::Heard::Said(Say::Totals, words)) = side.poll().ok()? {
            return Some(Protocol::from_words(words));
        }
    }
    None
}

fn rail_rows(rails: &[RailInfo], before: &Counters, now: &Counters) -> Vec<RailRow> {
    let of = |counters: &Counters, info: &RailInfo| {
        counters.rails.iter().find(|(id, _)| *id == info.id).map(|(_, counters)| *counters).unwrap_or_default()
    };
    let mut rows: Vec<RailRow> =
        rails.iter().map(|info| RailRow::new(info, &of(before, info), &of(now, info))).collect();
    let sum: u64 = rows.iter().map(|row| row.sent_bytes).sum();
    for row in &mut rows {
        row.share = row.sent_bytes as f64 / sum.max(1) as f64;
    }
    rows
}

/// On a terminal; elsewhere it shows nothing.
fn progress_bar(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}").expect("a valid template");
    ProgressBar::new(steps as u64).with_style(style)
}
