//! What of the machine decides how usb4 behaves: versions, and the IOMMU.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

/// Versions and the IOMMU.
#[derive(Debug, Serialize)]
pub(crate) struct MachineReport {
    /// This program's, and the transport's that came with it.
    pub(crate) ucx_usb4: &'static str,
    /// Linux's.
    pub(crate) kernel: String,
    /// usb4_dma's; none: not loaded.
    pub(crate) module: Option<String>,
    /// UCX's, as `ucx_info` says; none: not in PATH.
    pub(crate) ucx: Option<String>,
    /// Whether devices reach memory through an IOMMU. usb4 maps its memory once, so it costs nothing for each message.
    pub(crate) iommu: bool,
}

impl MachineReport {
    /// This machine's.
    pub(crate) fn read() -> MachineReport {
        MachineReport {
            ucx_usb4: env!("CARGO_PKG_VERSION"),
            kernel: line(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default(),
            module: line(Path::new("/sys/module/usb4_dma/version")),
            ucx: ucx(),
            iommu: std::fs::read_dir("/sys/class/iommu").is_ok_and(|mut entries| entries.next().is_some()),
        }
    }

    /// One line.
    pub(crate) fn describe(&self) -> String {
        let or = |version: &Option<String>, other: &str| version.clone().unwrap_or_else(|| other.to_owned());
        format!(
            "ucx-usb4 {}, usb4_dma {}, UCX {}, Linux {}, IOMMU {}",
            self.ucx_usb4,
            or(&self.module, "not loaded"),
            or(&self.ucx, "not found"),
            self.kernel,
            if self.iommu { "on" } else { "off" }
        )
    }
}

fn line(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

fn ucx() -> Option<String> {
    let output = Command::new("ucx_info").arg("-v").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    version(&text).map(str::to_owned)
}

/// `# Version 1.13.1` or `# Library version: 1.18.1`.
pub(crate) fn version(banner: &str) -> Option<&str> {
    banner.lines().find_map(|line| line.split_once("ersion")).map(|(_, version)| version.trim_matches([':', ' ']))
}
