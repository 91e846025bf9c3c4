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

/// Every release that the transport serves and PyPI has.
pub(crate) const WHEELS: [Wheel; 9] = [
    Wheel {
        release: "1.14",
        version: "1.14.1.post2",
        sha256: "60d6b6e6c929264cc29549e4e23c86c9a5b0eb44b06999b6afb17eb736bbd56e",
    },
    Wheel {
        release: "1.15",
        version: "1.15.0.post2",
        sha256: "1f139d2b8393053fa5447efe1258d8246322a461a1c18e7b04c0163d2541fb01",
    },
    Wheel {
        release: "1.16",
        version: "1.16.0.post2",
        sha256: "cde033822102393ce304063b03f1663122458ecd3d93fecb43c6ceb3988228d4",
    },
    Wheel {
        release: "1.17",
        version: "1.17.0.post1",
        sha256: "3e4a68a2df02ad0efe6135819a879078a904effb0d9c563a2104cb9b71aa5b59",
    },
    Wheel {
        release: "1.18",
        version: "1.18.1",
        sha256: "d8fa5fc4bd76b2796e083bb3a7fb27373ccd9428daf6fe64d0dfd02fc0c95420",
    },
    Wheel {
        release: "1.19",
        version: "1.19.0",
        sha256: "64b9448f23c7bb29be30d21bac5742f7297845d0f0c159e6302670b35e71251f",
    },
    Wheel {
        release: "1.20",
        version: "1.20.1",
        sha256: "30cf28f3d157416edd806fc7f7359147234e41d8830b223ef9f76a9f648aa6c5",
    },
    Wheel {
        release: "1.21",
        version: "1.21.0",
        sha256: "975d167df36dde7488838998d12329e52a2ecfdf120318689f56a4283fcc2e5e",
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
