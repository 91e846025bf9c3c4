//! Debian's source of UCX 1.13.1, for the test that compares our declarations with its headers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::vm::apt::{DEFAULT_MIRROR, mirror};
use crate::vm::cache::Cache;

const FILE: &str = "pool/main/u/ucx/ucx_1.13.1.orig.tar.xz";
const SHA256: &str = "1a88e09ca1b406c046a469c2ae271d2c330050b5664c0bcd9890e26c6ef09f3c";
/// What the archive unpacks to.
const TREE: &str = "ucx-1.13.1";
/// apt's own downloader: it follows apt's configuration of proxies, and checks what arrives.
const DOWNLOADER: &str = "/usr/lib/apt/apt-helper";

/// The unpacked source, from the cache or from Debian's mirror; none where there is no apt.
pub(crate) fn fetch() -> Result<Option<PathBuf>> {
    if !std::path::Path::new(DOWNLOADER).is_file() {
        eprintln!("no apt here: our declarations are not compared with UCX's source; name trees in UCX_SOURCE_TREES");
        return Ok(None);
    }
    let folder = Cache::open()?.folder("source-ucx-1.13.1", false, |folder| {
        let archive = folder.join("ucx.tar.xz");
        let url = format!("{}/{FILE}", mirror("UCX_USB4_DEBIAN_MIRROR", DEFAULT_MIRROR));
        let mut download = Command::new(DOWNLOADER);
        download.args(["download-file", &url]).arg(&archive).arg(format!("SHA256:{SHA256}"));
        let status = download.status().context("apt-helper did not start")?;
        ensure!(status.success(), "{url} cannot be fetched; is the network there?");
        let status = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder).status()?;
        ensure!(status.success(), "{} cannot be unpacked", archive.display());
        Ok(std::fs::remove_file(&archive)?)
    })?;
    Ok(Some(folder.join(TREE)))
}
