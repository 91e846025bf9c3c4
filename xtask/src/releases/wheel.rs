//! UCX as PyPI has it: whole run-time installations, one for each release.

use std::path::PathBuf;

use anyhow::Result;

use crate::pypi;
use crate::vm::cache::Cache;

/// A release on PyPI: 43 MB to download.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The release: `1.16`.
    pub(crate) release: &'static str,
    /// PyPI's number of it.
    version: &'static str,
    /// Of the file that it must be.
    sha256: &'static str,
}

const PACKAGE: &str = "libucx-cu12";

/// The oldest and the newest with a layout of their own, and two between.
pub(crate) const WHEELS: [Wheel; 4] = [
    Wheel {
        release: "1.16",
        version: "1.16.0.post2",
        sha256: "cde033822102393ce304063b03f1663122458ecd3d93fecb43c6ceb3988228d4",
    },
    Wheel {
        release: "1.18",
        version: "1.18.1",
        sha256: "d8fa5fc4bd76b2796e083bb3a7fb27373ccd9428daf6fe64d0dfd02fc0c95420",
    },
    Wheel {
        release: "1.20",
        version: "1.20.1",
        sha256: "30cf28f3d157416edd806fc7f7359147234e41d8830b223ef9f76a9f648aa6c5",
    },
    Wheel {
        release: "1.22",
        version: "1.22.0",
        sha256: "5cbbef0c140a0a158ae3486089af659b38822b2234cd3dc90ba40a5e6553402a",
    },
];

impl Wheel {
    /// Takes it from the cache or from PyPI; gives the prefix with lib/ and bin/.
    pub(crate) fn open(&self) -> Result<PathBuf> {
        let Wheel { release, version, sha256 } = self;
        let folder = Cache::open()?
            .folder(&format!("wheels/{release}"), false, |folder| pypi::install(PACKAGE, version, &[sha256], folder))?;
        Ok(folder.join("libucx"))
    }
}
