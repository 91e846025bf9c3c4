//! The native host interface: descriptor rings and interrupts behind BAR 0.
//!
//! A transmit ring's driver moves the producer index (bits 31:16 of the index word), the device the consumer index (15:0). A receive
//! ring's driver moves the consumer index (15:0), which is how far buffers are posted, the device the producer index (31:16).

use log::warn;

use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor, Frame, MAX_FRAME_BYTES};
use crate::memory::{DmaFault, GuestMemory};
use crate::registers::{
    BAR_SIZE_BYTES, Direction, MAX_RINGS, OPTION_E2E, OPTION_ENABLE, OPTION_RAW, RESET_HOST_ROUTER, Register,
};

/// What the fabric has to do after a register write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteEffect {
    /// Nothing.
    None,
    /// Rings may have work, or an interrupt may be due.
    Kick,
    /// The driver asked for a host router reset.
    HostReset,
}

/// Why a ring did not take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The ring is not enabled, or does not exist.
    Disabled,
    /// The frame's SOF or EOF is not in the ring's masks.
    Masked,
    /// No descriptor is posted, or the ring is stalled by a fault.
    NoDescriptor,
    /// The descriptor or its buffer is not mapped.
    Dma(DmaFault),
}

/// A transmit descriptor and its frame, copied out of the guest but not yet completed.
#[derive(Debug, Clone)]
pub struct Outgoing {
    descriptor: Descriptor,
    address: u64,
    /// The frame, or the fault that reading it gave.
    pub frame: Result<Frame, DmaFault>,
}

#[derive(Debug, Clone, Default)]
struct Ring {
    base: u64,
    /// The index that the driver writes.
    driver: u16,
    /// The index that the device moves.
    device: u16,
    size: u32,
    options: [u32; 8],
    stalled: bool,
    /// Receive descriptors promised to frames that are still on the cable (E2E).
    promised: u16,
}

impl Ring {
    fn enabled(&self) -> bool {
        self.options[0] & OPTION_ENABLE != 0
    }

    fn entries(&self) -> u16 {
        self.size as u16
    }

    /// Descriptors between the device's and the driver's index. An index outside the ring stops it: the real NHI's behaviour is
    /// undefined there, and a model that walked on would never reach the index.
    fn available(&self) -> u16 {
        let entries = self.entries();
        if !self.enabled() || self.stalled || self.driver >= entries || self.device >= entries {
            return 0;
        }
        if self.driver >= self.device { self.driver - self.device } else { entries - self.device + self.driver }
    }

    fn descriptor_address(&self) -> u64 {
        self.base.wrapping_add(u64::from(self.device) * DESCRIPTOR_BYTES)
    }

    fn advance(&mut self) {
        self.device = (self.device + 1) % self.entries().max(1);
    }

    fn restart(&mut self) {
        self.driver = 0;
        self.device = 0;
        self.promised = 0;
    }

    fn max_frame_bytes(&self) -> usize {
        match (self.size >> 16 & 0xfff) as usize {
            0 => MAX_FRAME_BYTES,
            len_bytes => len_bytes,
        }
    }
}

/// The register model of one NHI.
#[derive(Debug, Clone)]
pub struct Nhi {
    tx: Vec<Ring>,
    rx: Vec<Ring>,
    plain: Vec<u32>,
    vectors: [u32; 2 * MAX_RINGS / 8],
    /// One bit per ring: transmit rings first, then receive rings.
    enable: u64,
    pending: u64,
    notify: u64,
    due_vectors: u32,
}

impl Nhi {
    /// An NHI in its reset state with `rings` rings per direction, the control ring included.
    pub fn new(rings: usize) -> Nhi {
        let rings = rings.clamp(2, MAX_RINGS);
        Nhi {
            tx: vec![Ring::default(); rings],
            rx: vec![Ring::default(); rings],
            plain: vec![0; BAR_SIZE_BYTES as usize / 4],
            vectors: [0; 2 * MAX_RINGS / 8],
            enable: 0,
            pending: 0,
            notify: 0,
            due_vectors: 0,
        }
    }

    /// Rings per direction.
    pub fn rings(&self) -> usize {
        self.tx.len()
    }

    /// Reads the register at byte `offset`, a multiple of 4 inside the BAR.
    pub fn read32(&self, offset: u32) -> u32 {
        match Register::decode(offset, self.rings()) {
            Register::Ring(direction, ring, word) => self.read_ring(direction, ring, word),
            Register::Options(direction, ring, word) => self.ring(direction, ring).options[word as usize],
            Register::Notify(half) => (self.notify >> (32 * half)) as u32,
            Register::InterruptEnable(half) => (self.enable >> (32 * half)) as u32,
            Register::NotifyClear(_) | Register::InterruptMaskClear(_) | Register::Reset => 0,
            Register::VectorAllocation(index) => self.vectors[index],
            // Version 0 is below 0x40, so the driver does not ask for a host reset.
            Register::Capabilities => self.rings() as u32,
            Register::Plain(index) => self.plain[index],
        }
    }

