//! Whole Debian systems in folders, for tests with other releases of MPI and UCX than the machine has.
//!
//! mmdebstrap installs them as an administrator would, maintainer scripts included. Commands run in them with namespaces of
//! their own: what they mount and start ends with them. As root that needs nothing more; as another user it needs the
//! package `uidmap`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::packages;
use crate::vm::apt::mirror;
use crate::vm::cache::{Cache, checksum};
use crate::workspace;

/// A system to install.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Its name, and its folder's.
    pub(crate) name: &'static str,
    /// What it is for.
    about: &'static str,
    /// Debian's name of the release.
    suite: &'static str,
    /// What is installed beside the essential packages.
    packages: &'static [&'static str],
    /// What is taken from sid, because the release has none of it.
    sid: &'static [&'static str],
}

/// Debian 13 with both MPIs, its UCX, and what a C program on UCX is built with.
pub(crate) const DEBIAN13_MPI: Spec = Spec {
    name: "debian13-mpi",
    about: "Debian 13: Open MPI 5.0, MPICH 4.2, UCX 1.18",
    suite: "trixie",
    packages: &["openmpi-bin", "mpich", "ucx-utils", "gcc", "libc6-dev", "libucx-dev", "procps", "iproute2"],
    sid: &[],
};

/// Debian 12 with nothing, to install packages in.
pub(crate) const DEBIAN12: Spec = Spec {
    name: "debian12",
    about: "Debian 12, nothing more",
    suite: "bookworm",
    packages: &["ca-certificates"],
    sid: &[],
};

/// Debian 13 with nothing.
pub(crate) const DEBIAN13: Spec = Spec {
    name: "debian13",
    about: "Debian 13, nothing more",
    suite: "trixie",
    packages: &["ca-certificates"],
    sid: &[],
};

/// Debian 13 with its torch, whose distributed part speaks MPI.
pub(crate) const DEBIAN13_TORCH: Spec = Spec {
    name: "debian13-torch",
    about: "Debian 13: torch 2.6, mpi4py 4.0, Open MPI 5.0, UCX 1.18",
    suite: "trixie",
    packages: &[
        "openmpi-bin",
        "ucx-utils",
        "procps",
        "libopenblas0-pthread",
        "python3-torch",
        "python3-mpi4py",
        "python3-numpy",
        "python3-safetensors",
        "python3-tqdm",
    ],
    sid: &[],
};

/// Debian 13 with UCC, of which it has no package itself, and what C programs are built with.
pub(crate) const DEBIAN13_UCC: Spec = Spec {
    name: "debian13-ucc",
    about: "Debian 13: Open MPI 5.0, UCX 1.18, and UCC from sid",
    suite: "trixie",
    packages: &["openmpi-bin", "libopenmpi-dev", "gcc", "libc6-dev", "ucx-utils", "procps"],
    sid: &["libucc1", "libucc-dev"],
};

/// All of them.
pub(crate) const SPECS: &[Spec] = &[DEBIAN13_MPI, DEBIAN12, DEBIAN13, DEBIAN13_TORCH, DEBIAN13_UCC];

/// Commands of `cargo xtask folder`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// List the systems
    List,

    /// Install one, unless it is there already
    Make {
        /// Its name
        name: String,
        /// Install it anew
        #[arg(long)]
        refresh: bool,
    },

    /// Run a command in one; this repository and its target folder are at the same paths there
    Run {
        /// Its name
        name: String,
        /// Throw away what the command changes; inside, apt-get works
        #[arg(long)]
        disposable: bool,
        /// The command
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<std::ffi::OsString>,
    },
}

