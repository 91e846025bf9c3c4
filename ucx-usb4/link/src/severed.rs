//! A channel that leads nowhere: what a forked child is left with, since rings and pools are its parent's.

use std::os::fd::RawFd;

use crate::{
    Address, ArmResult, Board, Carrier, Channel, Counters, FabricId, HEADER_LEN, Limits, LinkEvent, NodeId, RailId,
    RailInfo, RailSet, Reaped, RxFrame, SubmitError, TxFrame,
};

/// It answers what can be asked as the channel did that it stands for; it has no frames, takes none, and its time stands still.
#[derive(Debug)]
pub struct SeveredChannel {
    address: Address,
    incarnation: u64,
    fabric: FabricId,
    limits: Limits,
    event_fd: RawFd,
    board: Board,
    now_ns: u64,
}

impl SeveredChannel {
    /// In the place of a channel of the parent's. Only what never changes is read there: a thread that does not exist here may have left
    /// the rest in the middle of something.
    pub(crate) fn new(of: &Channel) -> SeveredChannel {
        SeveredChannel {
            address: of.address(),
            incarnation: of.incarnation(),
            fabric: of.fabric(),
            limits: of.limits(),
            event_fd: of.event_fd(),
            board: of.board(),
            now_ns: of.now_ns(),
        }
    }
}

impl Carrier for SeveredChannel {
    fn address(&self) -> Address {
        self.address
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn fabric(&self) -> FabricId {
        self.fabric
    }

    fn rails(&self) -> &[RailInfo] {
        &[]
    }

    fn rails_to(&self, _node: NodeId) -> RailSet {
        RailSet::EMPTY
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn alloc(&mut self) -> Option<TxFrame> {
        None
    }

    fn free(&mut self, _frame: TxFrame) {}

    fn abandon(&mut self, _frame: TxFrame, _dst: Address) {}

    fn payload_mut(&mut self, _frame: TxFrame) -> *mut u8 {
        unreachable!("it has no frames")
    }

    fn cost_ns(&self, _now_ns: u64, _rail: RailId, _len_bytes: usize) -> Option<u64> {
        None
    }

    fn submit(
        &mut self,
        _now_ns: u64,
        _rail: RailId,
        _dst: Address,
        _header: &[u8; HEADER_LEN],
        _frame: TxFrame,
        _payload_len: usize,
    ) -> Result<(), SubmitError> {
        Err(SubmitError::RailDown)
    }

    fn submit_control(
        &mut self,
        _now_ns: u64,
        _rail: RailId,
        _dst: Address,
        _header: &[u8; HEADER_LEN],
        _payload: &[u8],
    ) -> Result<(), SubmitError> {
        Err(SubmitError::RailDown)
    }

    fn doorbell(&mut self) {}

    fn reap(&mut self, _now_ns: u64) -> Option<Reaped> {
        None
    }

    fn payload(&self, _frame: RxFrame) -> *const u8 {
        unreachable!("nothing arrives")
    }

    fn copy_control(&self, _frame: RxFrame, _len_bytes: usize, _out: &mut [u8; 64]) -> usize {
        0
    }

    fn release(&mut self, _frame: RxFrame) {
        // What the child's copy of the parent's call still holds is the parent's.
    }

    fn event_fd(&self) -> RawFd {
        self.event_fd
    }

    fn arm(&mut self, _deadline_ns: Option<u64>) -> ArmResult {
        ArmResult::Armed
    }

    fn disarm(&mut self) {}

    fn is_armed(&self) -> bool {
        false
    }

    fn alert(&mut self) {}

    fn poll_event(&mut self, _now_ns: u64) -> Option<LinkEvent> {
        None
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn board(&self) -> Board {
        self.board.clone()
    }
}
