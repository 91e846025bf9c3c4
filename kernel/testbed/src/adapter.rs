//! Adapters of a router: the lanes of its ports, and the one that leads to the NHI.
//!
//! Source: USB4 specification, chapter "Configuration spaces"; Linux `drivers/thunderbolt/tb_regs.h`. Numbers are word offsets in an
//! adapter's configuration space.

use crate::config::ConfigSpace;
use crate::pci::{DEVICE_ID, VENDOR_ID};

/// Words in an adapter's configuration space.
pub const ADAPTER_WORDS: usize = 0x80;
/// HopIDs of a lane adapter: 0..=63.
pub const LANE_HOPS: usize = 64;
/// USB4 version of router and adapters: 1.0.
pub const USB4_VERSION: u32 = 0x20;

const ADP_CS_1: usize = 0x01;
const ADP_CS_2: usize = 0x02;
const ADP_CS_3: usize = 0x03;
const ADP_CS_4: usize = 0x04;
const ADP_CS_5: usize = 0x05;
const ADP_CS_4_LOCKED: u32 = 1 << 31;
const ADP_CS_5_DISABLE_HOT_PLUG: u32 = 1 << 31;
const LANE_BUFFERS: u32 = 60;
const NHI_BUFFERS: u32 = 100;

const LANE_CAPABILITY: usize = 0x10;
const LANE_CS_1: usize = 0x11;
const LANE_CS_1_TARGET_WIDTH: u32 = 0x30;
const LANE_CS_1_TARGET_DUAL: u32 = 0x30;
const LANE_CS_1_LANE_BONDING: u32 = 1 << 15;
const LANE_CS_1_SPEED: u32 = 0xf << 16;
const LANE_CS_1_WIDTH: u32 = 0x3f << 20;
const LANE_CS_1_STATE: u32 = 0xf << 26;
const STATE_UP: u32 = 2 << 26;
const STATE_UNPLUGGED: u32 = 7 << 26;
const TMU_CAPABILITY: usize = 0x20;
const USB4_CAPABILITY: usize = 0x30;
/// Sideband operations.
pub const PORT_CS_1: usize = USB4_CAPABILITY + 1;
/// Pending: the driver started a sideband operation.
pub const PORT_CS_1_PENDING: u32 = 1 << 31;
/// No response: nothing answers on the sideband.
pub const PORT_CS_1_NO_RESPONSE: u32 = 1 << 25;
const PORT_CS_18: usize = USB4_CAPABILITY + 18;
const PORT_CS_18_BONDING_ENABLED: u32 = 1 << 8;
/// Port control.
pub const PORT_CS_19: usize = USB4_CAPABILITY + 19;
/// Downstream port reset.
pub const PORT_CS_19_RESET: u32 = 1;

const HOP_VALID: u32 = 1 << 31;
const HOP_PENDING: u32 = 1 << 28;
/// Credits of the control path, HopID 0.
const CONTROL_CREDITS: u32 = 2;

/// What an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    /// Lane 0 of a port: carries the link.
    Lane0,
    /// Lane 1 of a port: joins in when the lanes are bonded.
    Lane1,
    /// Towards the host's memory.
    Nhi,
}

/// Signalling rate of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum LaneSpeed {
    /// Gen 2, 10 Gb/s per lane.
    #[serde(rename = "10G")]
    Gen2,
    /// Gen 3, 20 Gb/s per lane.
    #[default]
    #[serde(rename = "20G")]
    Gen3,
}

impl LaneSpeed {
    fn bits(self) -> u32 {
        match self {
            LaneSpeed::Gen2 => 0x8 << 16,
            LaneSpeed::Gen3 => 0x4 << 16,
        }
    }
}

/// Where a path entry sends its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// Adapter through which frames leave the router.
    pub adapter: usize,
    /// HopID there: that of the cable's far end, or an NHI ring.
    pub hop: usize,
}

