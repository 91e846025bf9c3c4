//! The one place where errors of the layers below become a `ucs_status_t`.

use std::fmt;

use ucx_sys::public::{
    UCS_ERR_CONNECTION_RESET, UCS_ERR_ENDPOINT_TIMEOUT, UCS_ERR_IO_ERROR, UCS_ERR_NO_DEVICE, UCS_ERR_NO_MEMORY,
    UCS_ERR_NO_RESOURCE, UCS_ERR_UNREACHABLE, ucs_status_t,
};
use usb4_engine::{ConnectError, Failure, OpFailure, Refused};
use usb4_link::OpenError;

use usb4_port::ConnectFailure;

/// Why a send was not taken.
pub(crate) fn of_refusal(refused: Refused) -> ucs_status_t {
    match refused {
        // UCX queues the operation and tries again when progress finds room.
        Refused::NotReady | Refused::Window | Refused::Rails | Refused::Fence | Refused::Ops => UCS_ERR_NO_RESOURCE,
        Refused::Failed(failure) => of_failure(failure),
    }
}

/// Why an endpoint failed. UCP answers what is sent on a failed endpoint with `UCS_ERR_ENDPOINT_TIMEOUT`, whatever the transport
/// said (`ucp_failed_tl_ep`); with the same status here, a program's error handler and its requests agree. The log has the cause.
pub(crate) fn of_failure(failure: Failure) -> ucs_status_t {
    match failure {
        Failure::Refused(_) => UCS_ERR_UNREACHABLE,
        Failure::PeerTimeout
        | Failure::RailsDown
        | Failure::PeerRestarted
        | Failure::PeerGone
        | Failure::PeerClosed
        | Failure::Reset
        | Failure::Protocol
        | Failure::Closed => UCS_ERR_ENDPOINT_TIMEOUT,
    }
}

/// Why an operation failed.
pub(crate) fn of_operation(failure: &OpFailure) -> ucs_status_t {
    match failure {
        OpFailure::Remote(reason) => report(UCS_ERR_IO_ERROR, format_args!("usb4: {failure} ({reason:?})")),
        OpFailure::Connection(failure) => of_failure(*failure),
    }
}

/// Why a connection could not be opened.
pub(crate) fn of_connect(failure: &ConnectFailure) -> ucs_status_t {
    match failure {
        ConnectFailure::NoRoute(_) => UCS_ERR_UNREACHABLE,
        ConnectFailure::Engine(ConnectError::NoRoom { .. }) => UCS_ERR_NO_MEMORY,
        ConnectFailure::Engine(ConnectError::Closing) => UCS_ERR_CONNECTION_RESET,
    }
}

/// Why a channel could not be opened.
pub(crate) fn of_open(error: &OpenError) -> ucs_status_t {
    match error {
        OpenError::NoSpace { .. } | OpenError::NoChannel(_) => UCS_ERR_NO_MEMORY,
        _ => UCS_ERR_NO_DEVICE,
    }
}

/// Logs an error where it is first seen, and hands the status on.
pub(crate) fn report(status: ucs_status_t, what: fmt::Arguments<'_>) -> ucs_status_t {
    log::error!("{what}");
    status
}
