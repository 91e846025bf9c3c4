//! All hosts and cables: what the outside does to them, and what follows.
//!
//! Call order: after any `write_bar`, `attach`, `detach`, `reset`, `unplug`, ... call [`Fabric::poll_interrupt`] until it is empty, then
//! arrange a call of [`Fabric::advance`] at [`Fabric::next_deadline_ns`]. Times are nanoseconds on the caller's clock, never going back.

use std::collections::VecDeque;

use serde::Serialize;
use thiserror::Error;

use crate::adapter::LaneSpeed;
use crate::cable::{Cable, Cargo};
use crate::control::Packet;
use crate::faults::FaultPlan;
use crate::memory::GuestMemory;
use crate::nhi::{Nhi, WriteEffect};
use crate::pci::PciConfig;
use crate::registers::{BAR_SIZE_BYTES, Direction};
use crate::router::{Router, lane0};
use crate::topology::{End, Topology};

/// Why a request from outside was refused.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum FabricError {
    /// There is no such host.
    #[error("there is no host {0}: hosts count from 0; `status` lists them")]
    NoHost(usize),
    /// There is no such cable.
    #[error("there is no cable {0}: cables count from 0; `status` lists them")]
    NoCable(usize),
    /// There is no such ring.
    #[error("host {host} has no ring {ring}: its NHI has rings 0 to {last}")]
    NoRing {
        /// Host index.
        host: usize,
        /// What was asked for.
        ring: usize,
        /// Highest ring.
        last: usize,
    },
    /// The host is at no end of the cable.
    #[error("host {host} is at no end of cable {cable}: it joins hosts {ends:?}")]
    NotAtCable {
        /// Host index.
        host: usize,
        /// Cable index.
        cable: usize,
        /// The hosts that it joins.
        ends: [usize; 2],
    },
}

/// What one host's NHI did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HostCounters {
    /// Control packets from the driver.
    pub control_in: u64,
    /// Control packets to the driver.
    pub control_out: u64,
    /// Control packets that the router did not take up, or that found no listener.
    pub control_lost: u64,
    /// Data frames from the driver.
    pub frames_in: u64,
    /// Data frames to the driver.
    pub frames_out: u64,
    /// Data frames that had no enabled path or no link.
    pub unrouted: u64,
    /// Data frames that found no descriptor on a ring without flow control.
    pub overrun: u64,
    /// Data frames that the receive ring did not want: disabled, or masked out.
    pub unwanted: u64,
    /// Accesses to addresses that the guest did not map.
    pub dma_faults: u64,
}

/// One host: its NHI, its router and its guest's memory.
#[derive(Debug)]
pub struct Host<M> {
    pub(crate) nhi: Nhi,
    pub(crate) router: Router,
    /// PCI configuration space.
    pub pci: PciConfig,
    /// Guest memory.
    pub memory: M,
    pub(crate) inbox: VecDeque<Packet>,
    pub(crate) counters: HostCounters,
    /// A guest is there.
    attached: bool,
    /// Not switched off by a fault.
    powered: bool,
}

impl<M> Host<M> {
    /// Whether its router takes part in links.
    fn is_present(&self) -> bool {
        self.attached && self.powered
    }
}

/// Hosts and cables in motion.
#[derive(Debug)]
pub struct Fabric<M> {
    pub(crate) hosts: Vec<Host<M>>,
    pub(crate) cables: Vec<Cable>,
    rings: usize,
}

impl<M: GuestMemory + Default> Fabric<M> {
    /// All hosts without guests, all cables plugged.
    pub fn new(topology: &Topology) -> Fabric<M> {
        let host = |index: usize| Host {
            nhi: Nhi::new(topology.rings),
            router: Router::new(index as u32, topology.ports, topology.rings),
            pci: PciConfig::new(),
            memory: M::default(),
            inbox: VecDeque::new(),
            counters: HostCounters::default(),
            attached: false,
            powered: true,
        };
        let cables = topology.cables.iter().zip(0..).map(|(&ends, seed)| Cable::new(ends, topology.speed, seed));
        Fabric { hosts: (0..topology.hosts).map(host).collect(), cables: cables.collect(), rings: topology.rings }
    }

    /// The host with that index.
    ///
    /// # Errors
    /// [`FabricError::NoHost`].
    pub fn host_mut(&mut self, host: usize) -> Result<&mut Host<M>, FabricError> {
        self.hosts.get_mut(host).ok_or(FabricError::NoHost(host))
    }

    /// Reads BAR 0; bytes outside it, or of a host that is switched off, read all ones, as on a bus without a device.
    pub fn read_bar(&self, host: usize, offset: u64, into: &mut [u8]) {
        into.fill(0xff);
        let Some(host) = self.hosts.get(host).filter(|host| host.powered) else { return };
        for (address, byte) in (offset..BAR_SIZE_BYTES).zip(into) {
            let word = host.nhi.read32(address as u32 & !3);
            *byte = word.to_le_bytes()[(address % 4) as usize];
        }
    }