/// One adapter with its configuration space and path table.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// What it is.
    pub kind: AdapterKind,
    /// Configuration space (space 1).
    pub config: ConfigSpace,
    /// Path table (space 0), two words per HopID.
    pub hops: ConfigSpace,
}

impl Adapter {
    /// A lane adapter after reset, number `number` of its router, with no link.
    pub fn lane(number: usize, kind: AdapterKind) -> Adapter {
        let mut adapter = Adapter::blank(number, kind, 1, LANE_HOPS);
        let config = &mut adapter.config;
        config.define(ADP_CS_1, LANE_CAPABILITY as u32, 0);
        config.define(ADP_CS_4, LANE_BUFFERS << 20 | ADP_CS_4_LOCKED, ADP_CS_4_LOCKED);
        let max_hop = LANE_HOPS as u32 - 1;
        config.define(ADP_CS_5, max_hop | max_hop << 11 | ADP_CS_5_DISABLE_HOT_PLUG, ADP_CS_5_DISABLE_HOT_PLUG);
        // Supports 10 and 20 Gb/s, one and two lanes.
        config.define(LANE_CAPABILITY, TMU_CAPABILITY as u32 | 0x01 << 8 | 0xc << 16 | 3 << 20, 0);
        config.define(LANE_CS_1, 0xc | 1 << 4 | LaneSpeed::Gen3.bits() | 1 << 20 | STATE_UNPLUGGED, 0xffff);
        let next = if kind == AdapterKind::Lane0 { USB4_CAPABILITY as u32 } else { 0 };
        config.define(TMU_CAPABILITY, next | 0x03 << 8, 0);
        if kind == AdapterKind::Lane0 {
            config.define(USB4_CAPABILITY, 0x06 << 8, 0);
            config.define(PORT_CS_18, PORT_CS_18_BONDING_ENABLED, 0);
            adapter.hops.set(0, CONTROL_CREDITS << 17);
        }
        adapter
    }

    /// The NHI adapter after reset, number `number` of its router, in front of `rings` rings.
    pub fn nhi(number: usize, rings: usize) -> Adapter {
        let mut adapter = Adapter::blank(number, AdapterKind::Nhi, 2, rings);
        adapter.config.define(ADP_CS_4, NHI_BUFFERS << 20, 0);
        let max_hop = rings as u32 - 1;
        adapter.config.define(ADP_CS_5, max_hop | max_hop << 11, 0);
        adapter
    }

    fn blank(number: usize, kind: AdapterKind, protocol: u32, hops: usize) -> Adapter {
        let mut config = ConfigSpace::new(ADAPTER_WORDS);
        config.define(0, u32::from(VENDOR_ID) | u32::from(DEVICE_ID) << 16, 0);
        config.define(ADP_CS_1, 0, 0);
        config.define(ADP_CS_2, protocol | USB4_VERSION << 24, 0);
        config.define(ADP_CS_3, (number as u32) << 20, !(0x3f << 20));
        let mut table = ConfigSpace::new(2 * hops);
        for hop in 0..hops {
            // A frame is through as soon as it was sent, so no path is ever pending.
            table.define(2 * hop + 1, 0, !HOP_PENDING);
        }
        Adapter { kind, config, hops: table }
    }

    /// Where frames with HopID `hop` go, if that path is enabled.
    pub fn next_hop(&self, hop: usize) -> Option<NextHop> {
        let entry = self.hops.get(hop.checked_mul(2)?);
        (entry & HOP_VALID != 0)
            .then_some(NextHop { adapter: (entry >> 11 & 0x3f) as usize, hop: (entry & 0x7ff) as usize })
    }

    /// Shows the link as up at `speed` on one lane, or as down. Bonding ends with the link.
    pub fn set_link(&mut self, up: bool, speed: LaneSpeed) {
        let state = if up { STATE_UP } else { STATE_UNPLUGGED };
        let mask = LANE_CS_1_STATE | LANE_CS_1_SPEED | LANE_CS_1_WIDTH | LANE_CS_1_LANE_BONDING;
        self.config.set_bits(LANE_CS_1, mask, state | speed.bits() | 1 << 20);
    }

