//! Where a channel is, as UCX carries it between processes: a device address and an interface address.

use usb4_wire::{Address, ChannelId, NodeId};

/// Bytes of a packed [`FabricAddress`].
pub const DEVICE_ADDR_LEN: usize = 12;
/// Bytes of a packed [`PortAddress`].
pub const IFACE_ADDR_LEN: usize = 14;

/// The device address: which fabric, and which node of it. Ports of different fabrics cannot reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FabricAddress {
    /// Identity of the fabric: random for each simulated one, a constant of the protocol for real cables.
    pub fabric: u64,
    /// The node inside it.
    pub node: NodeId,
}

/// The interface address: one opening of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAddress {
    /// Node and channel.
    pub address: Address,
    /// Random for each opening, so that a restarted process is never taken for the one before it.
    pub incarnation: u64,
}

impl FabricAddress {
    /// Little-endian bytes, the same on every machine.
    pub fn pack(&self) -> [u8; DEVICE_ADDR_LEN] {
        let mut bytes = [0; DEVICE_ADDR_LEN];
        bytes[..8].copy_from_slice(&self.fabric.to_le_bytes());
        bytes[8..].copy_from_slice(&self.node.0.to_le_bytes());
        bytes
    }

    /// The inverse of [`pack`](Self::pack).
    pub fn unpack(bytes: &[u8; DEVICE_ADDR_LEN]) -> Self {
        let (fabric, node) = bytes.split_at(8);
        Self {
            fabric: u64::from_le_bytes(fabric.try_into().expect("eight bytes")),
            node: NodeId(u32::from_le_bytes(node.try_into().expect("four bytes"))),
        }
    }
}

impl PortAddress {
    /// Little-endian bytes, the same on every machine.
    pub fn pack(&self) -> [u8; IFACE_ADDR_LEN] {
        let mut bytes = [0; IFACE_ADDR_LEN];
        bytes[..4].copy_from_slice(&self.address.node.0.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.address.channel.0.to_le_bytes());
        bytes[6..].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes
    }

    /// The inverse of [`pack`](Self::pack).
    pub fn unpack(bytes: &[u8; IFACE_ADDR_LEN]) -> Self {
        let (node, rest) = bytes.split_at(4);
        let (channel, incarnation) = rest.split_at(2);
        Self {
            address: Address {
                node: NodeId(u32::from_le_bytes(node.try_into().expect("four bytes"))),
                channel: ChannelId(u16::from_le_bytes(channel.try_into().expect("two bytes"))),
            },
            incarnation: u64::from_le_bytes(incarnation.try_into().expect("eight bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_survive_the_trip(fabric: u64, node: u32, channel: u16, incarnation: u64) {
            let device = FabricAddress { fabric, node: NodeId(node) };
            prop_assert_eq!(FabricAddress::unpack(&device.pack()), device);
            let port = PortAddress { address: Address { node: NodeId(node), channel: ChannelId(channel) }, incarnation };
            prop_assert_eq!(PortAddress::unpack(&port.pack()), port);
        }
    }
}
