//! The router of one host: its own configuration space and its adapters.
//!
//! Adapters are numbered as the kernel expects them: for port `p`, lane 0 is `1 + 2p` and lane 1 is `2 + 2p`; the NHI adapter, which
//! is also the upstream adapter of a host router, comes last.

use crate::adapter::{
    Adapter, AdapterKind, LaneSpeed, PORT_CS_1, PORT_CS_1_NO_RESPONSE, PORT_CS_1_PENDING, PORT_CS_19, PORT_CS_19_RESET,
    USB4_VERSION,
};
use crate::config::ConfigSpace;
use crate::control::{Address, ConfigError};
use crate::pci::{DEVICE_ID, VENDOR_ID};

/// Most ports of a router. Each has two lane adapters.
pub const MAX_PORTS: usize = 4;

const ROUTER_WORDS: usize = 0x80;
const TMU_CAPABILITY: usize = 0x40;
const CS_5: usize = 5;
const CS_5_SLEEP: u32 = 1;
const CS_6: usize = 6;
const CS_6_SLEEP_READY: u32 = 1;
const CS_6_ROUTER_READY: u32 = 1 << 24;
const CS_6_CONFIGURATION_READY: u32 = 1 << 25;
const CS_9: usize = 9;
const CS_25: usize = 25;
const CS_26: usize = 26;
const CS_26_OPERATION_VALID: u32 = 1 << 31;
const CS_26_NOT_SUPPORTED: u32 = 1 << 30;
const OPERATION_BUFFER_ALLOCATION: u32 = 0x33;
/// Buffer allocation, one entry: index 5 (baMaxHI, buffers for host interface frames), 32 buffers.
const BUFFERS_FOR_HOST_INTERFACE: u32 = 5 | 32 << 16;
/// High word of the router's unique id: locally chosen, so that no real router has it.
const UID_HIGH: u32 = 0xa200_0000;
const UID_LOW: u32 = 0x5151;

/// What a configuration write sets off outside the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterEffect {
    /// The driver changed what it wants of a port's lanes.
    LanesChanged {
        /// Port index, from 0.
        port: usize,
    },
    /// The driver ended a downstream port reset: the link trains anew.
    PortReset {
        /// Port index, from 0.
        port: usize,
    },
}

/// A host router.
#[derive(Debug, Clone)]
pub struct Router {
    config: ConfigSpace,
    adapters: Vec<Adapter>,
    ports: usize,
}

impl Router {
    /// A router after reset with `ports` ports, in front of `rings` rings; `identity` makes its unique id.
    pub fn new(identity: u32, ports: usize, rings: usize) -> Router {
        let ports = ports.clamp(1, MAX_PORTS);
        let upstream = 2 * ports + 1;
        let mut config = ConfigSpace::new(ROUTER_WORDS);
        config.define(0, u32::from(VENDOR_ID) | u32::from(DEVICE_ID) << 16, 0);
        // First capability, upstream adapter, highest adapter, revision; the depth (22:20) is the driver's.
        let identification = TMU_CAPABILITY as u32 | (upstream as u32) << 8 | (upstream as u32) << 14 | 1 << 24;
        config.define(1, identification, 0x0070_0000);
        config.define(4, USB4_VERSION << 24, 0x00ff_ffff);
        config.define(CS_6, CS_6_ROUTER_READY | CS_6_CONFIGURATION_READY, 0);
        config.define(7, UID_LOW.wrapping_add(identity), 0);
        config.define(8, UID_HIGH, 0);
        config.define(TMU_CAPABILITY, 0x03 << 8, 0);
        let mut adapters = Vec::new();
        for port in 0..ports {
            adapters.push(Adapter::lane(lane0(port), AdapterKind::Lane0));
            adapters.push(Adapter::lane(lane0(port) + 1, AdapterKind::Lane1));
        }
        adapters.push(Adapter::nhi(upstream, rings));
        Router { config, adapters, ports }
    }

    /// Number of ports.
    pub fn ports(&self) -> usize {
        self.ports
    }

    /// Number of the NHI adapter.
    pub fn upstream(&self) -> usize {
        2 * self.ports + 1
    }

    /// The adapter with that number; adapter 0 is the router itself and has no space of its own.
    pub fn adapter(&self, number: usize) -> Option<&Adapter> {
        self.adapters.get(number.checked_sub(1)?)
    }

    /// Lane 0 of a port.
    pub fn port(&self, port: usize) -> Option<&Adapter> {
        (port < self.ports).then(|| self.adapter(lane0(port))).flatten()
    }

