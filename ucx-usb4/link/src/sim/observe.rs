//! Looking at fabrics from outside, and pulling their cables: what `usb4ctl` shows and does.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::counting::{by_direction, to_public};
use super::fabric::{Fabric, random_u64};
use super::layout::{CHANNEL_MAGIC, COUNTER_WORDS, FORMAT, channel as at};
use super::own::pack;
use super::profile::Unplug;
use super::registry::{FABRIC_FILE, Folder, Member, Registry, channel_file_name};
use super::source::Source;
use super::topology::{local_rails, rail_id};
use super::view::{CableView, ChannelView, FabricSummary, FabricView, RailView};
use super::{LOOPBACK, wake};
use crate::shm::mapping::{Access, Mapping, Word};
use crate::{Address, Board, Counters, LinkSpec, OpenError, RailCounters};

/// Why a fabric cannot be looked at or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// There is no such fabric.
    #[error("no simulated fabric named {name:?} is in use; {}", known_names(.known))]
    NoFabric {
        /// The name asked for.
        name: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// The fabric has no such cable or rail.
    #[error("{name} has no {selector}; it has {cables} cables, numbered from 0, with the rails `usb4ctl status` lists")]
    NoRail {
        /// The fabric.
        name: String,
        /// What was asked for.
        selector: RailSelector,
        /// How many cables it has.
        cables: usize,
    },
    /// The text names neither a cable nor a rail.
    #[error(
        "{0:?} is neither a cable (0) nor a rail (0.1); give the cable's number, and a dot and the rail's if need be"
    )]
    BadSelector(String),
    /// The fabric cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() {
        return "no fabric is: start a job with UCX_USB4_LINKS=sim:PROFILE first".to_owned();
    }
    format!("choose one of {}", known.join(", "))
}

/// A cable, or one of its rails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RailSelector {
    /// The cable, from 0.
    pub cable: usize,
    /// The rail on it, from 0; `None`: all.
    pub rail: Option<usize>,
}

impl FromStr for RailSelector {
    type Err = ObserveError;

    /// Parses `0` (a cable) or `0.1` (a rail); `cable0.rail1` is understood too.
    fn from_str(text: &str) -> Result<Self, ObserveError> {
        let number = |part: &str, prefix| part.strip_prefix(prefix).unwrap_or(part).parse().ok();
        let parsed = match text.split_once('.') {
            None => number(text, "cable").map(|cable| RailSelector { cable, rail: None }),
            Some((cable, rail)) => number(cable, "cable")
                .and_then(|cable| number(rail, "rail").map(|rail| RailSelector { cable, rail: Some(rail) })),
        };
        parsed.ok_or_else(|| ObserveError::BadSelector(text.to_owned()))
    }
}

impl std::fmt::Display for RailSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rail {
            None => write!(f, "cable {}", self.cable),
            Some(rail) => write!(f, "rail {rail} on cable {}", self.cable),
        }
    }
}

impl Registry {
    /// All fabrics of the user, in use or left over.
    #[must_use]
    pub fn list(&self) -> Vec<FabricSummary> {
        let summary = |name: String| {
            let folder = self.visit(&name).ok()??;
            let path = folder.path().to_owned();
            Some(FabricSummary { name, users: folder.members().len(), size_bytes: size_bytes(&path), path })
        };
        self.names().into_iter().filter_map(summary).collect()
    }

    /// Everything about a fabric that is in use.
    ///
    /// # Errors
    /// [`ObserveError::NoFabric`], or [`ObserveError::Open`] if its files cannot be read.
    pub fn inspect(&self, name: &str) -> Result<FabricView, ObserveError> {
        let folder = self.find(name)?;
        let fabric = Fabric::open(&folder)?;
        let members = folder.members();
        let channels: Vec<_> = members
            .iter()
            .filter_map(|member| match member {
                Member::Channel(address) => Front::open(folder.path(), &fabric, *address),
                Member::Holder => None,
            })
            .collect();
        let sum = Sum::new(&fabric, &channels);
        let now_ns = fabric.clock.now_ns();
        let mut rails = fabric.config.rails().enumerate();
        let cables = fabric.config.cables.iter().map(|cable| CableView {
            between: cable.between,
            rails: rails
                .by_ref()
                .take(cable.rails.len())
                .map(|(number, (_, cable, _, rail))| RailView {
                    rate_bits_per_s: rail.rate_bits_per_s,
                    latency_ns: rail.latency_ns,
                    up: fabric.is_rail_up(number) && !is_out(&cable.unplug, now_ns),
                    directions: sum.rails[number].map(|set| to_public(&set)),
                })
                .collect(),
        });
        Ok(FabricView {
            name: name.to_owned(),
            id: fabric.id,
            age_ns: now_ns,
            cables: cables.collect(),
            loopback: sum.nodes.iter().map(to_public).collect(),
            channels: channels.iter().map(Front::view).collect(),
            holders: members.iter().filter(|member| **member == Member::Holder).count(),
            config: (*fabric.config).clone(),
        })
    }