    /// Whether the driver asked for bonding on this side.
    pub fn starts_bonding(&self) -> bool {
        self.config.get(LANE_CS_1) & LANE_CS_1_LANE_BONDING != 0
    }

    /// Whether the driver agrees to two lanes on this side.
    pub fn targets_dual(&self) -> bool {
        self.config.get(LANE_CS_1) & LANE_CS_1_TARGET_WIDTH == LANE_CS_1_TARGET_DUAL
    }

    /// Lanes in use: 1 or 2.
    pub fn width_lanes(&self) -> u32 {
        (self.config.get(LANE_CS_1) & LANE_CS_1_WIDTH) >> 20
    }

    /// Shows `lanes` (1 or 2) as the negotiated width.
    pub fn set_width_lanes(&mut self, lanes: u32) {
        self.config.set_bits(LANE_CS_1, LANE_CS_1_WIDTH, lanes << 20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_adapters_capabilities_are_found_by_walking_them() {
        let lane = Adapter::lane(1, AdapterKind::Lane0);
        let (mut next, mut ids) = (lane.config.get(1) & 0xff, Vec::new());
        while next != 0 {
            let header = lane.config.get(next as usize);
            ids.push(header >> 8 & 0xff);
            next = header & 0xff;
        }
        assert_eq!(ids, [0x01, 0x03, 0x06], "PHY, TMU, USB4 port");
        assert_eq!(lane.config.get(2) & 0xff_ffff, 1);
        assert_eq!(lane.config.get(4) >> 20 & 0x3ff, 60);
        assert_eq!((lane.config.get(5) & 0x7ff, lane.config.get(5) >> 11 & 0x7ff), (63, 63));
        assert_ne!(lane.config.get(PORT_CS_18) & 1 << 8, 0, "bonding can be enabled");
        let second = Adapter::lane(2, AdapterKind::Lane1);
        assert_eq!(second.config.get(0x20) & 0xff, 0, "the second lane has no USB4 port");
    }

    #[test]
    fn the_nhi_adapter_has_a_hop_per_ring_and_is_never_pending() {
        let mut nhi = Adapter::nhi(3, 12);
        assert_eq!(nhi.config.get(2) & 0xff_ffff, 2);
        assert_eq!(nhi.config.get(5) & 0x7ff, 11);
        nhi.hops.write(3, !0);
        assert_eq!(nhi.hops.get(3) & 1 << 28, 0);
    }

    #[test]
    fn the_driver_cannot_write_the_link_state() {
        let mut lane = Adapter::lane(1, AdapterKind::Lane0);
        lane.set_link(true, LaneSpeed::Gen2);
        lane.config.write(0x11, 0);
        assert_eq!(lane.config.get(0x11) >> 16, 2 << 10 | 1 << 4 | 0x8);
        lane.config.write(0x11, 1 << 15 | 0x30);
        assert!(lane.starts_bonding() && lane.targets_dual());
        lane.set_link(false, LaneSpeed::Gen3);
        assert_eq!(lane.config.get(0x11) >> 26 & 0xf, 7);
        assert!(!lane.starts_bonding());
    }

    #[test]
    fn only_a_valid_path_entry_leads_on() {
        let mut lane = Adapter::lane(1, AdapterKind::Lane0);
        lane.hops.write(16, 5 | 3 << 11);
        assert_eq!(lane.next_hop(8), None);
        lane.hops.write(16, 5 | 3 << 11 | 1 << 31);
        assert_eq!(lane.next_hop(8), Some(NextHop { adapter: 3, hop: 5 }));
        assert_eq!(lane.next_hop(64), None);
        assert_eq!(lane.next_hop(usize::MAX), None);
    }
}
