//! What packages make of the command line: man pages and shell completions.

use std::io;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::out;

/// Writes usb4ctl.1 and a page for each subcommand into a folder.
pub(crate) fn man_pages(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("the man pages cannot be written to {}", folder.display()))
}

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "usb4ctl", &mut script);
    out::text(String::from_utf8_lossy(&script))
}
