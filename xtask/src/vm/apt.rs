//! Debian packages by name, without touching the host's package system.
//!
//! apt runs with a configuration of its own: its own sources, lists and archive folder, and an empty list of installed packages, so
//! that dependencies are resolved down to the C library. Packages are unpacked, never installed: no root, no chroot, no scripts.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::cache::Cache;

pub(crate) const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
pub(crate) const DEFAULT_SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];
/// Where newer versions of QEMU and kernels come from.
pub(crate) const BACKPORTS: &str = "trixie-backports";

/// apt with our configuration.
pub(crate) struct Apt {
    root: PathBuf,
    config: PathBuf,
}

impl Apt {
    /// Prepares apt and reads the package lists, or reuses lists read before unless `refresh` is asked for.
    pub(crate) fn open(cache: &Cache, refresh: bool) -> Result<Apt> {
        for (program, package) in [("apt-get", "apt"), ("dpkg-deb", "dpkg"), ("tar", "tar")] {
            ensure!(
                is_installed(program),
                "{program} is not installed, and without it Debian packages cannot be fetched: install the package {package} (other \
                 distributions than Debian ship it too)"
            );
        }
        let keyring = KEYRINGS.iter().map(Path::new).find(|path| path.exists());
        let keyring =
            keyring.context("Debian's archive keys are missing: install the package debian-archive-keyring")?;
        let root = cache.root().join("apt");
        for folder in ["lists/partial", "archives/partial", "etc/preferences.d"] {
            fs::create_dir_all(root.join(folder)).with_context(|| format!("{} cannot be made", root.display()))?;
        }
        let config = root.join("apt.conf");
        fs::write(root.join("status"), "")?;
        fs::write(root.join("sources.list"), sources(keyring))?;
        fs::write(&config, configuration(&root))?;
        let apt = Apt { root, config };
        let stamp = apt.root.join("updated");
        if refresh || !stamp.exists() {
            println!("reading package lists");
            apt.run(&["update", "-qq"], "the package lists cannot be read")?;
            fs::write(&stamp, "")?;
        }
        Ok(apt)
    }

    /// Downloads `packages` and everything they depend on, and unpacks it all into `into`.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str], into: &Path) -> Result<()> {
        let archives = self.root.join("archives");
        for file in debs(&archives)? {
            fs::remove_file(file)?;
        }
        println!("fetching {} and what they depend on", packages.join(", "));
        let mut arguments = vec!["install", "--download-only", "-y", "-qq", "-t", BACKPORTS];
        arguments.extend(packages);
        self.run(&arguments, &format!("{} cannot be fetched", packages.join(", ")))?;
        for deb in debs(&archives)? {
            let status = Command::new("dpkg-deb").arg("-x").arg(&deb).arg(into).status();
            ensure!(status.context("dpkg-deb did not start")?.success(), "{} cannot be unpacked", deb.display());
            fs::remove_file(deb)?;
        }
        Ok(())
    }

    /// Downloads one package without dependencies, and unpacks those of its files that match one of `patterns` (as tar has them).
    pub(crate) fn unpack_some(&self, package: &str, patterns: &[&str], into: &Path) -> Result<()> {
        println!("fetching {package}");
        let folder = tempfile::tempdir_in(&self.root).context("no temporary folder can be made in the cache")?;
        let what = format!("{package} cannot be fetched");
        self.run_in(folder.path(), &["download", "-qq", package], &what)?;
        for deb in debs(folder.path())? {
            let mut reader = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&deb).stdout(Stdio::piped()).spawn()?;
            let stream = reader.stdout.take().context("dpkg-deb gave no output")?;
            let mut unpack = Command::new("tar");
            unpack.args(["-x", "--no-same-owner", "--wildcards", "-C"]).arg(into).args(patterns).stdin(stream);
            // tar complains about each pattern without a match; the caller looks for what it needs.
            unpack.stderr(Stdio::null()).status().context("tar did not start")?;
            ensure!(reader.wait()?.success(), "{} cannot be unpacked: is the disk full?", deb.display());
        }
        Ok(())
    }

    /// Names of all packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let output = Command::new("apt-cache").env("APT_CONFIG", &self.config).args(["pkgnames", prefix]).output();
        let output = output.context("apt-cache did not start: install the package apt")?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    fn run(&self, arguments: &[&str], what: &str) -> Result<()> {
        self.run_in(&self.root, arguments, what)
    }

    fn run_in(&self, folder: &Path, arguments: &[&str], what: &str) -> Result<()> {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &self.config).env("DEBIAN_FRONTEND", "noninteractive").current_dir(folder);
        let output = command.args(arguments).stdin(Stdio::null()).output().context("apt-get did not start")?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() && !text.contains("Failed to fetch") {
            return Ok(());
        }
        let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("E:") || line.starts_with("W:")).collect();
        bail!(
            "{what}: {}\nIs the network there? Another mirror can be named in UCX_USB4_DEBIAN_MIRROR (now {}), and old package lists \
             can be renewed with `cargo xtask vm fetch --refresh`.",
            if errors.is_empty() { text.trim().to_owned() } else { errors.join("\n") },
            mirror("UCX_USB4_DEBIAN_MIRROR", DEFAULT_MIRROR)
        );
    }
}

/// Whether a program is in the search path.
fn is_installed(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The mirror that the variable names, else the default.
pub(crate) fn mirror(variable: &str, default: &str) -> String {
    env::var(variable).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
}

fn sources(keyring: &Path) -> String {
    let main = mirror("UCX_USB4_DEBIAN_MIRROR", DEFAULT_MIRROR);
    let security = mirror("UCX_USB4_DEBIAN_SECURITY_MIRROR", DEFAULT_SECURITY_MIRROR);
    let line = |mirror: &str, suite: &str| format!("deb [signed-by={}] {mirror} {suite} main\n", keyring.display());
    // Bookworm is there for kernel 6.1.
    ["trixie", BACKPORTS, "bookworm"].map(|suite| line(&main, suite)).concat()
        + &["trixie-security", "bookworm-security"].map(|suite| line(&security, suite)).concat()
}

fn configuration(root: &Path) -> String {
    let at = |name: &str| root.join(name).display().to_string();
    format!(
        r#"Dir::State "{root}";
Dir::State::status "{status}";
Dir::State::lists "{lists}";
Dir::Cache "{root}";
Dir::Cache::archives "{archives}";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc "{etc}";
Dir::Etc::sourcelist "{sources}";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Log "{root}";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
"#,
        root = root.display(),
        status = at("status"),
        lists = at("lists"),
        archives = at("archives"),
        etc = at("etc"),
        sources = at("sources.list"),
    )
}

fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}
