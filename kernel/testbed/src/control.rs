//! Control packets: what ring 0 of an NHI carries.
//!
//! Source: USB4 specification, chapter "Control packets"; Linux `drivers/thunderbolt/tb_msgs.h` and `ctl.c`. A packet is big-endian
//! 32-bit words with a CRC32C behind them. Words 0 and 1 are the route; bit 31 of word 0 marks a reply.

/// Most words in a packet, without its CRC.
pub const MAX_WORDS: usize = 63;

/// Bit 31 of word 0: a reply, or a packet that travels up.
pub const REPLY: u32 = 1 << 31;
const ROUTE_HIGH_MASK: u32 = 0x003f_ffff;

/// The protocol data field, which travels in the frame's EOF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketType {
    /// Read of a configuration space.
    Read,
    /// Write to a configuration space.
    Write,
    /// An error, or the acknowledgement of a plug event.
    Error,
    /// Acknowledgement of a notification.
    NotificationAck,
    /// Plug event.
    Event,
    /// Request to another host.
    XDomainRequest,
    /// Response to another host.
    XDomainResponse,
}

impl PacketType {
    /// Decodes the EOF of a control frame; `None` for types that this model does not play.
    pub fn from_eof(eof: u8) -> Option<PacketType> {
        Some(match eof {
            1 => PacketType::Read,
            2 => PacketType::Write,
            3 => PacketType::Error,
            4 => PacketType::NotificationAck,
            5 => PacketType::Event,
            6 => PacketType::XDomainRequest,
            7 => PacketType::XDomainResponse,
            _ => return None,
        })
    }

    /// The EOF of a control frame of this type.
    pub fn eof(self) -> u8 {
        match self {
            PacketType::Read => 1,
            PacketType::Write => 2,
            PacketType::Error => 3,
            PacketType::NotificationAck => 4,
            PacketType::Event => 5,
            PacketType::XDomainRequest => 6,
            PacketType::XDomainResponse => 7,
        }
    }
}

/// `enum tb_cfg_error` of the kernel, as far as this model sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// Nothing is plugged into the port that the route names.
    PortNotConnected,
    /// The space or the address does not exist.
    InvalidConfigSpace,
    /// There is no such port; also how a peer's router answers a foreign configuration request.
    NoSuchPort,
}

impl ConfigError {
    fn code(self) -> u32 {
        match self {
            ConfigError::PortNotConnected => 0,
            ConfigError::InvalidConfigSpace => 2,
            ConfigError::NoSuchPort => 4,
        }
    }
}

/// A control packet, CRC checked and taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it is.
    pub kind: PacketType,
    words: Vec<u32>,
}

/// The third word of a configuration request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// First word of the space that is meant.
    pub offset_words: usize,
    /// Number of words, 0..=63.
    pub len_words: usize,
    /// Adapter number.
    pub adapter: usize,
    /// 0 path, 1 adapter, 2 router, 3 counters.
    pub space: u32,
}

