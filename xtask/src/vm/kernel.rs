//! Debian kernels by series: which package, its image, its modules and what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use super::apt::Apt;
use super::cache::Cache;
use super::tools::Tools;

/// What of a kernel's packages guests may need, as tar patterns. `*` also stands for slashes, so each covers `/usr/lib/modules` and
/// `/lib/modules`.
const PATTERNS: [&str; 17] = [
    "./boot/vmlinuz*",
    "*/vmlinuz",
    "*/modules.builtin",
    "*/kernel/drivers/thunderbolt/*",
    "*/kernel/drivers/net/thunderbolt*",
    "*/kernel/drivers/virtio/*",
    "*/kernel/drivers/block/virtio_blk*",
    "*/kernel/drivers/net/virtio_net*",
    "*/kernel/drivers/net/net_failover*",
    "*/kernel/drivers/char/hw_random/*",
    "*/kernel/net/core/*",
    "*/kernel/net/9p/*",
    "*/kernel/fs/*",
    "*/kernel/lib/*",
    "*/kernel/crypto/*",
    "*/kernel/arch/x86/crypto/*",
    "*/kernel/mm/*",
];

/// A kernel in the cache.
pub(crate) struct Kernel {
    /// Series as asked for, such as 6.12.
    pub(crate) series: String,
    /// Release, such as 6.12.117+deb13-amd64.
    pub(crate) release: String,
    folder: PathBuf,
    modules: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl Kernel {
    /// Takes the newest kernel of `series` (such as 6.12; 6.12-cloud names a flavour) from the cache, or downloads it.
    ///
    /// # Errors
    /// When no such package exists, or when it was built without USB4.
    pub(crate) fn fetch(cache: &Cache, tools: &Tools, series: &str, refresh: bool) -> Result<Kernel> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        ensure!(
            series.starts_with(|c: char| c.is_ascii_digit()) && series.chars().all(plain),
            "kernel \"{series}\" is no series: name one such as 6.1, 6.12 or 7.3"
        );
        let fill = |folder: &Path| {
            let apt = Apt::open(cache, refresh)?;
            let packages = choose(series, &apt.names("linux-image-")?, &apt.names("linux-binary-")?)?;
            for package in &packages {
                apt.unpack_some(package, &PATTERNS, folder)?;
            }
            decompress(tools, folder)?;
            // A package without these would stay in the cache for good.
            Kernel::examine(series, folder.to_owned())?.image().map(drop)
        };
        let folder = cache.folder(&format!("kernel-{series}"), refresh, fill)?;
        let kernel = Kernel::examine(series, folder)?;
        kernel.check_usb4()?;
        Ok(kernel)
    }

    /// The kernel image.
    pub(crate) fn image(&self) -> Result<PathBuf> {
        let candidates =
            [self.folder.join(format!("boot/vmlinuz-{}", self.release)), self.module_root().join("vmlinuz")];
        candidates.into_iter().find(|path| path.is_file()).with_context(|| {
            format!(
                "{} has no kernel image: fetch it anew with `cargo xtask vm fetch --refresh`",
                self.folder.display()
            )
        })
    }

    /// Whether there is such a module.
    pub(crate) fn has_module(&self, name: &str) -> bool {
        self.modules.contains_key(name)
    }

    /// The files to load for module `name`, in order. Empty when it is built into the kernel.
    pub(crate) fn load_order(&self, name: &str) -> Result<Vec<(String, PathBuf)>> {
        let mut order = Vec::new();
        self.add_to(&mut order, name, 0)?;
        Ok(order)
    }

    fn add_to(&self, order: &mut Vec<(String, PathBuf)>, name: &str, depth: usize) -> Result<()> {
        let name = name.replace('-', "_");
        if self.built_in.contains(&name) || order.iter().any(|(other, _)| *other == name) {
            return Ok(());
        }
        ensure!(depth < 32, "the modules of kernel {} depend on each other in a circle", self.release);
        let Some(path) = self.modules.get(&name) else {
            bail!("kernel {} has no module {name}: take another kernel or flavour", self.release);
        };
        for dependency in dependencies(&fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?) {
            self.add_to(order, &dependency, depth + 1)?;
        }
        order.push((name, path.clone()));
        Ok(())
    }

    /// The kernel of an unpacked package.
    pub(crate) fn examine(series: &str, folder: PathBuf) -> Result<Kernel> {
        let roots = [folder.join("usr/lib/modules"), folder.join("lib/modules")];
        let root = roots.into_iter().find(|root| root.is_dir()).context("the kernel package has no modules")?;
        let release = fs::read_dir(&root)?.next().context("the kernel package has no modules")??.file_name();
        let release = release.to_string_lossy().into_owned();
        let root = root.join(&release);
        let mut modules = BTreeMap::new();
        collect(&root.join("kernel"), &mut modules)?;
        let built_in = fs::read_to_string(root.join("modules.builtin")).unwrap_or_default();
        let built_in = built_in.lines().filter_map(|line| module_name(Path::new(line))).collect();
        Ok(Kernel { series: series.to_owned(), release, folder, modules, built_in })
    }