/// Does what the subcommand says.
pub(crate) fn run(shell: &Shell, task: &Task) -> Result<()> {
    match task {
        Task::List => SPECS.iter().for_each(|spec| println!("{:14} {}", spec.name, spec.about)),
        Task::Make { name, refresh } => {
            let folder = Folder::open(shell, find(name)?, *refresh)?;
            println!("{}", folder.root.display());
        }
        Task::Run { name, disposable, command } => {
            let (program, arguments) = command.split_first().context("no command given; write it after --")?;
            let folder = Folder::open(shell, find(name)?, false)?;
            let mode = if *disposable { Mode::Disposable } else { Mode::Kept };
            let mut command = folder.enter(mode, program.as_ref(), &[workspace::root(), &workspace::target()])?;
            let status = command.args(arguments).status().context("unshare did not start")?;
            ensure!(status.success(), "the command failed in {name}: {status}");
        }
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Spec> {
    let names = || SPECS.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
    SPECS
        .iter()
        .find(|spec| spec.name == name)
        .with_context(|| format!("there is no folder {name}; there are {}", names()))
}

/// An installed system.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Takes it from the cache, or installs it there.
    pub(crate) fn open(shell: &Shell, spec: &Spec, refresh: bool) -> Result<Folder> {
        let cache = Cache::open()?;
        // With another list of packages it is another folder.
        let list = checksum(format!("{:?}{:?}{:?}", spec.suite, spec.packages, spec.sid).as_bytes());
        let root = cache.folder(&format!("folder-{}-{list:08x}", spec.name), refresh, |folder| {
            packages::install(shell, &[packages::FOLDER])?;
            bootstrap(spec, folder)
        })?;
        Ok(Folder { root: root.join("root") })
    }

    /// A command in it, to which arguments and variables can be added. It sees the machine's devices, the folders in `shared`
    /// at their own paths, and, if it exists there, the current folder. Killing the command kills all that it started.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, shared: &[&Path]) -> Result<Command> {
        self.enter(Mode::Kept, program.as_ref(), shared)
    }

    /// The same in a copy that vanishes with the command; the machine's name servers are there, so apt works.
    pub(crate) fn disposable(&self, program: impl AsRef<OsStr>, shared: &[&Path]) -> Result<Command> {
        self.enter(Mode::Disposable, program.as_ref(), shared)
    }

    fn enter(&self, mode: Mode, program: &OsStr, shared: &[&Path]) -> Result<Command> {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", ENTER, "enter"]);
        command.arg(mode.word()).arg(&self.root).arg(std::env::current_dir()?);
        for folder in shared {
            std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            command.arg(folder);
        }
        command.arg("--").arg(program);
        Ok(command)
    }
}

/// What becomes of changes.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Kept,
    /// They go to memory.
    Disposable,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Mode::Kept => "kept",
            Mode::Disposable => "disposable",
        }
    }
}

/// Arguments: the mode, the folder, the current folder, folders to share, `--`, the command. The shell stays as the namespace's first
/// process, which the kernel shields from signals without a handler; the command itself gets them as it always does. Not
/// chroot: inside one, no process may make a user namespace, as some tests do.
const ENTER: &str = r#"
umask 022
mode=$1; root=$2; here=$3; shift 3
if [ "$mode" = disposable ]; then
    names=$(cat /etc/resolv.conf)
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
    root=/mnt/root
    printf '%s\n' "$names" >"$root/etc/resolv.conf"
else
    mount --rbind "$root" "$root"
fi
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    shift
done
shift
[ -d "$root$here" ] || here=/
cd "$root"
pivot_root . .
umount -l .
cd "$here"
"$@" && code=0 || code=$?
exit $code
"#;

fn bootstrap(spec: &Spec, folder: &Path) -> Result<()> {
    let Spec { name, suite, packages, sid, .. } = spec;
    eprintln!("installing {name} ({}) in {}; this takes minutes", spec.about, folder.display());
    let main = mirror("UCX_USB4_DEBIAN_MIRROR", crate::vm::apt::DEFAULT_MIRROR);
    let security = mirror("UCX_USB4_DEBIAN_SECURITY_MIRROR", crate::vm::apt::DEFAULT_SECURITY_MIRROR);
    let sources = format!("deb {main} {suite} main\ndeb {security} {suite}-security main\n");
    let list = folder.join("sources.list");
    std::fs::write(&list, sources)?;
    let status = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--include={}", packages.join(",")))
        .args(from_sid(&main, suite, sid))
        .args([OsStr::new(suite), folder.join("root").as_os_str(), list.as_os_str()])
        .status()
        .context("mmdebstrap did not start")?;
    ensure!(status.success(), "{name} cannot be installed; is the network there?");
    Ok(())
}

/// Options that add packages of sid, and leave everything that the release has as it is. Snapshots of sid, which some mirrors
/// serve, are older than their lists are valid.
fn from_sid(mirror: &str, suite: &str, packages: &[&str]) -> Vec<String> {
    if packages.is_empty() {
        return Vec::new();
    }
    let list = format!("echo 'deb {mirror} sid main' > \"$1/etc/apt/sources.list.d/sid.list\"");
    let update = "chroot \"$1\" apt-get -qq -o Acquire::Check-Valid-Until=false update".to_owned();
    let install = format!("chroot \"$1\" apt-get -qq -y -t {suite} install {}", packages.join(" "));
    [list, update, install].map(|hook| format!("--customize-hook={hook}")).to_vec()
}
