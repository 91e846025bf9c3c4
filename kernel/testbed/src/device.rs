//! The vfio-user side of one NHI: regions, MSI-X eventfds, DMA windows.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use log::{debug, info, warn};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_NORESIZE, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
    VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_NUM_IRQS,
    VFIO_PCI_NUM_REGIONS, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE, vfio_region_info,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, ServerBackend, ServerRegion};

use crate::pci::CONFIG_BYTES;
use crate::registers::{BAR_SIZE_BYTES, VECTORS};
use crate::server::Shared;

/// The regions that a client sees: BAR 0 and the configuration space.
pub fn regions() -> Vec<ServerRegion> {
    let region = |index| {
        let (size, flags) = match index {
            VFIO_PCI_BAR0_REGION_INDEX => (BAR_SIZE_BYTES, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE),
            VFIO_PCI_CONFIG_REGION_INDEX => {
                (CONFIG_BYTES as u64, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
            }
            _ => (0, 0),
        };
        let argsz = size_of::<vfio_region_info>() as u32;
        let region_info = vfio_region_info { argsz, flags, index, size, ..vfio_region_info::default() };
        ServerRegion { region_info, sparse_areas: Vec::new(), mmap_fd: None }
    };
    (0..VFIO_PCI_NUM_REGIONS).map(region).collect()
}

/// The interrupts that a client sees: MSI-X only.
pub fn interrupts() -> Vec<IrqInfo> {
    let interrupt = |index| IrqInfo {
        index,
        flags: VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE,
        count: if index == VFIO_PCI_MSIX_IRQ_INDEX { u32::from(VECTORS) } else { 0 },
    };
    (0..VFIO_PCI_NUM_IRQS).map(interrupt).collect()
}

/// What a client of one NHI's socket asks for, carried out on the shared fabric.
pub struct Device {
    host: usize,
    shared: Arc<Shared>,
    attached: bool,
}

impl Device {
    /// The device of a host that no guest is connected to yet.
    pub fn new(host: usize, shared: Arc<Shared>) -> Device {
        Device { host, shared, attached: false }
    }

    /// The client is gone.
    pub fn detach(&mut self) {
        if std::mem::take(&mut self.attached) {
            info!("host {}: guest gone", self.host);
            self.shared.with(|state, now_ns| {
                state.vectors[self.host].clear();
                state.fabric.detach(self.host, now_ns);
            });
        }
    }

    /// The client said something, so it is there.
    fn attach(&mut self) {
        if !std::mem::replace(&mut self.attached, true) {
            info!("host {}: guest connected", self.host);
            self.shared.with(|state, now_ns| state.fabric.attach(self.host, now_ns));
        }
    }
}

impl ServerBackend for Device {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.attach();
        self.shared.with(|state, _| match region {
            VFIO_PCI_BAR0_REGION_INDEX => state.fabric.read_bar(self.host, offset, data),
            VFIO_PCI_CONFIG_REGION_INDEX => match state.fabric.host_mut(self.host) {
                Ok(host) => host.pci.read(offset, data),
                Err(_) => data.fill(0xff),
            },
            _ => data.fill(0xff),
        });
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.attach();
        self.shared.with(|state, now_ns| match region {
            VFIO_PCI_BAR0_REGION_INDEX => state.fabric.write_bar(self.host, offset, data, now_ns),
            VFIO_PCI_CONFIG_REGION_INDEX => {
                if let Ok(host) = state.fabric.host_mut(self.host) {
                    host.pci.write(offset, data);
                }
            }
            _ => {}
        });
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        self.attach();
        // Windows without a file are ROMs and device memory, which no driver hands to an NHI.
        let Some(file) = fd else { return Ok(()) };
        debug!("host {}: window {address:#x}+{size:#x} {flags:?}", self.host);
        self.shared.with(|state, _| {
            let host = state.fabric.host_mut(self.host).map_err(io::Error::other)?;
            host.memory.map(address, size, file, offset).map_err(|error| {
                warn!("host {}: {error}", self.host);
                io::Error::other(error)
            })
        })
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        self.attach();
        self.shared.with(|state, _| {
            let host = state.fabric.host_mut(self.host).map_err(io::Error::other)?;
            if flags.contains(DmaUnmapFlags::UNMAP_ALL) {
                host.memory.clear();
            } else {
                host.memory.unmap(address, size);
            }
            Ok(())
        })
    }

    fn reset(&mut self) -> io::Result<()> {
        self.attach();
        self.shared.with(|state, now_ns| state.fabric.reset(self.host, now_ns));
        Ok(())
    }

    fn set_irqs(&mut self, index: u32, flags: u32, start: u32, count: u32, fds: Vec<File>) -> io::Result<()> {
        self.attach();
        if index != VFIO_PCI_MSIX_IRQ_INDEX {
            return Ok(());
        }
        self.shared.with(|state, _| {
            let vectors = &mut state.vectors[self.host];
            if flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 {
                let mut fds = fds.into_iter();
                for vector in start..start.saturating_add(count).min(u32::from(VECTORS)) {
                    vectors.set(vector as usize, fds.next());
                }
            } else if flags & VFIO_IRQ_SET_DATA_NONE != 0 && count == 0 {
                vectors.clear();
            }
        });
        Ok(())
    }
}

/// The eventfds of one NHI's MSI-X vectors.
#[derive(Debug, Default)]
pub struct Vectors([Option<File>; VECTORS as usize]);

impl Vectors {
    /// Signals a vector; one without an eventfd is lost, as an interrupt of a vector that is not set up.
    pub fn signal(&self, vector: u16) {
        let Some(mut eventfd) = self.0.get(usize::from(vector)).and_then(Option::as_ref) else { return };
        if let Err(error) = eventfd.write_all(&1u64.to_ne_bytes()) {
            warn!("an interrupt was lost: writing an eventfd failed: {error}");
        }
    }

    fn set(&mut self, vector: usize, eventfd: Option<File>) {
        if let Some(slot) = self.0.get_mut(vector) {
            *slot = eventfd;
        }
    }

    fn clear(&mut self) {
        *self = Vectors::default();
    }
}