    /// Writes BAR 0. The NHI takes whole words only: other accesses are ignored, as is what lies outside.
    pub fn write_bar(&mut self, host: usize, offset: u64, from: &[u8], now_ns: u64) {
        if !offset.is_multiple_of(4) || !from.len().is_multiple_of(4) {
            return;
        }
        for (address, bytes) in (offset..BAR_SIZE_BYTES).step_by(4).zip(from.chunks_exact(4)) {
            let Some(target) = self.hosts.get_mut(host).filter(|host| host.powered) else { return };
            let value = bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
            match target.nhi.write32(address as u32, value) {
                WriteEffect::None => {}
                WriteEffect::Kick => self.advance(now_ns),
                WriteEffect::HostReset => self.reset(host, now_ns),
            }
        }
    }

    /// The next MSI-X vector to signal, as (host, vector).
    pub fn poll_interrupt(&mut self) -> Option<(usize, u16)> {
        self.hosts.iter_mut().enumerate().find_map(|(index, host)| Some((index, host.nhi.poll_interrupt()?)))
    }

    /// When frames under way arrive next.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.cables.iter().flat_map(|cable| &cable.ways).filter_map(|way| way.next_arrival_ns()).min()
    }

    /// A guest appeared: its router powers up and links train.
    pub fn attach(&mut self, host: usize, now_ns: u64) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.attached = true;
        }
        self.refresh_links(now_ns);
    }

    /// The guest is gone: its router loses power, and its peers see an unplug.
    pub fn detach(&mut self, host: usize, now_ns: u64) {
        self.power_off(host);
        if let Some(host) = self.hosts.get_mut(host) {
            host.attached = false;
            host.memory = M::default();
            host.pci = PciConfig::new();
        }
        self.refresh_links(now_ns);
    }

    /// NHI and router start over; peers see an unplug and a plug.
    pub fn reset(&mut self, host: usize, now_ns: u64) {
        let Some(attached) = self.hosts.get(host).map(|host| host.attached) else { return };
        self.power_off(host);
        self.hosts[host].attached = false;
        self.refresh_links(now_ns);
        self.hosts[host].attached = attached;
        self.refresh_links(now_ns);
    }

    /// Fault: cuts a host's power (`false`) or restores it. Its registers read all ones meanwhile.
    ///
    /// # Errors
    /// [`FabricError::NoHost`].
    pub fn set_power(&mut self, host: usize, powered: bool, now_ns: u64) -> Result<(), FabricError> {
        if self.host_mut(host)?.powered && !powered {
            self.power_off(host);
        }
        self.hosts[host].powered = powered;
        self.refresh_links(now_ns);
        Ok(())
    }

    /// Fault: pulls the cable (`false`) or plugs it in again.
    ///
    /// # Errors
    /// [`FabricError::NoCable`].
    pub fn set_plugged(&mut self, cable: usize, plugged: bool, now_ns: u64) -> Result<(), FabricError> {
        self.cables.get_mut(cable).ok_or(FabricError::NoCable(cable))?.plugged = plugged;
        self.refresh_links(now_ns);
        Ok(())
    }

    /// Fault: trains the cable at `speed`, which takes the link down and up.
    ///
    /// # Errors
    /// [`FabricError::NoCable`].
    pub fn set_speed(&mut self, cable: usize, speed: LaneSpeed, now_ns: u64) -> Result<(), FabricError> {
        let plugged = self.cables.get(cable).ok_or(FabricError::NoCable(cable))?.plugged;
        self.set_plugged(cable, false, now_ns)?;
        self.cables[cable].speed = speed;
        self.set_plugged(cable, plugged, now_ns)
    }

    /// Fault: puts a plan in force for frames that `from` sends over the cable, or for both directions.
    ///
    /// # Errors
    /// [`FabricError::NoCable`], [`FabricError::NotAtCable`].
    pub fn set_faults(&mut self, cable: usize, from: Option<usize>, plan: &FaultPlan) -> Result<(), FabricError> {
        let target = self.cables.get_mut(cable).ok_or(FabricError::NoCable(cable))?;
        let ends = target.ends.map(|end| end.host);
        if let Some(host) = from.filter(|host| !ends.contains(host)) {
            return Err(FabricError::NotAtCable { host, cable, ends });
        }
        for (end, way) in ends.into_iter().zip(&mut target.ways) {
            if from.is_none_or(|host| host == end) {
                way.faults.set_plan(plan.clone());
            }
        }
        Ok(())
    }

    /// Fault: stops one ring of an NHI, or lets it go on.
    ///
    /// # Errors
    /// [`FabricError::NoHost`], [`FabricError::NoRing`].
    pub fn set_stalled(
        &mut self,
        host: usize,
        direction: Direction,
        ring: usize,
        stalled: bool,
        now_ns: u64,
    ) -> Result<(), FabricError> {
        let nhi = &mut self.host_mut(host)?.nhi;
        if ring >= nhi.rings() {
            return Err(FabricError::NoRing { host, ring, last: nhi.rings() - 1 });
        }
        nhi.set_stalled(direction, ring, stalled);
        self.advance(now_ns);
        Ok(())
    }

    /// What everything looks like now.
    pub fn status(&self) -> Status {
        let host = |host: &Host<M>| HostStatus {
            attached: host.attached,
            powered: host.powered,
            driver_loaded: host.nhi.is_enabled(Direction::Receive, 0),
            counters: host.counters.clone(),
        };
        let cable = |cable: &Cable| CableStatus {
            ends: cable.ends.map(|end| format!("{}.{}", end.host, end.port)),
            plugged: cable.plugged,
            up: cable.up,
            speed: cable.speed,
            lanes: self.hosts[cable.ends[0].host].router.port(cable.ends[0].port).map_or(0, |lane| lane.width_lanes()),
            faults: cable.ways.clone().map(|way| way.faults.plan().clone()),
            counters: cable.ways.clone().map(|way| way.counters),
        };
        Status { hosts: self.hosts.iter().map(host).collect(), cables: self.cables.iter().map(cable).collect() }
    }

    /// The cable at a port and the direction that leads away from there, when its link is up.
    pub(crate) fn link_at(&self, end: End) -> Option<(usize, usize)> {
        let find = |(index, cable): (usize, &Cable)| Some((index, cable.way_from(end)?));
        self.cables.iter().enumerate().filter(|(_, cable)| cable.up).find_map(find)
    }

    /// A driver ended a downstream port reset: its own side trains anew, and the far side sees the link go and come.
    pub(crate) fn retrain(&mut self, end: End) {
        let Some((index, way)) = self.link_at(end) else { return };
        let far = self.cables[index].ends[1 - way];
        self.lose_in_flight(index);
        self.show_link(index, true);
        self.post_event(far, true);
        self.post_event(far, false);
        self.post_event(end, false);
    }

    /// Joins the lanes when either side asks for it and both agree.
    pub(crate) fn refresh_bonding(&mut self, end: End) {
        let Some((index, way)) = self.link_at(end) else { return };
        let ends = [end, self.cables[index].ends[1 - way]];
        let lanes = ends.map(|end| {
            self.hosts[end.host].router.port(end.port).map(|lane| (lane.starts_bonding(), lane.targets_dual()))
        });
        let [Some(near), Some(far)] = lanes else { return };
        let width_lanes = if near.1 && far.1 {
            if !(near.0 || far.0) {
                return;
            }
            2
        } else {
            1
        };
        for end in ends {
            self.hosts[end.host].router.set_width_lanes(end.port, width_lanes);
        }
    }

    fn power_off(&mut self, index: usize) {
        let rings = self.rings;
        if let Some(host) = self.hosts.get_mut(index) {
            host.nhi = Nhi::new(rings);
            host.router = Router::new(index as u32, host.router.ports(), rings);
            host.inbox.clear();
        }
    }

    /// Brings each link to the state that plugs and power give it; routers hear of each change.
    fn refresh_links(&mut self, now_ns: u64) {
        for index in 0..self.cables.len() {
            let cable = &self.cables[index];
            let up = cable.plugged && cable.ends.iter().all(|end| self.hosts[end.host].is_present());
            if up == cable.up {
                continue;
            }
            self.cables[index].up = up;
            self.lose_in_flight(index);
            self.show_link(index, up);
            for end in self.cables[index].ends {
                self.post_event(end, !up);
            }
        }
        self.advance(now_ns);
    }

    fn show_link(&mut self, index: usize, up: bool) {
        let (ends, speed) = (self.cables[index].ends, self.cables[index].speed);
        for end in ends {
            self.hosts[end.host].router.set_link(end.port, up, speed);
        }
    }

    fn lose_in_flight(&mut self, index: usize) {
        let lost: Vec<Cargo> = self.cables[index].ways.iter_mut().flat_map(|way| way.clear()).collect();
        for cargo in lost {
            self.redeem(&cargo);
        }
    }

    pub(crate) fn redeem(&mut self, cargo: &Cargo) {
        if let Cargo::Data { promise: Some((host, ring)), .. } = cargo {
            self.hosts[*host].nhi.redeem(*ring);
        }
    }

    fn post_event(&mut self, end: End, unplug: bool) {
        self.post(end.host, Packet::plug_event(lane0(end.port), unplug));
    }
}

/// State of everything, for the control socket.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// By host index.
    pub hosts: Vec<HostStatus>,
    /// By cable index.
    pub cables: Vec<CableStatus>,
}

/// State of one host.
#[derive(Debug, Clone, Serialize)]
pub struct HostStatus {
    /// A guest is connected.
    pub attached: bool,
    /// Not switched off by a fault.
    pub powered: bool,
    /// The driver listens on the control ring.
    pub driver_loaded: bool,
    /// Counters since the process started.
    pub counters: HostCounters,
}

/// State of one cable.
#[derive(Debug, Clone, Serialize)]
pub struct CableStatus {
    /// Its ends as `host.port`.
    pub ends: [String; 2],
    /// Both plugs are in.
    pub plugged: bool,
    /// The link is up.
    pub up: bool,
    /// Rate per lane.
    pub speed: LaneSpeed,
    /// Lanes in use.
    pub lanes: u32,
    /// Fault plan of each direction.
    pub faults: [FaultPlan; 2],
    /// Counters of each direction.
    pub counters: [crate::cable::WayCounters; 2],
}
