//! A simulated fabric that no other test shares.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fabric description of its own, and therefore a fabric of its own.
#[derive(Debug)]
pub struct Fabric {
    folder: tempfile::TempDir,
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
        std::fs::write(folder.path().join("fabric.toml"), unique).expect("the description can be written");
        Fabric { folder }
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

    /// A path in a folder that lives as long as the fabric.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
