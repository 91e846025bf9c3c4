//! Why the device does not give a channel, and what the user does about it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use usb4_dma_sys::{USB4_DMA_ABI_VERSION, USB4_DMA_FRAME_SIZE, usb4_dma_query, usb4_dma_setup};

use super::DEVICE;

/// Why `/dev/usb4dma` gives no channel. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The module is not loaded.
    #[error("there is no {}; load the kernel module (modprobe usb4_dma)", .0.display())]
    Missing(PathBuf),
    /// The user may not.
    #[error(
        "you may not open {}; ask an administrator to add you to its group (usermod -aG usb4 NAME), then log in again",
        .0.display()
    )]
    Permission(PathBuf),
    /// The module comes or goes.
    #[error("{} is there, but its module is being loaded or unloaded; try again, or see dmesg", .0.display())]
    Unready(PathBuf),
    /// Module and library are of different releases.
    #[error(
        "the usb4_dma module speaks version {found} of its interface, and this library version {expected}; install \
         module and library from one release, and load that module (modprobe -r usb4_dma; modprobe usb4_dma)"
    )]
    Version {
        /// The module's.
        found: u32,
        /// This library's.
        expected: u32,
    },
    /// The device's answers are not those of the module.
    #[error("{DEVICE} does not answer as the usb4_dma module does: {0}; install module and library from one release")]
    Foreign(io::Error),
    /// One user's share is used up.
    #[error(
        "you have {limit} channels open already, as many as one user may have; end some of your processes, or let an \
         administrator raise the module's parameter channels_per_user"
    )]
    UserChannels {
        /// The module's parameter.
        limit: u32,
    },
    /// The node has no channel left.
    #[error("all {limit} channels of this node are in use; end some processes that use usb4")]
    NodeChannels {
        /// Channels of a node.
        limit: u32,
    },
    /// The limit for locked memory.
    #[error(
        "a channel locks {needed_kib} KiB of memory, more than this process may (ulimit -l); raise the limit \
         (memlock in /etc/security/limits.conf, LimitMEMLOCK= of a service), or set UCX_USB4_TX_FRAMES and \
         UCX_USB4_RX_FRAMES lower"
    )]
    LockedMemory {
        /// For the frames alone.
        needed_kib: u64,
    },
    /// Memory is short.
    #[error(
        "the kernel has no memory for a channel's {needed_kib} KiB; end some processes, or set UCX_USB4_TX_FRAMES and \
         UCX_USB4_RX_FRAMES lower"
    )]
    Memory {
        /// For the frames alone.
        needed_kib: u64,
    },
    /// Another refusal.
    #[error("{DEVICE} gives no channel: {0}; see dmesg, or run `usb4ctl doctor`")]
    Setup(io::Error),
    /// The channel's memory cannot be mapped.
    #[error("the memory of a channel of {DEVICE} cannot be mapped: {0}; check ulimit -v, or run `usb4ctl doctor`")]
    Map(io::Error),
    /// There is nothing to sleep on.
    #[error("there is no event descriptor for {DEVICE}: {0}; raise the limit of open files (ulimit -n)")]
    Sleep(io::Error),
}

impl DeviceError {
    pub(super) fn of_open(path: &Path, error: io::Error) -> DeviceError {
        let path = path.to_owned();
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NXIO) => DeviceError::Missing(path),
            Some(Errno::ACCESS | Errno::PERM) => DeviceError::Permission(path),
            Some(Errno::NODEV | Errno::BUSY) => DeviceError::Unready(path),
            _ => DeviceError::Setup(error),
        }
    }

    pub(super) fn of_query(error: io::Error) -> DeviceError {
        DeviceError::Foreign(error)
    }

    pub(super) fn check_version(found: u32) -> Result<(), DeviceError> {
        let expected = USB4_DMA_ABI_VERSION;
        if found == expected { Ok(()) } else { Err(DeviceError::Version { found, expected }) }
    }

    pub(super) fn of_setup(query: &usb4_dma_query, setup: &usb4_dma_setup, error: io::Error) -> DeviceError {
        let needed_kib = u64::from(setup.tx_frames + setup.rx_frames) * u64::from(USB4_DMA_FRAME_SIZE / 1024);
        match Errno::from_io_error(&error) {
            Some(Errno::USERS) => DeviceError::UserChannels { limit: query.channels_per_user },
            Some(Errno::NOSPC) => DeviceError::NodeChannels { limit: query.channels_max },
            Some(Errno::DQUOT) => DeviceError::LockedMemory { needed_kib },
            Some(Errno::NOMEM) => DeviceError::Memory { needed_kib },
            _ => DeviceError::Setup(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each limit that a user can meet says what to change.
    #[test]
    fn a_refusal_names_its_remedy() {
        let query = usb4_dma_query { channels_per_user: 64, channels_max: 1000, ..Default::default() };
        let setup = usb4_dma_setup { tx_frames: 1024, rx_frames: 960, ..Default::default() };
        let message = |errno: Errno| DeviceError::of_setup(&query, &setup, errno.into()).to_string();
        assert!(message(Errno::USERS).contains("64 channels") && message(Errno::USERS).contains("channels_per_user"));
        assert!(message(Errno::NOSPC).contains("1000 channels"));
        assert!(message(Errno::DQUOT).contains("7936 KiB") && message(Errno::DQUOT).contains("ulimit -l"));
        assert!(message(Errno::NOMEM).contains("UCX_USB4_RX_FRAMES"));
        let open = |errno: Errno| DeviceError::of_open(Path::new(DEVICE), errno.into()).to_string();
        assert!(open(Errno::ACCESS).contains("usermod"));
        assert!(open(Errno::NOENT).contains("modprobe usb4_dma"));
        assert!(DeviceError::check_version(USB4_DMA_ABI_VERSION + 1).unwrap_err().to_string().contains("one release"));
    }
}
