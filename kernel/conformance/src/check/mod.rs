//! What the header promises, as a list of checks. Each opens handles of its own and leaves nothing behind.

mod arguments;
mod limits;
mod loopback;
mod mappings;
mod races;
mod rails;
mod rings;
mod setup;
mod sleeping;

use std::fmt::Debug;

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::io::Errno;

use crate::channel::Handle;

/// How to check.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only checks whose name has this in it
    filter: Option<String>,
    /// Rails that must be up; without them what needs some is left out
    #[arg(long, default_value_t = 0)]
    rails: u32,
    /// List the checks
    #[arg(long)]
    list: bool,
}

/// What a check may know.
pub(crate) struct Environment {
    /// Rails that are up.
    pub(crate) rails: u32,
}

/// One check.
pub(crate) struct Check {
    name: &'static str,
    run: fn(&Environment) -> Result<Outcome>,
}

/// How a check ended that did not fail.
pub(crate) enum Outcome {
    /// It has seen what it looks for.
    Passed,
    /// It could not run, and why.
    LeftOut(&'static str),
}

const GROUPS: [&[Check]; 9] = [
    arguments::CHECKS,
    setup::CHECKS,
    rails::CHECKS,
    mappings::CHECKS,
    loopback::CHECKS,
    rings::CHECKS,
    sleeping::CHECKS,
    limits::CHECKS,
    races::CHECKS,
];

/// Runs the checks.
///
/// # Errors
/// When one of them fails; all others are run nevertheless.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |check: &&Check| options.filter.as_ref().is_none_or(|filter| check.name.contains(filter.as_str()));
    let checks: Vec<&Check> = GROUPS.iter().copied().flatten().filter(wanted).collect();
    if options.list {
        checks.iter().for_each(|check| println!("{}", check.name));
        return Ok(());
    }
    let rails = Handle::open()?.query()?.rails_up;
    if rails < options.rails {
        bail!(
            "{rails} rails are up, {} must be: is the cable in, and the module loaded at its other end?",
            options.rails
        );
    }
    let environment = Environment { rails };
    let (mut passed, mut left_out, mut failed) = (0, 0, Vec::new());
    for check in checks {
        match (check.run)(&environment) {
            Ok(Outcome::Passed) => {
                passed += 1;
                println!("ok       {}", check.name);
            }
            Ok(Outcome::LeftOut(why)) => {
                left_out += 1;
                println!("left out {}: {why}", check.name);
            }
            Err(error) => {
                println!("FAILED   {}: {error:#}", check.name);
                failed.push(check.name);
            }
        }
    }
    println!("RESULT check {passed} passed, {left_out} left out, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Fails unless a call was refused with this error.
fn refused<T: Debug>(what: &str, result: Result<T, Errno>, expected: Errno) -> Result<()> {
    match result {
        Err(error) if error == expected => Ok(()),
        Err(error) => bail!("{what}: {error:?} instead of {expected:?}"),
        Ok(value) => bail!("{what}: was accepted ({value:?}) instead of {expected:?}"),
    }
}

/// Fails unless a call was accepted.
fn accepted<T>(what: &str, result: Result<T, Errno>) -> Result<T> {
    result.with_context(|| what.to_owned())
}
