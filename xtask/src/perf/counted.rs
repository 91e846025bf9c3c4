//! Instructions counted by valgrind's callgrind: they repeat exactly, whatever else the machine does.

use std::path::Path;

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::packages;

/// What one run of a program executed while the counting was on.
pub(super) struct Counted {
    table: String,
    /// What the program printed.
    pub(super) output: String,
}

impl Counted {
    /// Runs the program. Counting is on inside the functions whose names match `toggle`, so that start and warm-up are left out.
    pub(super) fn run(shell: &Shell, toggle: &str, program: &Path, arguments: &[String]) -> anyhow::Result<Self> {
        packages::install(shell, &[packages::BUILD, packages::VALGRIND])?;
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("callgrind.out");
        let output = cmd!(
            shell,
            "valgrind --quiet --tool=callgrind --callgrind-out-file={out} --toggle-collect={toggle} {program} {arguments...}"
        )
        .quiet()
        .read()?;
        let table = cmd!(shell, "callgrind_annotate --auto=no --inclusive=yes --threshold=100 {out}").quiet().read()?;
        Ok(Self { table, output })
    }

    /// All that was counted.
    pub(super) fn total(&self) -> anyhow::Result<u64> {
        let line = self.table.lines().find(|line| line.contains("PROGRAM TOTALS"));
        line.and_then(count).context("callgrind_annotate printed no total")
    }

    /// A function with all that it called: `1,234 (5.6%)  file:function [object]`.
    pub(super) fn inclusive(&self, function: &str) -> anyhow::Result<u64> {
        let counts = self.table.lines().filter_map(|line| {
            let name = line.trim_start().split_once(' ')?.1.split(" [").next()?.trim_end();
            name.ends_with(&format!(":{function}")).then(|| count(line)).flatten()
        });
        // What the compiler inlined from other files stands on lines of its own, each less than the whole.
        counts.max().with_context(|| format!("callgrind did not see {function}"))
    }
}

/// The number that a line begins with.
fn count(line: &str) -> Option<u64> {
    line.split_whitespace().next()?.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_function_counts() {
        let table = "\
20,918,534 (100.0%)  PROGRAM TOTALS
20,918,534 (100.0%)  src/short_path.rs:short_path::main [/x]
 7,248,989 (34.65%)  src/short_path.rs:short_path::send [/x]
   876,000 ( 4.19%)  core/src/iter.rs:short_path::send [/x]
 6,973,940 (36.10%)  src/short_path.rs:short_path::settle [/x]
";
        let counted = Counted { table: table.to_owned(), output: String::new() };
        assert_eq!(counted.total().unwrap(), 20_918_534);
        assert_eq!(counted.inclusive("short_path::send").unwrap(), 7_248_989);
        assert!(counted.inclusive("short_path::receive").is_err());
    }
}
