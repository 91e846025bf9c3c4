//! Cargo's subcommands that others wrote: built once from crates.io at a fixed version, and kept in the cache.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::vm::cache::Cache;

/// A tool on crates.io.
#[derive(Debug)]
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
    /// Arguments of `cargo install` that leave out what is not needed.
    options: &'static [&'static str],
}

/// Debian packages from Cargo.toml.
pub(crate) const CARGO_DEB: CargoTool = CargoTool { name: "cargo-deb", version: "3.8.0", options: &[] };
/// RPM packages from Cargo.toml.
pub(crate) const CARGO_GENERATE_RPM: CargoTool =
    CargoTool { name: "cargo-generate-rpm", version: "0.21.1", options: &[] };

/// The documentation's book; without its server.
pub(crate) const MDBOOK: CargoTool =
    CargoTool { name: "mdbook", version: "0.5.4", options: &["--no-default-features"] };

impl CargoTool {
    /// The program, from the cache or built now.
    pub(crate) fn open(&self, shell: &Shell) -> Result<PathBuf> {
        let CargoTool { name, version, options } = *self;
        let folder = Cache::open()?.folder(&format!("{name}-{version}"), false, |folder| {
            eprintln!("building {name} {version}; this takes minutes, once");
            let target = folder.join("target");
            cmd!(shell, "cargo install --quiet --locked --version {version} {options...} --root {folder} {name}")
                .env("CARGO_TARGET_DIR", &target)
                .run()
                .with_context(|| format!("{name} cannot be built; is the network there?"))?;
            Ok(std::fs::remove_dir_all(target)?)
        })?;
        Ok(folder.join("bin").join(name))
    }
}
