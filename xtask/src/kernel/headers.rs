//! What Debian ships to build modules for its kernels: headers, configuration and build scripts, unpacked and made to work where they
//! are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::toolchain::Toolchain;
use crate::vm::apt::Apt;
use crate::vm::cache::Cache;
use crate::vm::kernel::Kernel;

/// A kernel's headers in the cache.
pub(crate) struct Headers {
    folder: PathBuf,
    release: String,
}

impl Headers {
    /// Takes the headers that match `kernel` to the letter from the cache, or downloads them.
    ///
    /// # Errors
    /// When Debian has them no more: then the cached kernel is too old.
    pub(crate) fn fetch(cache: &Cache, toolchain: &Toolchain, kernel: &Kernel) -> Result<Headers> {
        let release = &kernel.release;
        let name = format!("headers-{release}");
        let place = cache.root().join(&name);
        let fill = |folder: &Path| {
            let apt = Apt::open(cache, false)?;
            let kbuild = apt.names("linux-kbuild-")?;
            for package in packages(release, &kbuild)? {
                apt.unpack_some(&package, &["./usr/src/*", "./usr/lib/*"], folder)?;
            }
            let sources = folder.join("usr/src");
            relocate(&sources.join(format!("linux-headers-{release}/Makefile")), &place)?;
            toolchain.wrap_all(&folder.join("usr/lib"))
        };
        let folder = cache.folder(&name, false, fill).with_context(|| {
            format!(
                "the headers of kernel {release} are not to be had; `cargo xtask vm fetch --refresh` gets newer kernels"
            )
        })?;
        Ok(Headers { folder, release: release.clone() })
    }

    /// Where `make` finds the kernel's own Makefile.
    pub(crate) fn build_folder(&self) -> PathBuf {
        self.folder.join(format!("usr/src/linux-headers-{}", self.release))
    }
}

/// The packages that hold everything for `release`, such as 6.12.117+deb13-amd64.
fn packages(release: &str, kbuild: &[String]) -> Result<Vec<String>> {
    let version = release.strip_suffix("-amd64").context("only amd64 kernels are supported")?;
    // All flavours but rt share one package.
    let version = version.strip_suffix("-cloud").unwrap_or(version);
    let base = version.strip_suffix("-rt").unwrap_or(version);
    let exact = format!("linux-kbuild-{base}");
    // Up to 6.1 one package serves the whole series.
    let series = base.split('.').take(2).collect::<Vec<_>>().join(".");
    let scripts = if kbuild.contains(&exact) { exact } else { format!("linux-kbuild-{series}") };
    Ok(vec![format!("linux-headers-{release}"), format!("linux-headers-{version}-common"), scripts])
}

/// Makes a Makefile name the files below `place` instead of those in the system's folders.
fn relocate(makefile: &Path, place: &Path) -> Result<()> {
    let text = fs::read_to_string(makefile).with_context(|| format!("{} cannot be read", makefile.display()))?;
    let text = text.replace("/usr/src/", &format!("{}/usr/src/", place.display()));
    fs::write(makefile, text).with_context(|| format!("{} cannot be written", makefile.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_follow_debian_s_names() {
        let kbuild = ["linux-kbuild-6.1", "linux-kbuild-6.12.117+deb13", "linux-kbuild-7.3.4+deb13"].map(str::to_owned);
        let chosen = |release| packages(release, &kbuild).expect("they are known");
        assert_eq!(
            chosen("6.1.0-56-amd64"),
            ["linux-headers-6.1.0-56-amd64", "linux-headers-6.1.0-56-common", "linux-kbuild-6.1"]
        );
        assert_eq!(
            chosen("7.3.4+deb13-amd64"),
            ["linux-headers-7.3.4+deb13-amd64", "linux-headers-7.3.4+deb13-common", "linux-kbuild-7.3.4+deb13"]
        );
        assert_eq!(chosen("6.12.117+deb13-cloud-amd64")[1], "linux-headers-6.12.117+deb13-common");
        assert!(packages("6.12.117+deb13-arm64", &kbuild).is_err());
    }
}
