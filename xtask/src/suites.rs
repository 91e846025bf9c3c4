//! `cargo xtask test`: every check, in the order in which faults are cheapest to find.

use std::ffi::OsString;
use std::process::Command;

use anyhow::bail;
use clap::ValueEnum;
use xshell::Shell;

use crate::counts::{self, Counts};
use crate::{book, deny, kernel, lint, mpi4py, packages, perf, releases, stage, vm, workspace};

/// The crate whose tests start mpirun; it needs what `cargo xtask build` stages.
const MPI_TESTS: &str = "mpi-tests";

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also run mpi4py's own test suite over usb4
    #[arg(long)]
    full: bool,

    /// Only this part
    #[arg(long, value_enum)]
    only: Option<Part>,

    /// Only tests whose name contains one of these
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<OsString>,
}

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// rustfmt
    Fmt,
    /// Clippy and the repository's own rules
    Lint,
    /// Licences and sources of the dependencies, as deny.toml allows them
    Deny,
    /// Unit, property and simulator tests
    Unit,
    /// Jobs over the simulated cable, under Open MPI and MPICH
    Mpi,
    /// The same jobs under another release of UCX; with --full, all suites under all releases
    Releases,
    /// The Spack recipes: loaded, and built from with their own commands
    Spack,
    /// The documentation builds, and its links lead somewhere
    Book,
    /// mpi4py's suite over usb4
    Mpi4py,
    /// Instructions per message, beside those in docs/instruction-counts.txt
    Instructions,
    /// Two virtual machines with Debian's kernel on a simulated cable; downloads them at first
    Vm,
    /// The kernel module: compilers' and checkers' warnings, and its interface in two virtual machines; with --full KUnit, all
    /// kernels, and all faults
    Kernel,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Part::Fmt => "format",
            Part::Lint => "lints",
            Part::Deny => "supply chain",
            Part::Unit => "unit, property and simulator tests",
            Part::Mpi => "MPI tests",
            Part::Releases => "MPI tests under other releases of UCX",
            Part::Spack => "Spack recipes",
            Part::Book => "documentation",
            Part::Mpi4py => "mpi4py's suite",
            Part::Instructions => "instructions per message",
            Part::Vm => "virtual machines",
            Part::Kernel => "kernel module",
        }
    }
}

/// Runs them; stops at the first part that fails.
pub(crate) fn run(shell: &Shell, options: &Options) -> anyhow::Result<()> {
    let parts: Vec<Part> = match options.only {
        Some(part) => vec![part],
        None => Part::value_variants().iter().copied().filter(|&part| options.full || part != Part::Mpi4py).collect(),
    };
    let mut lists = vec![packages::BUILD, packages::TEST];
    if parts.contains(&Part::Mpi4py) {
        lists.push(packages::MPI4PY);
    }
    if parts.contains(&Part::Kernel) && options.full {
        lists.push(packages::KUNIT);
    }
    packages::install(shell, &lists)?;
    let mut total = Counts::default();
    for part in parts {
        eprintln!("\n== {}\n", part.title());
        let result = run_part(shell, part, options, &mut total);
        if let Err(error) = result {
            eprintln!("\n{total}");
            return Err(error.context(format!("{} failed", part.title())));
        }
    }
    eprintln!("\nall parts passed");
    println!("{total}");
    Ok(())
}

fn run_part(shell: &Shell, part: Part, options: &Options, total: &mut Counts) -> anyhow::Result<()> {
    let Options { full, filters, .. } = options;
    match part {
        Part::Fmt => lint::format(shell, true),
        Part::Lint => lint::lint(shell),
        Part::Deny => {
            deny::check(shell)?;
            total.passed += 1;
            Ok(())
        }
        Part::Unit => {
            // The user's own trees come first.
            let given = std::env::var_os("UCX_SOURCE_TREES").is_some();
            let source = if given { None } else { releases::source::fetch()? };
            let trees: Vec<_> = source.iter().map(|tree| ("UCX_SOURCE_TREES", tree.as_os_str())).collect();
            tests(&["--workspace", "--exclude", MPI_TESTS], &trees, filters, total)?;
            if filters.is_empty() { doc_tests(total) } else { Ok(()) }
        }
        Part::Mpi => {
            let stage = stage::build(shell)?;
            stage::build_for_mpich(shell, &stage)?;
            let prefix = [("USB4_PREFIX", stage.prefix().as_os_str())];
            tests(&["--package", MPI_TESTS], &prefix, filters, total)
        }
        Part::Releases => {
            let options = if *full { releases::matrix::Options::default() } else { releases::matrix::Options::quick() };
            releases::matrix::run(shell, &options, total)
        }
        Part::Spack => {
            // The recipes build the same crates, with the same profile: cargo has little left to do.
            stage::build(shell)?;
            let mut python = Command::new(packages::PYTHON);
            python.current_dir(workspace::root()).env("CARGO_TARGET_DIR", workspace::target());
            let mut tests = vec![python.arg("spack/tests/test_recipes.py")];
            let mut spack = Command::new("spack");
            spack.current_dir(workspace::root()).args(["python", "spack/tests/in_spack.py"]);
            match workspace::has_program("spack") {
                true => tests.push(&mut spack),
                false => eprintln!("NOT RUN: the recipes in a real Spack; there is no spack in PATH"),
            }
            for test in tests {
                let finished = counts::run(test)?;
                *total += finished.counts;
                if !finished.success {
                    bail!("the recipes do not work; see above");
                }
            }
            Ok(())
        }
        Part::Book => {
            book::build(shell)?;
            total.passed += 1;
            Ok(())
        }
        Part::Mpi4py => {
            let stage = stage::build(shell)?;
            mpi4py::run(shell, &stage, total)
        }
        Part::Instructions => {
            perf::check(shell)?;
            total.passed += 1;
            Ok(())
        }
        Part::Vm => {
            vm::smoke_one()?;
            total.passed += 1;
            Ok(())
        }
        Part::Kernel => {
            total.passed += kernel::test_all(*full)?;
            Ok(())
        }
    }
}

/// Runs tests with nextest where it is installed, else with cargo.
fn tests(
    selection: &[&str],
    variables: &[(&str, &std::ffi::OsStr)],
    filters: &[OsString],
    total: &mut Counts,
) -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace::root()).envs(variables.iter().copied());
    if has_nextest() {
        command.args(["nextest", "run", "--locked", "--no-fail-fast"]).args(selection).args(filters);
    } else {
        command.args(["test", "--locked", "--no-fail-fast", "--tests"]).args(selection).args(["--"]).args(filters);
        // Jobs of several polling ranks beside each other would only slow each other down.
        if selection.contains(&MPI_TESTS) {
            command.args(["--test-threads", "1"]);
        }
    }
    let finished = counts::run(&mut command)?;
    *total += finished.counts;
    if !finished.success {
        bail!("{}; see above", finished.counts);
    }
    Ok(())
}

/// Examples in the documentation, which nextest does not run.
fn doc_tests(total: &mut Counts) -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace::root()).args(["test", "--locked", "--doc", "--workspace", "--exclude", MPI_TESTS]);
    let finished = counts::run(&mut command)?;
    *total += finished.counts;
    if !finished.success {
        bail!("an example in the documentation does not work; see above");
    }
    Ok(())
}

fn has_nextest() -> bool {
    Command::new(env!("CARGO")).args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}