    /// Unplugs or replugs a cable or a rail of a fabric in use, and wakes its channels to see it. Returns how many
    /// rails changed.
    ///
    /// # Errors
    /// [`ObserveError::NoFabric`], [`ObserveError::NoRail`].
    pub fn set_rail(&self, name: &str, selector: RailSelector, up: bool) -> Result<usize, ObserveError> {
        let folder = self.find(name)?;
        let fabric = Fabric::open(&folder)?;
        let is_it = |cable, index| cable == selector.cable && selector.rail.is_none_or(|rail| rail == index);
        let rails = fabric.config.rails().enumerate();
        let chosen: Vec<_> =
            rails.filter(|(_, (cable, _, index, _))| is_it(*cable, *index)).map(|(number, _)| number).collect();
        if chosen.is_empty() {
            let cables = fabric.config.cables.len();
            return Err(ObserveError::NoRail { name: name.to_owned(), selector, cables });
        }
        let changed = chosen.iter().filter(|rail| fabric.set_rail(**rail, up)).count();
        wake_all(&folder, &fabric);
        Ok(changed)
    }

    /// Keeps a fabric alive, and makes it if need be: its counters can be read when the job has ended.
    ///
    /// # Errors
    /// As for opening a channel.
    pub fn hold(&self, spec: &LinkSpec) -> Result<Holder, OpenError> {
        let source = Source::resolve(spec)?;
        self.sweep();
        let folder = self.enter(&source.name)?;
        let held = join(&folder, &source).and_then(|_| {
            let file_name = format!("hold.{:016x}", random_u64());
            let file = folder.add(&file_name, |_| Ok(()))?;
            Ok((file_name, file))
        });
        if held.is_err() {
            folder.remove_if_unused();
        }
        let (file_name, file) = held?;
        Ok(Holder { registry: self.clone(), name: source.name, file_name, _file: file })
    }

    /// Removes what crashed jobs left; returns the names of the fabrics that are gone.
    pub fn clean(&self) -> Vec<String> {
        self.sweep()
    }

    fn find(&self, name: &str) -> Result<Folder, ObserveError> {
        let no_fabric = || ObserveError::NoFabric { name: name.to_owned(), known: self.names() };
        let is_plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
        let folder = is_plain.then(|| self.visit(name)).transpose()?.flatten();
        folder.filter(|folder| folder.file(FABRIC_FILE).exists()).ok_or_else(no_fabric)
    }
}

/// The fabric in a folder; made anew if all who used it are gone.
pub(crate) fn join(folder: &Folder, source: &Source) -> Result<Fabric, OpenError> {
    folder.remove_dead();
    if folder.members().is_empty() {
        return Fabric::create(folder, &source.file, &source.text);
    }
    Fabric::open(folder)
}

/// Keeps a fabric and its counters alive until it is dropped.
#[derive(Debug)]
pub struct Holder {
    registry: Registry,
    name: String,
    file_name: String,
    _file: fs::File,
}

impl Holder {
    /// The fabric's name, for `inspect`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Ok(Some(folder)) = self.registry.visit(&self.name) {
            folder.remove(&self.file_name);
            folder.remove_dead();
            folder.remove_if_unused();
        }
    }
}

/// The part of a living channel's file that observers read.
struct Front {
    address: Address,
    mapping: std::sync::Arc<Mapping>,
}

