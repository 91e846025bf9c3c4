//! The kernel module's device, call by call. A trait, so that tests put a model of the kernel in its place.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::ioctl::{Updater, ioctl};
use usb4_dma_sys::{
    IOCTL_KICK, IOCTL_QUERY, IOCTL_RAILS, IOCTL_SETUP, USB4_DMA_RAILS_MAX, usb4_dma_kick, usb4_dma_query,
    usb4_dma_rail, usb4_dma_rails, usb4_dma_region, usb4_dma_setup,
};

use crate::shm::mapping::{Access, Mapping};

/// What a channel asks of the kernel. Each structure's size is filled in here.
pub(crate) trait Device: Debug + Send {
    /// The node and its limits.
    fn query(&self) -> io::Result<usb4_dma_query>;
    /// Makes the handle a channel.
    fn setup(&self, setup: usb4_dma_setup) -> io::Result<usb4_dma_setup>;
    /// The rails, and the generation that they are of.
    fn rails(&self) -> io::Result<(u32, Vec<usb4_dma_rail>)>;
    /// Tells the kernel to look at the rings.
    fn kick(&self, flags: u32) -> io::Result<usb4_dma_kick>;
    /// Maps a region of the channel.
    fn map(&self, region: &usb4_dma_region, access: Access) -> io::Result<Arc<Mapping>>;
    /// What becomes readable when an armed channel has something.
    fn as_fd(&self) -> BorrowedFd<'_>;
}

/// An open `/dev/usb4dma`.
#[derive(Debug)]
pub(crate) struct Node(File);

impl Node {
    /// For a channel.
    pub(crate) fn open(path: &Path) -> io::Result<Node> {
        OpenOptions::new().read(true).write(true).open(path).map(Node)
    }
}

impl Device for Node {
    fn query(&self) -> io::Result<usb4_dma_query> {
        let mut query = usb4_dma_query { size: size_of::<usb4_dma_query>() as u32, ..Default::default() };
        // SAFETY: the command reads and writes a usb4_dma_query, no longer than its size field says.
        let call = unsafe { Updater::<{ IOCTL_QUERY }, _>::new(&mut query) };
        // SAFETY: the structure lives during the call, and the kernel keeps no pointer to it.
        unsafe { ioctl(&self.0, call) }?;
        Ok(query)
    }

    fn setup(&self, mut setup: usb4_dma_setup) -> io::Result<usb4_dma_setup> {
        setup.size = size_of::<usb4_dma_setup>() as u32;
        // SAFETY: the command reads and writes a usb4_dma_setup, no longer than its size field says.
        let call = unsafe { Updater::<{ IOCTL_SETUP }, _>::new(&mut setup) };
        // SAFETY: the structure lives during the call, and the kernel keeps no pointer to it.
        unsafe { ioctl(&self.0, call) }?;
        Ok(setup)
    }

    fn rails(&self) -> io::Result<(u32, Vec<usb4_dma_rail>)> {
        let mut entries = vec![usb4_dma_rail::default(); USB4_DMA_RAILS_MAX as usize];
        let mut rails = usb4_dma_rails {
            size: size_of::<usb4_dma_rails>() as u32,
            count: entries.len() as u32,
            entry_size: size_of::<usb4_dma_rail>() as u32,
            entries: entries.as_mut_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: the command reads and writes a usb4_dma_rails, no longer than its size field says, and writes at most
        // `count` entries of `entry_size` bytes, which is what the vector has.
        let call = unsafe { Updater::<{ IOCTL_RAILS }, _>::new(&mut rails) };
        // SAFETY: structure and vector live during the call, and the kernel keeps no pointer to them.
        unsafe { ioctl(&self.0, call) }?;
        entries.truncate(rails.count as usize);
        Ok((rails.generation, entries))
    }

    #[inline]
    fn kick(&self, flags: u32) -> io::Result<usb4_dma_kick> {
        let mut kick = usb4_dma_kick { size: size_of::<usb4_dma_kick>() as u32, flags, ..Default::default() };
        // SAFETY: the command reads and writes a usb4_dma_kick, no longer than its size field says.
        let call = unsafe { Updater::<{ IOCTL_KICK }, _>::new(&mut kick) };
        // SAFETY: the structure lives during the call, and the kernel keeps no pointer to it.
        unsafe { ioctl(&self.0, call) }?;
        Ok(kick)
    }

    fn map(&self, region: &usb4_dma_region, access: Access) -> io::Result<Arc<Mapping>> {
        let bytes = usize::try_from(region.bytes).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Mapping::new(self.0.as_fd(), region.offset, bytes, access)?)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
