//! The staged installation under test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs and libraries as `cargo xtask build` stages them.
#[derive(Clone, Debug)]
pub struct Prefix(PathBuf);

impl Prefix {
    /// The prefix that `USB4_PREFIX` names, or `target/usb4`.
    ///
    /// # Panics
    /// If nothing is staged there.
    #[must_use]
    pub fn staged() -> Prefix {
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/usb4");
        let prefix = Prefix(std::env::var_os("USB4_PREFIX").map_or_else(usual, PathBuf::from));
        assert!(
            prefix.program("usb4ctl").is_file(),
            "nothing is staged in {}; run `cargo xtask test --only mpi`, which builds first",
            prefix.0.display()
        );
        prefix
    }

    /// The path of a program: usb4ctl, osu-bench, or an example (the latter two for Open MPI).
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// The path of an example, built for MPICH.
    #[must_use]
    pub fn mpich_program(&self, name: &str) -> PathBuf {
        self.0.join("mpich/bin").join(name)
    }

    /// usb4ctl without the variables of the shell that runs the tests.
    #[must_use]
    pub fn usb4ctl(&self) -> Command {
        let mut command = Command::new(self.program("usb4ctl"));
        clear(&mut command);
        command
    }

    /// What `usb4ctl env` prints where nothing is set.
    ///
    /// # Panics
    /// If usb4ctl fails.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let output = self.usb4ctl().args(["env", "--json"]).output().expect("usb4ctl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("usb4ctl env --json prints an object of strings")
    }
}

/// Takes every setting of UCX and of the MPIs from a command: each test says what it sets.
pub(crate) fn clear(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["UCX_", "OMPI_", "PMIX_", "PMI_", "MPICH_", "MPIR_", "SLURM_"].iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command.env_remove("LD_PRELOAD");
}