impl Packet {
    /// Reads the bytes of a control frame. `None` for what a router would not take up: an unknown type, a bad length or CRC.
    pub fn parse(eof: u8, bytes: &[u8]) -> Option<Packet> {
        let kind = PacketType::from_eof(eof)?;
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let len_words = body.len() / 4;
        if body.len() % 4 != 0
            || !(2..=MAX_WORDS).contains(&len_words)
            || crc32c::crc32c(body) != u32::from_be_bytes(*crc)
        {
            return None;
        }
        let words =
            body.chunks_exact(4).map(|word| word.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))).collect();
        Some(Packet { kind, words })
    }

    /// The bytes of a control frame, CRC included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// The route that the packet names: one byte per hop, lowest byte first.
    pub fn route(&self) -> u64 {
        u64::from(self.words[0] & ROUTE_HIGH_MASK) << 32 | u64::from(self.words[1])
    }

    /// The address word of a configuration request, if there is one.
    pub fn address(&self) -> Option<Address> {
        let word = *self.words.get(2)?;
        Some(Address {
            offset_words: (word & 0x1fff) as usize,
            len_words: (word >> 13 & 0x3f) as usize,
            adapter: (word >> 19 & 0x3f) as usize,
            space: word >> 25 & 3,
        })
    }

    /// The words behind the address word: the data of a write.
    pub fn data(&self) -> &[u32] {
        self.words.get(3..).unwrap_or(&[])
    }

    /// The answer to a configuration request: its header and address echoed, the adapter replaced by the one the answer leaves
    /// through.
    pub fn reply(&self, upstream_adapter: usize, data: &[u32]) -> Packet {
        let address = self.words.get(2).copied().unwrap_or(0) & !(0x3f << 19) | (upstream_adapter as u32 & 0x3f) << 19;
        let mut words = vec![self.words[0] | REPLY, self.words[1], address];
        words.extend(data);
        Packet { kind: self.kind, words }
    }

    /// The error packet that answers this request.
    pub fn error(&self, adapter: usize, error: ConfigError) -> Packet {
        let words =
            vec![self.words[0] & ROUTE_HIGH_MASK | REPLY, self.words[1], error.code() | (adapter as u32 & 0x3f) << 8];
        Packet { kind: PacketType::Error, words }
    }

    /// The packet as it arrives at the other end of a cable, whose adapter is `adapter`.
    pub fn across(mut self, adapter: usize) -> Packet {
        self.words[0] = REPLY;
        self.words[1] = adapter as u32;
        self
    }

    /// A plug event of the host router.
    pub fn plug_event(adapter: usize, unplug: bool) -> Packet {
        let words = vec![REPLY, 0, adapter as u32 & 0x3f | u32::from(unplug) << 31];
        Packet { kind: PacketType::Event, words }
    }

    /// A configuration request as a driver sends it. For tests and fuzzing.
    pub fn request(kind: PacketType, route: u64, address: Address, data: &[u32]) -> Packet {
        let word = address.offset_words as u32 & 0x1fff
            | (address.len_words as u32 & 0x3f) << 13
            | (address.adapter as u32 & 0x3f) << 19
            | (address.space & 3) << 25;
        let mut words = vec![(route >> 32) as u32 & ROUTE_HIGH_MASK, route as u32, word];
        words.extend(data);
        Packet { kind, words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address { offset_words: 0x11, len_words: 1, adapter: 1, space: 1 };

    #[test]
    fn bytes_are_big_endian_with_a_crc32c_behind() {
        let bytes = Packet::plug_event(1, true).to_bytes();
        assert_eq!(bytes[..12], [0x80, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 1]);
        assert_eq!(bytes.len(), 16);
        // The check value of CRC-32C, which says that the crate computes the same polynomial as the kernel's crc32c_le.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(Packet::parse(5, &bytes), Some(Packet::plug_event(1, true)));
    }

    #[test]
    fn a_bad_crc_length_or_type_is_not_taken_up() {
        let good = Packet::request(PacketType::Read, 0, ADDRESS, &[]).to_bytes();
        assert!(Packet::parse(1, &good).is_some());
        assert!(Packet::parse(0, &good).is_none());
        assert!(Packet::parse(1, &good[..15]).is_none());
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            assert!(Packet::parse(1, &bad).is_none(), "byte {index}");
        }
        let mut long = vec![0; 4 * (MAX_WORDS + 1)];
        long.extend(crc32c::crc32c(&long).to_be_bytes());
        assert!(Packet::parse(1, &long).is_none());
    }

    #[test]
    fn a_reply_echoes_the_address_with_the_upstream_adapter() {
        let request = Packet::request(PacketType::Read, 0, ADDRESS, &[]);
        assert_eq!(request.address(), Some(ADDRESS));
        let reply = request.reply(3, &[7]);
        assert_eq!(reply.words[0], REPLY);
        assert_eq!(reply.address(), Some(Address { adapter: 3, ..ADDRESS }));
        assert_eq!(reply.data(), [7]);
    }

    #[test]
    fn across_a_cable_the_route_is_the_peers_adapter() {
        let request = Packet::request(PacketType::XDomainRequest, 0x2_0000_0001, ADDRESS, &[1, 2]);
        assert_eq!(request.route(), 0x2_0000_0001);
        let arrived = request.across(3);
        assert_eq!((arrived.words[0], arrived.route(), arrived.data()), (REPLY, 3, &[1, 2][..]));
    }

    #[test]
    fn an_error_names_code_and_adapter() {
        let error = Packet::request(PacketType::Read, 1, ADDRESS, &[]).error(1, ConfigError::NoSuchPort);
        assert_eq!(error.words, [REPLY, 1, 4 | 1 << 8]);
    }
}
