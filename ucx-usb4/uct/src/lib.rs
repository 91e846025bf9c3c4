//! `libuct_usb4.so.0`: a UCX transport over USB4 cables.
//!
//! UCX (or the preload library) loads it; its constructor registers the component `usb4`, and from then on UCX calls:
//!
//! - `component`: the component, its memory domain and device;
//! - `entered`: the way into an interface, past the port's attendant;
//! - `iface`, `ep`: interfaces and endpoints, with `am` (active messages), `pending`, `flush` and `event` (sleeping);
//! - `settings`: the `UCX_USB4_*` variables; `status`: the one place where errors become a `ucs_status_t`;
//!   `on_failure`: whether a lost peer ends the program; `stats`, `vfs`: what was counted, at the end and meanwhile.
//!
//! Below it, `usb4_port` joins the protocol engine with a channel of the link, and knows nothing of UCX.

mod am;
mod atomic;
mod component;
mod entered;
mod ep;
mod event;
mod flush;
mod gather;
mod iface;
mod md;
mod on_failure;
mod ops;
mod pending;
mod rma;
mod settings;
mod stats;
mod status;
mod vfs;

/// Runs when the library is loaded: UCX looks for components after it has loaded its modules.
extern "C" fn on_load() {
    ucx_sys::log::install();
    if let Err(refusal) = ucx_sys::register::<component::Usb4>() {
        ucx_sys::log::report_refusal(&refusal);
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;