impl Front {
    fn open(folder: &Path, fabric: &Fabric, address: Address) -> Option<Front> {
        let file = fs::File::open(folder.join(channel_file_name(address))).ok()?;
        if file.metadata().ok()?.len() < at::POOL as u64 {
            return None;
        }
        let mapping = Mapping::new(file.as_fd(), 0, at::POOL, Access::Read).ok()?;
        let front = Front { address, mapping };
        let is_right = front.get(at::MAGIC) == CHANNEL_MAGIC
            && front.get(at::FORMAT) == u64::from(FORMAT)
            && front.get(at::FABRIC) == fabric.id.0
            && front.get(at::ADDRESS) == pack(address);
        is_right.then_some(front)
    }

    fn get(&self, offset: usize) -> u64 {
        Word::new(&self.mapping, offset).load(Acquire)
    }

    fn counters(&self, rail: usize) -> [u64; COUNTER_WORDS] {
        let word = |index| Word::new(&self.mapping, at::counters(rail) + index * 8);
        std::array::from_fn(|index| word(index).load(Relaxed))
    }

    fn view(&self) -> ChannelView {
        let rails = (0..=LOOPBACK).map(|rail| (rail_id(rail), to_public(&self.counters(rail))));
        ChannelView {
            address: self.address,
            incarnation: self.get(at::INCARNATION),
            pid: self.get(at::PID) as u32,
            transmit_frames: self.get(at::POOL_FRAMES) as usize,
            is_sleeping: self.get(at::MAILBOX + at::SLEEPING) != 0,
            counters: Counters {
                rails: rails.filter(|(_, counters)| *counters != RailCounters::default()).collect(),
                wakeups_sent: self.get(at::WAKEUPS_SENT),
                sleeps: self.get(at::SLEEPS),
            },
            connections: Board::new(&self.mapping, at::BOARD).connections().map(|(_, stats)| stats).collect(),
        }
    }
}

/// Counters of the fabric: what closed channels left and what living ones have.
struct Sum {
    rails: Vec<[[u64; COUNTER_WORDS]; 2]>,
    nodes: Vec<[u64; COUNTER_WORDS]>,
}

impl Sum {
    fn new(fabric: &Fabric, channels: &[Front]) -> Sum {
        let rails = 0..fabric.config.rails().count();
        let nodes = 0..fabric.config.nodes as usize;
        let mut sum = Sum {
            rails: rails.map(|rail| [fabric.rail_totals(rail, 0), fabric.rail_totals(rail, 1)]).collect(),
            nodes: nodes.map(|node| fabric.node_totals(node)).collect(),
        };
        for channel in channels {
            for rail in local_rails(&fabric.config, channel.address.node) {
                let (sent, received) = by_direction(&channel.counters(rail.local));
                add(&mut sum.rails[rail.fabric][rail.direction], &sent);
                add(&mut sum.rails[rail.fabric][1 - rail.direction], &received);
            }
            if let Some(node) = sum.nodes.get_mut(channel.address.node.0 as usize) {
                add(node, &channel.counters(LOOPBACK));
            }
        }
        sum
    }
}

fn add(sum: &mut [u64; COUNTER_WORDS], set: &[u64; COUNTER_WORDS]) {
    sum.iter_mut().zip(set).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
}

fn is_out(unplug: &[Unplug], now_ns: u64) -> bool {
    unplug.iter().any(|time| (time.at_ns..time.until_ns()).contains(&now_ns))
}

fn size_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.blocks() * 512)).sum()
}

fn wake_all(folder: &Folder, fabric: &Fabric) {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    for member in folder.members() {
        let Member::Channel(address) = member else { continue };
        let Some(front) = Front::open(folder.path(), fabric, address) else { continue };
        if let Ok(to) = wake::socket_address(fabric.id, address, front.get(at::INCARNATION)) {
            // One that does not sleep finds the change by itself; its socket may be full, which is as good.
            let _ = socket.set_nonblocking(true).and_then(|()| socket.send_to_addr(&[0], &to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_name_a_cable_or_a_rail() {
        assert_eq!("1".parse::<RailSelector>().unwrap(), RailSelector { cable: 1, rail: None });
        assert_eq!("cable0.rail1".parse::<RailSelector>().unwrap(), RailSelector { cable: 0, rail: Some(1) });
        let error = "left".parse::<RailSelector>().unwrap_err().to_string();
        assert!(error.contains("0.1"), "{error}");
    }
}