    /// Shows both lanes of a port as up at `speed`, or as down.
    pub fn set_link(&mut self, port: usize, up: bool, speed: LaneSpeed) {
        for number in [lane0(port), lane0(port) + 1] {
            if let Some(adapter) = self.adapter_mut(number) {
                adapter.set_link(up, speed);
            }
        }
    }

    /// Shows `lanes` (1 or 2) as the width of a port's link.
    pub fn set_width_lanes(&mut self, port: usize, lanes: u32) {
        if let Some(adapter) = self.adapter_mut(lane0(port)) {
            adapter.set_width_lanes(lanes);
        }
    }

    /// Answers a read of `address`.
    ///
    /// # Errors
    /// [`ConfigError`] when adapter, space or range do not exist.
    pub fn read(&self, address: Address) -> Result<Vec<u32>, ConfigError> {
        let space = self.space(address)?;
        let range = address.offset_words..address.offset_words + address.len_words;
        Ok(range.map(|index| space.get(index)).collect())
    }

    /// Carries out a write of `data` at `address`. Words that the packet does not hold are not written.
    ///
    /// # Errors
    /// [`ConfigError`] when adapter, space or range do not exist; nothing is then written.
    pub fn write(&mut self, address: Address, data: &[u32]) -> Result<Vec<RouterEffect>, ConfigError> {
        self.space(address)?;
        let mut effects = Vec::new();
        for (index, &value) in (address.offset_words..).zip(data.iter().take(address.len_words)) {
            match address.space {
                2 => self.write_router(index, value),
                1 => effects.extend(self.write_adapter(address.adapter, index, value)),
                _ => {
                    if let Some(adapter) = self.adapter_mut(address.adapter) {
                        adapter.hops.write(index, value);
                    }
                }
            }
        }
        Ok(effects)
    }

    fn space(&self, address: Address) -> Result<&ConfigSpace, ConfigError> {
        let space = match (address.space, address.adapter) {
            (2, 0) => &self.config,
            (2, _) | (3, _) => return Err(ConfigError::InvalidConfigSpace),
            (space, number) => {
                let adapter = self.adapter(number).ok_or(ConfigError::InvalidConfigSpace)?;
                if space == 0 { &adapter.hops } else { &adapter.config }
            }
        };
        if address.offset_words + address.len_words > space.len_words() {
            return Err(ConfigError::InvalidConfigSpace);
        }
        Ok(space)
    }

    fn adapter_mut(&mut self, number: usize) -> Option<&mut Adapter> {
        self.adapters.get_mut(number.checked_sub(1)?)
    }

    fn write_router(&mut self, index: usize, value: u32) {
        self.config.write(index, value);
        match index {
            CS_5 => {
                let ready = if value & CS_5_SLEEP != 0 { CS_6_SLEEP_READY } else { 0 };
                self.config.set_bits(CS_6, CS_6_SLEEP_READY, ready);
            }
            CS_26 if value & CS_26_OPERATION_VALID != 0 => self.run_operation(value & 0xffff),
            _ => {}
        }
    }

    fn run_operation(&mut self, opcode: u32) {
        if opcode == OPERATION_BUFFER_ALLOCATION {
            self.config.set(CS_25, 1);
            self.config.set(CS_9, BUFFERS_FOR_HOST_INTERFACE);
            self.config.set(CS_26, opcode);
        } else {
            self.config.set(CS_26, opcode | CS_26_NOT_SUPPORTED);
        }
    }

    fn write_adapter(&mut self, number: usize, index: usize, value: u32) -> Option<RouterEffect> {
        const LANE_CS_1: usize = 0x11;
        let adapter = self.adapter_mut(number)?;
        let old = adapter.config.write(index, value);
        if adapter.kind != AdapterKind::Lane0 {
            return None;
        }
        let port = (number - 1) / 2;
        match index {
            LANE_CS_1 => Some(RouterEffect::LanesChanged { port }),
            PORT_CS_1 if value & PORT_CS_1_PENDING != 0 => {
                adapter.config.set(PORT_CS_1, value & !PORT_CS_1_PENDING | PORT_CS_1_NO_RESPONSE);
                None
            }
            PORT_CS_19 if old & PORT_CS_19_RESET != 0 && value & PORT_CS_19_RESET == 0 => {
                Some(RouterEffect::PortReset { port })
            }
            _ => None,
        }
    }
}

/// Number of the lane 0 adapter of a port.
pub fn lane0(port: usize) -> usize {
    1 + 2 * port
}

