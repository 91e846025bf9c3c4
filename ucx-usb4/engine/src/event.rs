//! What the engine tells the driver beside frames.

use usb4_wire::Address;
use usb4_wire::control::ResetReason;
use usb4_wire::extension::OpErrorReason;

use crate::ConnId;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Messages can be sent. Once per connection.
    Connected(ConnId),
    /// What [`Engine::admit`](crate::Engine::admit) refused may be tried again.
    Unblocked(ConnId),
    /// An operation is over.
    Completed {
        /// Whose it was.
        conn: ConnId,
        /// The driver's name for it.
        cookie: u64,
        /// The old value of a fetching atomic, else 0; or why it failed.
        result: Result<u64, OpFailure>,
    },
    /// The target refused a put or atomic that the driver sent without an operation number.
    Refused {
        /// Whose it was.
        conn: ConnId,
        /// Why.
        reason: OpErrorReason,
    },
    /// The connection is lost; everything that was under way on it is, too. Once per connection.
    Failed(ConnId, Failure),
    /// The connection has ended as both sides wanted it.
    Closed(ConnId),
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpFailure {
    /// The target refused it.
    #[error("the target refused the operation: {0}")]
    Remote(OpErrorReason),
    /// The connection was lost first.
    #[error("the connection was lost before the operation completed: {0}")]
    Connection(Failure),
}

/// Why a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No progress for the configured time although rails are up.
    #[error("peer does not answer: check that its process runs; UCX_USB4_PEER_TIMEOUT sets how long to wait")]
    PeerTimeout,
    /// Another incarnation answers at the address.
    #[error("peer was restarted: connect to its new address")]
    PeerRestarted,
    /// The peer's channel has ceased to exist.
    #[error("peer is gone: its process ended without closing the connection")]
    PeerGone,
    /// The peer closed its channel.
    #[error("peer has closed its channel")]
    PeerClosed,
    /// The peer no longer knows the connection.
    #[error("peer has given the connection up; it had no answer from here for too long")]
    Reset,
    /// The peer's side refused the connection.
    #[error("peer refused the connection ({0:?}); raise its limit of connections")]
    Refused(ResetReason),
    /// All rails to the peer have been down for the configured time.
    #[error("all rails to the peer are down: plug a cable in; UCX_USB4_REPLUG_TIMEOUT sets how long to wait")]
    RailsDown,
    /// The peer broke the protocol, so nothing it says can be trusted.
    #[error("peer violates the protocol: install the same ucx-usb4 release on both hosts")]
    Protocol,
    /// This side closed it.
    #[error("the connection was closed on this side")]
    Closed,
}

/// Why a message cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The handshake is not over.
    #[error("the connection is being set up; wait for its event")]
    NotReady,
    /// The peer has not granted so many frames, or too many are unacknowledged.
    #[error("the window is used up; wait for the unblocked event")]
    Window,
    /// Every rail is down or its transmit ring is full.
    #[error("no rail can take a frame; wait for the unblocked event")]
    Rails,
    /// A fence waits for operations that are still under way.
    #[error("a fence holds messages back; wait for the unblocked event")]
    Fence,
    /// Too many operations wait already.
    #[error("the queue of operations is full; wait for some to complete")]
    Ops,
    /// The connection is over.
    #[error("the connection is over: {0}")]
    Failed(Failure),
}

/// Why a connection cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// All slots are in use, or the channel's receive frames are all reserved for other connections.
    #[error("the limit of {limit} connections is reached; close some, or give the channel more receive frames")]
    NoRoom {
        /// How many there can be: [`Config::connections_max`](crate::Config::connections_max), or as many as
        /// [`Config::rx_pool_frames`](crate::Config::rx_pool_frames) suffice for.
        limit: u32,
    },
    /// The engine is being closed.
    #[error("the channel is being closed")]
    Closing,
}

/// What became of a transmit frame that the engine gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Acknowledged: nobody looks at it any more.
    Acked,
    /// Its connection ended first: this peer may still hold a descriptor that points to it.
    Abandoned(Address),
}
