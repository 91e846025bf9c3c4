//! A simulated fabric that no other test shares.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use usb4_link::LinkSpec;
use usb4_link::sim::Registry;

/// A fabric description of its own, and therefore a fabric of its own.
#[derive(Debug)]
pub struct Fabric {
    folder: tempfile::TempDir,
    name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Fabric {
    /// A fabric from TOML.
    ///
    /// # Panics
    /// If the file cannot be written.
    #[must_use]
    pub fn new(toml: &str) -> Fabric {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Two fabrics with the same text must not be taken for one.
        let unique = format!("# test {}.{}\n{toml}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let file = folder.path().join("fabric.toml");
        std::fs::write(&file, unique).expect("the description can be written");
        // Looked up once, before any job: holding a fabric cleans up, and would hide what a job leaves. A test of a broken
        // description has no name.
        let held = Registry::default().hold(&LinkSpec::SimFile(file));
        let name = held.map(|holder| holder.name().to_owned()).unwrap_or_default();
        Fabric { folder, name }
    }

    /// Two nodes, two cables with two rails each, 13 Gb/s and 5.5 us one way: the profile strix-halo, with this loss.
    #[must_use]
    pub fn strix_halo(loss: f64) -> Fabric {
        let cable =
            format!("[[cables]]\nbetween = [0, 1]\nrails = 2\nrate_gbps = 13.0\nlatency_us = 5.5\nloss = {loss:?}\n");
        Fabric::new(&format!("nodes = 2\nseed = 11\n{cable}{cable}"))
    }

    /// Three nodes, each joined with each.
    #[must_use]
    pub fn triangle() -> Fabric {
        let cable = |a: u32, b: u32| {
            format!("[[cables]]\nbetween = [{a}, {b}]\nrails = 2\nrate_gbps = 13.0\nlatency_us = 5.5\n")
        };
        Fabric::new(&format!("nodes = 3\n{}{}{}", cable(0, 1), cable(1, 2), cable(0, 2)))
    }

    /// The value for `UCX_USB4_LINKS`.
    #[must_use]
    pub fn links(&self) -> String {
        format!("sim:{}", self.file().display())
    }

    /// The description.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("fabric.toml")
    }

    /// The name that `usb4ctl sim list` shows while it is in use.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether anything of it is in shared memory, in use or left over.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        Registry::default().list().iter().any(|fabric| fabric.name == self.name)
    }

    /// Bytes that went over its cables so far; 0 when it is not in use.
    #[must_use]
    pub fn cable_bytes(&self) -> u64 {
        let Ok(view) = Registry::default().inspect(&self.name) else { return 0 };
        let rails = view.cables.iter().flat_map(|cable| &cable.rails).flat_map(|rail| &rail.directions);
        rails.map(|counters| counters.tx_bytes).sum()
    }

    /// A path in a folder that lives as long as the fabric.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
