//! A channel on a simulated cable.

use std::convert::Infallible;
use std::os::fd::RawFd;

use crate::{
    Address, ArmResult, Carrier, ConnectionStats, Counters, FabricId, HEADER_LEN, Limits, LinkEvent, NodeId, OpenError,
    OpenOptions, RailId, RailInfo, RailSet, Reaped, RxFrame, SubmitError, TxFrame,
};

/// A channel on a simulated cable.
#[derive(Debug)]
pub struct SimChannel {
    never: Infallible,
}

impl SimChannel {
    pub(crate) fn open(_options: &OpenOptions) -> Result<SimChannel, OpenError> {
        Err(OpenError::NoDevice)
    }
}

impl Carrier for SimChannel {
    fn address(&self) -> Address {
        match self.never {}
    }

    fn incarnation(&self) -> u64 {
        match self.never {}
    }

    fn fabric(&self) -> FabricId {
        match self.never {}
    }

    fn rails(&self) -> &[RailInfo] {
        match self.never {}
    }

    fn rails_to(&self, _node: NodeId) -> RailSet {
        match self.never {}
    }

    fn limits(&self) -> Limits {
        match self.never {}
    }

    fn now_ns(&self) -> u64 {
        match self.never {}
    }

    fn alloc(&mut self) -> Option<TxFrame> {
        match self.never {}
    }

    fn free(&mut self, _frame: TxFrame) {
        match self.never {}
    }

    fn abandon(&mut self, _frame: TxFrame, _dst: Address) {
        match self.never {}
    }

    fn payload_mut(&mut self, _frame: TxFrame) -> *mut u8 {
        match self.never {}
    }

    fn cost_ns(&self, _now_ns: u64, _rail: RailId, _len_bytes: usize) -> Option<u64> {
        match self.never {}
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
        match self.never {}
    }

    fn submit_control(
        &mut self,
        _now_ns: u64,
        _rail: RailId,
        _dst: Address,
        _header: &[u8; HEADER_LEN],
        _payload: &[u8],
    ) -> Result<(), SubmitError> {
        match self.never {}
    }

    fn reap(&mut self, _now_ns: u64) -> Option<Reaped> {
        match self.never {}
    }

    fn payload(&self, _frame: RxFrame) -> *const u8 {
        match self.never {}
    }

    fn copy_control(&self, _frame: RxFrame, _len_bytes: usize, _out: &mut [u8; 64]) -> usize {
        match self.never {}
    }

    fn release(&mut self, _frame: RxFrame) {
        match self.never {}
    }

    fn event_fd(&self) -> RawFd {
        match self.never {}
    }

    fn arm(&mut self, _deadline_ns: Option<u64>) -> ArmResult {
        match self.never {}
    }

    fn disarm(&mut self) {
        match self.never {}
    }

    fn poll_event(&mut self, _now_ns: u64) -> Option<LinkEvent> {
        match self.never {}
    }

    fn counters(&self) -> Counters {
        match self.never {}
    }

    fn publish(&mut self, _slot: usize, _stats: Option<&ConnectionStats>) {
        match self.never {}
    }
}