    /// Writes the register at byte `offset`, a multiple of 4 inside the BAR.
    pub fn write32(&mut self, offset: u32, value: u32) -> WriteEffect {
        let half_bits = |half: u32| u64::from(value) << (32 * half);
        match Register::decode(offset, self.rings()) {
            Register::Ring(direction, ring, word) => return self.write_ring(direction, ring, word, value),
            Register::Options(direction, ring, word) => return self.write_options(direction, ring, word, value),
            Register::Notify(_) | Register::Capabilities => {}
            Register::NotifyClear(half) => self.notify &= !half_bits(half),
            Register::InterruptEnable(half) => {
                self.enable = self.enable & !(0xffff_ffff << (32 * half)) | half_bits(half);
                return WriteEffect::Kick;
            }
            Register::InterruptMaskClear(half) => self.enable &= !half_bits(half),
            Register::VectorAllocation(index) => self.vectors[index] = value,
            Register::Reset if value & RESET_HOST_ROUTER != 0 => return WriteEffect::HostReset,
            Register::Reset => {}
            Register::Plain(index) => self.plain[index] = value,
        }
        WriteEffect::None
    }

    /// Whether the ring is enabled. A ring that does not exist is not.
    pub fn is_enabled(&self, direction: Direction, ring: usize) -> bool {
        self.rings_of(direction).get(ring).is_some_and(Ring::enabled)
    }

    /// Whether a receive ring asks its sender to wait for descriptors.
    pub fn is_flow_controlled(&self, ring: usize) -> bool {
        self.rx.get(ring).is_some_and(|ring| ring.options[0] & OPTION_E2E != 0)
    }

    /// Posted descriptors of a receive ring that no frame under way is going to take.
    pub fn unpromised(&self, ring: usize) -> u16 {
        self.rx.get(ring).map_or(0, |ring| ring.available().saturating_sub(ring.promised))
    }

    /// Promises one descriptor to a frame that is now on the cable.
    pub fn promise(&mut self, ring: usize) {
        if let Some(ring) = self.rx.get_mut(ring) {
            ring.promised = ring.promised.saturating_add(1);
        }
    }

    /// Takes one promise back: its frame arrived or was lost.
    pub fn redeem(&mut self, ring: usize) {
        if let Some(ring) = self.rx.get_mut(ring) {
            ring.promised = ring.promised.saturating_sub(1);
        }
    }

    /// Stops or resumes a ring without the driver noticing; rings that do not exist are ignored.
    pub fn set_stalled(&mut self, direction: Direction, ring: usize, stalled: bool) {
        let rings = match direction {
            Direction::Transmit => &mut self.tx,
            Direction::Receive => &mut self.rx,
        };
        if let Some(ring) = rings.get_mut(ring) {
            ring.stalled = stalled;
        }
    }

    /// Copies out the next frame that the driver queued on a transmit ring.
    pub fn next_outgoing<M: GuestMemory>(&self, memory: &M, ring: usize) -> Option<Outgoing> {
        let queue = self.tx.get(ring).filter(|queue| queue.available() > 0)?;
        let address = queue.descriptor_address();
        let mut bytes = [0; DESCRIPTOR_BYTES as usize];
        memory.read(address, &mut bytes).ok()?;
        let descriptor = Descriptor::parse(&bytes);
        let mut payload = vec![0; descriptor.len_bytes()];
        let frame = memory.read(descriptor.address, &mut payload).map(|()| Frame {
            bytes: payload,
            sof: descriptor.sof(),
            eof: descriptor.eof(),
            crc_error: false,
        });
        Some(Outgoing { descriptor, address, frame })
    }

    /// Completes what [`Nhi::next_outgoing`] gave.
    pub fn complete_outgoing<M: GuestMemory>(&mut self, memory: &mut M, ring: usize, outgoing: &Outgoing) {
        if let Err(fault) = memory.publish_u32(outgoing.address.wrapping_add(8), outgoing.descriptor.transmitted()) {
            warn!("transmit ring {ring}: {fault}");
        }
        self.tx[ring].advance();
        if outgoing.descriptor.wants_interrupt() {
            self.raise(Direction::Transmit, ring);
        }
    }

