//! A Debian root for guests that run MPI: Open MPI, UCX, ssh; as an erofs image.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::apt::Apt;
use super::cache::Cache;
use super::tools::Tools;

const PACKAGES: [&str; 12] = [
    "base-files",
    "base-passwd",
    "dash",
    "coreutils",
    "bash",
    "procps",
    "iproute2",
    "openmpi-bin",
    "libucx0",
    "ucx-utils",
    "openssh-server",
    "openssh-client",
];
const IMAGE: &str = "root.erofs";

/// Takes the image from the cache, or makes it.
pub(crate) fn fetch(cache: &Cache, tools: &Tools, refresh: bool) -> Result<PathBuf> {
    let fill = |folder: &Path| {
        let root = folder.join("root");
        fs::create_dir(&root)?;
        Apt::open(cache, refresh)?.unpack_with_dependencies(&PACKAGES, &root)?;
        prepare(&root)?;
        pack(tools, &root, &folder.join(IMAGE))?;
        fs::remove_dir_all(&root).context("the unpacked Debian root cannot be removed")
    };
    Ok(cache.folder("debian", refresh, fill)?.join(IMAGE))
}

/// Does what the packages' own scripts would have done, as far as these programs need it.
fn prepare(root: &Path) -> Result<()> {
    for folder in ["etc/ssh", "job", "m", "tmp", "run", "dev", "proc", "sys", "root/.ssh", "var/empty"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for (name, contents) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
        ),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("etc/ssh/sshd_config", "UsePAM no\nPermitRootLogin prohibit-password\n"),
        (
            "etc/ssh/ssh_config",
            "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n",
        ),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"),
    ] {
        fs::write(root.join(name), contents)?;
    }
    // What update-alternatives would have linked.
    for (link, target) in
        [("mpirun", "mpirun.openmpi"), ("mpiexec", "mpiexec.openmpi"), ("ompi_info", "ompi_info.openmpi")]
    {
        let link = root.join("usr/bin").join(link);
        if !link.exists() && root.join("usr/bin").join(target).exists() {
            symlink(target, link)?;
        }
    }
    // Libraries for graphics cards that guests do not have; they are most of the bytes.
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    for entry in fs::read_dir(&libraries).context("the Debian root has no libraries")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if ["libamd", "librocm", "libhsa", "libLLVM", "libhip"].iter().any(|prefix| name.starts_with(prefix)) {
            fs::remove_file(libraries.join(name))?;
        }
    }
    for folder in ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"] {
        if root.join(folder).exists() {
            fs::remove_dir_all(root.join(folder))?;
        }
    }
    Ok(())
}

fn pack(tools: &Tools, root: &Path, image: &Path) -> Result<()> {
    println!("packing the Debian root");
    let mut command = tools.command("usr/bin/mkfs.erofs");
    let status = command
        .arg("--all-root")
        .arg(image)
        .arg(root)
        .stdout(Stdio::null())
        .status()
        .context("mkfs.erofs did not start")?;
    ensure!(status.success(), "the Debian root cannot be packed: is the disk full?");
    Ok(())
}
