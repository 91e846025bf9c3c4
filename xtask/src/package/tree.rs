//! The files of a package in the places that a system has for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::folder;
use crate::stage::Stage;
use crate::workspace;

/// A system's places, relative to its root, or to the prefix for an archive.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    bin: &'static str,
    lib: &'static str,
    share: &'static str,
    zsh: &'static str,
    fish: &'static str,
    modulefiles: &'static str,
    /// Where udev's rules go; none: not installed.
    udev: Option<&'static str>,
    /// Whether there is an /etc for the profile script.
    has_etc: bool,
    /// The path of usb4ctl that the module file names; an archive's install script fills it in.
    usb4ctl: &'static str,
}

/// Debian's multi-arch layout.
pub(crate) const DEBIAN: Layout = Layout {
    name: "deb",
    bin: "usr/bin",
    lib: if cfg!(target_arch = "aarch64") { "usr/lib/aarch64-linux-gnu" } else { "usr/lib/x86_64-linux-gnu" },
    share: "usr/share",
    zsh: "usr/share/zsh/vendor-completions",
    fish: "usr/share/fish/vendor_completions.d",
    modulefiles: "usr/share/modules/modulefiles",
    udev: Some("usr/lib/udev/rules.d"),
    has_etc: true,
    usb4ctl: "/usr/bin/usb4ctl",
};

/// Fedora's and its relatives'.
pub(crate) const FEDORA: Layout = Layout {
    name: "rpm",
    lib: "usr/lib64",
    zsh: "usr/share/zsh/site-functions",
    modulefiles: "usr/share/modulefiles",
    ..DEBIAN
};

/// A prefix of the user's choice.
pub(crate) const PREFIX: Layout = Layout {
    name: "tar",
    bin: "bin",
    lib: "lib",
    share: "share",
    zsh: "share/zsh/site-functions",
    fish: "share/fish/vendor_completions.d",
    modulefiles: "share/modulefiles",
    udev: None,
    has_etc: false,
    usb4ctl: "@USB4CTL@",
};

/// Programs that users get; the examples stay in the source.
const PROGRAMS: [&str; 2] = ["usb4ctl", "osu-bench"];
const LIBRARIES: [&str; 2] = ["libuct_usb4.so.0", "libucx_usb4_preload.so"];

/// Puts the staged files, and what is made of them, into a folder of that layout.
pub(crate) fn make(shell: &Shell, stage: &Stage, layout: &Layout) -> Result<PathBuf> {
    let root = folder().join("tree").join(layout.name);
    shell.remove_path(&root)?;
    let tree = Tree { shell, root: root.clone() };
    for program in PROGRAMS {
        tree.binary(&stage.program(program), layout.bin, program)?;
    }
    for library in LIBRARIES {
        tree.binary(&stage.prefix().join("lib/ucx-usb4").join(library), &format!("{}/ucx-usb4", layout.lib), library)?;
    }
    manuals(&tree, stage, layout)?;
    completions(&tree, stage, layout)?;
    let files = workspace::root().join("packaging/files");
    let module = shell.read_file(files.join("modulefile"))?.replace("@USB4CTL@", layout.usb4ctl);
    tree.text(layout.modulefiles, "ucx-usb4", module)?;
    let dissector = shell.read_file(workspace::root().join("packaging/wireshark/usb4.lua"))?;
    tree.text(&format!("{}/ucx-usb4", layout.share), "usb4.lua", dissector)?;
    if layout.has_etc {
        tree.text("etc/profile.d", "ucx-usb4.sh", shell.read_file(files.join("profile.sh"))?)?;
        tree.text("etc/default", "ucx-usb4", shell.read_file(files.join("default"))?)?;
    }
    let rules = workspace::root().join("kernel/udev/60-usb4-dma.rules");
    if let Some(udev) = layout.udev.filter(|_| rules.is_file()) {
        tree.text(udev, "60-usb4-dma.rules", shell.read_file(rules)?)?;
    }
    Ok(root)
}

/// usb4ctl writes a page for itself and each subcommand, osu-bench one.
fn manuals(tree: &Tree, stage: &Stage, layout: &Layout) -> Result<()> {
    let shell = tree.shell;
    let scratch = shell.create_temp_dir()?;
    let (usb4ctl, osu_bench, pages) = (stage.program("usb4ctl"), stage.program("osu-bench"), scratch.path());
    cmd!(shell, "{usb4ctl} man {pages}").quiet().run()?;
    let page = cmd!(shell, "{osu_bench} man").quiet().read()?;
    shell.write_file(pages.join("osu-bench.1"), page + "\n")?;
    let folder = format!("{}/man/man1", layout.share);
    for page in shell.read_dir(pages)? {
        let name = page.file_name().and_then(|name| name.to_str()).context("a man page has a name")?;
        tree.text(&folder, name, shell.read_file(&page)?)?;
        let path = tree.root.join(&folder).join(name);
        cmd!(shell, "gzip -9n {path}").quiet().run()?;
    }
    Ok(())
}

fn completions(tree: &Tree, stage: &Stage, layout: &Layout) -> Result<()> {
    let (shell, usb4ctl) = (tree.shell, stage.program("usb4ctl"));
    let bash = format!("{}/bash-completion/completions", layout.share);
    for (name, folder, file) in
        [("bash", bash.as_str(), "usb4ctl"), ("zsh", layout.zsh, "_usb4ctl"), ("fish", layout.fish, "usb4ctl.fish")]
    {
        let script = cmd!(shell, "{usb4ctl} completions {name}").quiet().read()?;
        tree.text(folder, file, script + "\n")?;
    }
    Ok(())
}

/// A folder that is being filled.
struct Tree<'a> {
    shell: &'a Shell,
    root: PathBuf,
}

impl Tree<'_> {
    fn text(&self, folder: &str, name: &str, text: String) -> Result<()> {
        // write_file makes the folder.
        Ok(self.shell.write_file(self.root.join(folder).join(name), text)?)
    }

    /// A program or a library, without what only a debugger reads.
    fn binary(&self, from: &Path, folder: &str, name: &str) -> Result<()> {
        let to = self.root.join(folder).join(name);
        self.shell.create_dir(self.root.join(folder))?;
        let shell = self.shell;
        cmd!(shell, "strip --strip-unneeded --remove-section=.comment --remove-section=.note -o {to} {from}")
            .quiet()
            .run()?;
        ensure!(to.is_file(), "{} was not written", to.display());
        Ok(())
    }
}
