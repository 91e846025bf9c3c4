//! The user interface of `usb4_dma.ko`, generated from `kernel/include/uapi/linux/usb4_dma.h`, which documents it.
//!
//! Names are the header's. What C says with function-like macros, and what the layouts promise beyond their sizes, stands
//! below, checked when this crate is compiled.
#![no_std]

mod header {
    #![allow(missing_docs, unreachable_pub, non_camel_case_types, reason = "generated from C")]
    include!(concat!(env!("OUT_DIR"), "/usb4_dma.rs"));
}

pub use header::*;

/// `_IO()` of the kernel's headers: no direction and no size, since the structures say their size themselves.
const fn io(command: u32) -> u32 {
    USB4_DMA_IOCTL_TYPE << 8 | command
}

/// `USB4_DMA_IOCTL_QUERY`, with [`usb4_dma_query`].
pub const IOCTL_QUERY: u32 = io(USB4_DMA_CMD_QUERY);
/// `USB4_DMA_IOCTL_SETUP`, with [`usb4_dma_setup`].
pub const IOCTL_SETUP: u32 = io(USB4_DMA_CMD_SETUP);
/// `USB4_DMA_IOCTL_RAILS`, with [`usb4_dma_rails`].
pub const IOCTL_RAILS: u32 = io(USB4_DMA_CMD_RAILS);
/// `USB4_DMA_IOCTL_KICK`, with [`usb4_dma_kick`].
pub const IOCTL_KICK: u32 = io(USB4_DMA_CMD_KICK);

/// What both sides of the shared memory rely on: bindgen asserts each size and offset as the header has it; these say what the
/// header must have.
const _: () = {
    assert!(size_of::<usb4_dma_tx>() == 16 && size_of::<usb4_dma_tx_done>() == 16 && size_of::<usb4_dma_rx>() == 16);
    assert!(core::mem::offset_of!(usb4_dma_ring, producer) == 0);
    assert!(core::mem::offset_of!(usb4_dma_ring, consumer) == 64);
    assert!(core::mem::offset_of!(usb4_dma_ring, flags) == 128);
    assert!(size_of::<usb4_dma_ring>() == USB4_DMA_RING_ENTRIES as usize);
    assert!(size_of::<usb4_dma_header>() == 40);
    assert!(size_of::<usb4_dma_query>() == 48 && size_of::<usb4_dma_setup>() == 40 + 7 * 16);
    assert!(size_of::<usb4_dma_rails>() == 32 && size_of::<usb4_dma_rail>() == 128);
    assert!(size_of::<usb4_dma_kick>() == 32);
    assert!(size_of::<usb4_dma_node_rail>() == 64 && core::mem::offset_of!(usb4_dma_node, rails) == 64);
    assert!(size_of::<usb4_dma_counters>() == 64 + 32 * 64);
};
