//! Capability flags, which UCX defines with a macro that bindgen cannot follow.

use bitflags::bitflags;

use super::headers;

bitflags! {
    /// Capabilities of an interface, `uct_iface_attr_t::cap.flags` (`UCT_IFACE_FLAG_*`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct IfaceFlags: u64 {
        /// Short active message.
        const AM_SHORT = 1 << 0;
        /// Buffered active message.
        const AM_BCOPY = 1 << 1;
        /// Zero-copy active message.
        const AM_ZCOPY = 1 << 2;
        /// Pending operations.
        const PENDING = 1 << 3;
        /// Short put.
        const PUT_SHORT = 1 << 4;
        /// Buffered put.
        const PUT_BCOPY = 1 << 5;
        /// Zero-copy put.
        const PUT_ZCOPY = 1 << 6;
        /// Short get.
        const GET_SHORT = 1 << 8;
        /// Buffered get.
        const GET_BCOPY = 1 << 9;
        /// Zero-copy get.
        const GET_ZCOPY = 1 << 10;
        /// Atomics are consistent with the target's processor.
        const ATOMIC_CPU = 1 << 30;
        /// Atomics are consistent only with those of the same device.
        const ATOMIC_DEVICE = 1 << 31;
        /// A failed peer is reported to the error handler.
        const ERRHANDLE_PEER_FAILURE = 1 << 38;
        /// `ep_check` is there.
        const EP_CHECK = 1 << 39;
        /// An endpoint connects to an interface.
        const CONNECT_TO_IFACE = 1 << 40;
        /// An endpoint connects to an endpoint.
        const CONNECT_TO_EP = 1 << 41;
        /// Active messages may come twice.
        const AM_DUP = 1 << 43;
        /// Callbacks run from progress.
        const CB_SYNC = 1 << 44;
        /// Callbacks may run from another context.
        const CB_ASYNC = 1 << 45;
        /// Endpoints watch their peers themselves.
        const EP_KEEPALIVE = 1 << 46;
        /// The interface reaches other nodes. UCX knows the flag since 1.18 and needs it there; before, another release's
        /// meaning could take the bit, so take it from [`Registered::inter_node`](crate::Registered::inter_node).
        const INTER_NODE = 1 << 54;
    }

    /// Event capabilities of an interface, `uct_iface_attr_t::cap.event_flags` (`UCT_IFACE_FLAG_EVENT_*`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct EventFlags: u64 {
        /// Send completion.
        const SEND_COMP = 1 << 0;
        /// Received message.
        const RECV = 1 << 1;
        /// Received message that was sent with `UCT_SEND_FLAG_SIGNALED`.
        const RECV_SIG = 1 << 2;
        /// Through a file descriptor.
        const FD = 1 << 3;
        /// Through a callback.
        const ASYNC_CB = 1 << 4;
    }
}

/// The two columns must be equal in every release's headers.
const _: () = {
    let same = [
        (IfaceFlags::AM_SHORT.bits(), headers::HEADER_AM_SHORT),
        (IfaceFlags::AM_BCOPY.bits(), headers::HEADER_AM_BCOPY),
        (IfaceFlags::AM_ZCOPY.bits(), headers::HEADER_AM_ZCOPY),
        (IfaceFlags::PENDING.bits(), headers::HEADER_PENDING),
        (IfaceFlags::PUT_SHORT.bits(), headers::HEADER_PUT_SHORT),
        (IfaceFlags::PUT_BCOPY.bits(), headers::HEADER_PUT_BCOPY),
        (IfaceFlags::PUT_ZCOPY.bits(), headers::HEADER_PUT_ZCOPY),
        (IfaceFlags::GET_SHORT.bits(), headers::HEADER_GET_SHORT),
        (IfaceFlags::GET_BCOPY.bits(), headers::HEADER_GET_BCOPY),
        (IfaceFlags::GET_ZCOPY.bits(), headers::HEADER_GET_ZCOPY),
        (IfaceFlags::ATOMIC_CPU.bits(), headers::HEADER_ATOMIC_CPU),
        (IfaceFlags::ATOMIC_DEVICE.bits(), headers::HEADER_ATOMIC_DEVICE),
        (IfaceFlags::ERRHANDLE_PEER_FAILURE.bits(), headers::HEADER_PEER_FAILURE),
        (IfaceFlags::EP_CHECK.bits(), headers::HEADER_EP_CHECK),
        (IfaceFlags::CONNECT_TO_IFACE.bits(), headers::HEADER_CONNECT_TO_IFACE),
        (IfaceFlags::CONNECT_TO_EP.bits(), headers::HEADER_CONNECT_TO_EP),
        (IfaceFlags::AM_DUP.bits(), headers::HEADER_AM_DUP),
        (IfaceFlags::CB_SYNC.bits(), headers::HEADER_CB_SYNC),
        (IfaceFlags::CB_ASYNC.bits(), headers::HEADER_CB_ASYNC),
        (IfaceFlags::EP_KEEPALIVE.bits(), headers::HEADER_EP_KEEPALIVE),
        (EventFlags::SEND_COMP.bits(), headers::HEADER_EVENT_SEND_COMP),
        (EventFlags::RECV.bits(), headers::HEADER_EVENT_RECV),
        (EventFlags::RECV_SIG.bits(), headers::HEADER_EVENT_RECV_SIG),
        (EventFlags::FD.bits(), headers::HEADER_EVENT_FD),
        (EventFlags::ASYNC_CB.bits(), headers::HEADER_EVENT_ASYNC_CB),
    ];
    let mut row = 0;
    while row < same.len() {
        assert!(same[row].0 == same[row].1);
        row += 1;
    }
};