/// The port whose lane 0 adapter has that number, on a router with `ports` ports.
pub fn port_of_lane0(number: usize, ports: usize) -> Option<usize> {
    (0..ports).find(|&port| lane0(port) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(space: u32, adapter: usize, offset_words: usize, len_words: usize) -> Address {
        Address { offset_words, len_words, adapter, space }
    }

    fn word(router: &Router, space: u32, adapter: usize, index: usize) -> u32 {
        router.read(at(space, adapter, index, 1)).expect("exists")[0]
    }

    #[test]
    fn router_space_says_what_the_core_looks_for() {
        for ports in [1, 2] {
            let router = Router::new(3, ports, 12);
            let identification = word(&router, 2, 0, 1);
            assert_eq!(identification & 0xff, 0x40, "first capability");
            assert_eq!(identification >> 8 & 0x3f, 2 * ports as u32 + 1, "upstream adapter");
            assert_eq!(identification >> 14 & 0x3f, 2 * ports as u32 + 1, "highest adapter");
            assert_eq!(word(&router, 2, 0, 4) >> 24, 0x20);
            assert_eq!(word(&router, 2, 0, 6) >> 24, 3, "RR and CR");
            assert_eq!(word(&router, 2, 0, 0x40) >> 8 & 0xff, 0x03, "TMU");
        }
        assert_ne!(word(&Router::new(0, 1, 12), 2, 0, 7), word(&Router::new(1, 1, 12), 2, 0, 7), "unique ids");
    }

    #[test]
    fn identity_is_read_only() {
        let mut router = Router::new(0, 1, 12);
        let before = router.read(at(2, 0, 0, 9)).expect("exists");
        router.write(at(2, 0, 0, 9), &[!0; 9]).expect("exists");
        let after = router.read(at(2, 0, 0, 9)).expect("exists");
        for index in [0, 6, 7, 8] {
            // SLPR follows CS_5.SLP, the rest of word 6 does not move.
            assert_eq!(before[index], after[index] & !u32::from(index == 6), "word {index}");
        }
        assert_eq!((before[1] ^ after[1]) & !0x0070_0000, 0);
        assert_eq!(before[4] >> 24, after[4] >> 24);
    }

    #[test]
    fn sleep_ready_follows_sleep() {
        let mut router = Router::new(0, 1, 12);
        router.write(at(2, 0, 5, 1), &[1]).expect("exists");
        assert_eq!(word(&router, 2, 0, 6) & 1, 1);
        router.write(at(2, 0, 5, 1), &[0]).expect("exists");
        assert_eq!(word(&router, 2, 0, 6) & 1, 0);
    }

    #[test]
    fn router_operations_are_answered() {
        let mut router = Router::new(0, 1, 12);
        router.write(at(2, 0, 26, 1), &[1 << 31 | 0x33]).expect("exists");
        assert_eq!(word(&router, 2, 0, 26), 0x33);
        assert_eq!((word(&router, 2, 0, 25), word(&router, 2, 0, 9)), (1, 5 | 32 << 16));
        router.write(at(2, 0, 26, 1), &[1 << 31 | 0x10]).expect("exists");
        assert_eq!(word(&router, 2, 0, 26), 0x10 | 1 << 30);
    }

    #[test]
    fn sideband_operations_get_no_response() {
        let mut router = Router::new(0, 1, 12);
        router.write(at(1, 1, 0x31, 1), &[1 << 31 | 5]).expect("exists");
        assert_eq!(word(&router, 1, 1, 0x31), 1 << 25 | 5);
    }

    #[test]
    fn the_end_of_a_port_reset_is_told() {
        let mut router = Router::new(0, 2, 12);
        assert_eq!(router.write(at(1, 3, 0x43, 1), &[1]), Ok(vec![]));
        assert_eq!(router.write(at(1, 3, 0x43, 1), &[0]), Ok(vec![RouterEffect::PortReset { port: 1 }]));
        assert_eq!(router.write(at(1, 3, 0x43, 1), &[0]), Ok(vec![]));
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        let mut router = Router::new(0, 1, 12);
        for address in [
            at(2, 1, 0, 1),
            at(3, 1, 0, 1),
            at(1, 0, 0, 1),
            at(1, 4, 0, 1),
            at(0, 63, 0, 1),
            at(2, 0, 0x7f, 2),
            at(0, 3, 24, 1),
        ] {
            assert_eq!(router.read(address), Err(ConfigError::InvalidConfigSpace), "{address:?}");
            assert_eq!(router.write(address, &[1, 1]), Err(ConfigError::InvalidConfigSpace), "{address:?}");
        }
        assert_eq!(router.write(at(2, 0, 5, 3), &[]), Ok(vec![]), "a write without data writes nothing");
    }
}