    fn module_root(&self) -> PathBuf {
        let usual = self.folder.join("usr/lib/modules").join(&self.release);
        if usual.is_dir() { usual } else { self.folder.join("lib/modules").join(&self.release) }
    }

    fn check_usb4(&self) -> Result<()> {
        ensure!(
            self.has_module("thunderbolt") || self.built_in.contains("thunderbolt"),
            "kernel {} was built without CONFIG_USB4: it has no thunderbolt module. Take another flavour (Debian's cloud kernels have none, \
             its plain amd64 ones do)",
            self.release
        );
        Ok(())
    }
}

/// The packages that make up the newest kernel of `series`. Newer kernels come in parts, and their
/// `linux-image` is empty.
fn choose(series: &str, images: &[String], binaries: &[String]) -> Result<Vec<String>> {
    let (version, flavour) = match series.split_once('-') {
        Some((version, flavour)) => (version, format!("{flavour}-amd64")),
        None => (series, "amd64".to_owned()),
    };
    let newest = |prefix: &str, names: &[String]| {
        let release = |name: &String| {
            let release = name.strip_prefix(prefix)?.strip_prefix(version)?.strip_prefix('.')?;
            let release = release.strip_suffix("-unsigned").unwrap_or(release).strip_suffix(&format!("-{flavour}"))?;
            // What is left is a version: 117+deb13, or 0-56. Letters that begin a word would be another flavour.
            let numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
            let is_version = !release.split('-').any(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
            is_version.then(|| (numbers.collect::<Vec<_>>(), !name.ends_with("-unsigned"), name.clone()))
        };
        names.iter().filter_map(release).max().map(|(_, _, name)| name)
    };
    if let Some(binary) = newest("linux-binary-", binaries) {
        return Ok(["base", "modules", "binary"].map(|part| binary.replacen("binary", part, 1)).to_vec());
    }
    if let Some(image) = newest("linux-image-", images) {
        return Ok(vec![image]);
    }
    bail!(
        "Debian has no kernel {series}: 6.1, 6.12 and 7.3 are the ones to take. If it should have it, renew the package lists with `cargo \
         xtask vm fetch --refresh`"
    )
}

/// Unpacks `.ko.xz` files: busybox loads plain modules only.
fn decompress(tools: &Tools, folder: &Path) -> Result<()> {
    let mut compressed = Vec::new();
    find(folder, "xz", &mut compressed)?;
    for some in compressed.chunks(100) {
        let mut command = tools.command("usr/bin/xz");
        let status = command.args(["-d", "--"]).args(some).stdin(Stdio::null()).status().context("xz did not start")?;
        ensure!(status.success(), "the kernel's modules cannot be unpacked: is the disk full?");
    }
    Ok(())
}

fn find(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find(&path, extension, found)?;
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    Ok(())
}

fn collect(folder: &Path, modules: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let mut files = Vec::new();
    find(folder, "ko", &mut files)?;
    modules.extend(files.into_iter().filter_map(|path| Some((module_name(&path)?, path))));
    Ok(())
}

/// The name that the kernel gives to a module's file.
fn module_name(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_str()?.replace('-', "_"))
}

/// What a module's `.modinfo` section says that it depends on.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[start + KEY.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_newest_plain_kernel_of_a_series_is_chosen() {
        let images = names(&[
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-56-amd64-unsigned",
            "linux-image-6.1.0-54-amd64",
            "linux-image-6.1.0-57-rt-amd64",
            "linux-image-6.1.0-57-amd64-dbg",
            "linux-image-6.12.96+deb13-amd64",
            "linux-image-6.12.117+deb13-amd64-unsigned",
            "linux-image-6.12.117+deb13-amd64",
            "linux-image-6.12.118+deb13-cloud-amd64",
            "linux-image-6.12-amd64",
            "linux-image-7.3.4+deb13-amd64",
        ]);
        let binaries = names(&[
            "linux-binary-7.3.4+deb13-amd64",
            "linux-binary-7.3.4+deb13-rt-amd64",
            "linux-binary-unsigned-7.3.9+deb13-amd64",
        ]);
        let chosen = |series| choose(series, &images, &binaries).expect("there is one");
        assert_eq!(chosen("6.1"), ["linux-image-6.1.0-56-amd64-unsigned"]);
        assert_eq!(chosen("6.12"), ["linux-image-6.12.117+deb13-amd64"]);
        assert_eq!(chosen("6.12-cloud"), ["linux-image-6.12.118+deb13-cloud-amd64"]);
        assert_eq!(
            chosen("7.3"),
            ["linux-base-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-amd64", "linux-binary-7.3.4+deb13-amd64"]
        );
        let refusal = choose("5.4", &images, &binaries).expect_err("there is none").to_string();
        assert!(refusal.contains("no kernel 5.4") && refusal.contains("--refresh"));
    }

    #[test]
    fn dependencies_are_read_from_modinfo() {
        assert_eq!(dependencies(b"xx\0license=GPL\0depends=netfs,9pnet\0retpoline=Y\0"), ["netfs", "9pnet"]);
        assert!(dependencies(b"\0depends=\0").is_empty());
        assert!(dependencies(b"nothing").is_empty());
    }
}