    /// Puts a frame into the next posted buffer of a receive ring.
    ///
    /// # Errors
    /// [`Refusal`] says why the ring did not take it.
    pub fn receive<M: GuestMemory>(&mut self, memory: &mut M, ring: usize, frame: &Frame) -> Result<(), Refusal> {
        let queue = self.rx.get(ring).filter(|queue| queue.enabled()).ok_or(Refusal::Disabled)?;
        if queue.options[0] & OPTION_RAW == 0 {
            let (eof_mask, sof_mask) = (queue.options[1] & 0xffff, queue.options[1] >> 16);
            if eof_mask & 1 << (frame.eof & 0xf) == 0 || sof_mask & 1 << (frame.sof & 0xf) == 0 {
                return Err(Refusal::Masked);
            }
        }
        if queue.available() == 0 {
            return Err(Refusal::NoDescriptor);
        }
        let address = queue.descriptor_address();
        let mut bytes = [0; DESCRIPTOR_BYTES as usize];
        memory.read(address, &mut bytes).map_err(Refusal::Dma)?;
        let descriptor = Descriptor::parse(&bytes);
        let stored_bytes = frame.bytes.len().min(queue.max_frame_bytes());
        memory.write(descriptor.address, &frame.bytes[..stored_bytes]).map_err(Refusal::Dma)?;
        memory.publish_u32(address.wrapping_add(8), descriptor.received(frame, stored_bytes)).map_err(Refusal::Dma)?;
        self.rx[ring].advance();
        self.raise(Direction::Receive, ring);
        Ok(())
    }

    /// The next MSI-X vector to signal. Rings that are masked stay pending until their enable bit is set, which is what drivers that
    /// poll between interrupts rely on.
    pub fn poll_interrupt(&mut self) -> Option<u16> {
        let firing = self.pending & self.enable;
        self.pending &= !firing;
        self.notify |= firing;
        for bit in (0..2 * self.rings()).filter(|bit| firing >> bit & 1 != 0) {
            let vector = self.vectors[bit / 8] >> (bit % 8 * 4) & 0xf;
            self.due_vectors |= 1 << vector;
        }
        if self.due_vectors == 0 {
            return None;
        }
        let vector = self.due_vectors.trailing_zeros();
        self.due_vectors &= !(1 << vector);
        Some(vector as u16)
    }

    fn raise(&mut self, direction: Direction, ring: usize) {
        self.pending |= 1 << self.bit(direction, ring);
    }

    fn bit(&self, direction: Direction, ring: usize) -> usize {
        match direction {
            Direction::Transmit => ring,
            Direction::Receive => self.rings() + ring,
        }
    }

    fn rings_of(&self, direction: Direction) -> &[Ring] {
        match direction {
            Direction::Transmit => &self.tx,
            Direction::Receive => &self.rx,
        }
    }

    fn ring(&self, direction: Direction, ring: usize) -> &Ring {
        &self.rings_of(direction)[ring]
    }

    fn ring_mut(&mut self, direction: Direction, ring: usize) -> &mut Ring {
        match direction {
            Direction::Transmit => &mut self.tx[ring],
            Direction::Receive => &mut self.rx[ring],
        }
    }

    fn read_ring(&self, direction: Direction, ring: usize, word: u32) -> u32 {
        let ring = self.ring(direction, ring);
        let (driver, device) = (u32::from(ring.driver), u32::from(ring.device));
        match (word, direction) {
            (0, _) => ring.base as u32,
            (1, _) => (ring.base >> 32) as u32,
            (2, Direction::Transmit) => driver << 16 | device,
            (2, Direction::Receive) => device << 16 | driver,
            _ => ring.size,
        }
    }

    fn write_ring(&mut self, direction: Direction, ring: usize, word: u32, value: u32) -> WriteEffect {
        let ring = self.ring_mut(direction, ring);
        match (word, direction) {
            (0, _) => ring.base = ring.base & !0xffff_ffff | u64::from(value),
            (1, _) => ring.base = ring.base & 0xffff_ffff | u64::from(value) << 32,
            (2, _) => {
                ring.driver = match direction {
                    Direction::Transmit => (value >> 16) as u16,
                    Direction::Receive => value as u16,
                };
                return WriteEffect::Kick;
            }
            _ => ring.size = value,
        }
        WriteEffect::None
    }

    fn write_options(&mut self, direction: Direction, ring: usize, word: u32, value: u32) -> WriteEffect {
        let bit = self.bit(direction, ring);
        let target = self.ring_mut(direction, ring);
        let was_enabled = target.enabled();
        target.options[word as usize] = value;
        if target.enabled() == was_enabled {
            return WriteEffect::Kick;
        }
        target.restart();
        self.pending &= !(1 << bit);
        WriteEffect::Kick
    }
}

#[cfg(test)]
mod tests;
