//! What one user may have.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use usb4_dma_sys::usb4_dma_setup;

use super::{Check, Environment, Outcome, accepted, refused};
use crate::channel::Handle;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "limits.memory", run: memory },
    Check { name: "limits.memory_cgroup", run: memory_cgroup },
    Check { name: "limits.channels_of_a_user", run: channels_of_a_user },
    Check { name: "limits.channels_of_the_node", run: channels_of_the_node },
];

/// A user that nobody is.
const USER: u32 = 54321;

/// Does something as another user without rights. Threads have users of their own; the C library hides that, the system call does not.
fn as_user<T: Send>(user: u32, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
            rustix::thread::set_thread_res_gid(gid, gid, gid).context("setresgid")?;
            rustix::thread::set_thread_res_uid(uid, uid, uid).context("setresuid")?;
            what()
        });
        thread.join().map_err(|_| anyhow!("the other user's thread panicked"))?
    })
}

/// Whether other users can be tried.
fn unable() -> Result<Option<&'static str>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Some("only root can be another user"));
    }
    let opens = as_user(USER, || Ok(crate::sys::open(rustix::fs::OFlags::RDWR).is_ok()))?;
    Ok((!opens).then_some("other users may not open the device: chmod 666 it for this test"))
}

fn bytes(setup: &usb4_dma_setup) -> u64 {
    setup.regions.iter().map(|region| region.bytes).sum()
}

/// Another limit of this process, until it is dropped.
struct Limit(Resource, Rlimit);

impl Limit {
    /// `None` is no limit.
    fn set(resource: Resource, most: Option<u64>) -> Result<Limit> {
        let old = getrlimit(resource);
        let maximum = if most.is_some() { old.maximum } else { None };
        setrlimit(resource, Rlimit { current: most, maximum }).context("setrlimit")?;
        Ok(Limit(resource, old))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // It was in force before.
        let _ = setrlimit(self.0, self.1);
    }
}

fn memory(_: &Environment) -> Result<Outcome> {
    if let Some(why) = unable()? {
        return Ok(Outcome::LeftOut(why));
    }
    let one = bytes(&accepted("SETUP", Handle::open()?.setup(64, 64))?);
    {
        let _limit = Limit::set(Resource::Memlock, Some(one / 2))?;
        let result = as_user(USER, || Ok(Handle::open()?.setup(64, 64).map(drop)))?;
        refused("SETUP of twice as much as RLIMIT_MEMLOCK", result, Errno::DQUOT)?;
    }
    let _limit = Limit::set(Resource::Memlock, Some(one + one / 2))?;
    as_user(USER, || {
        let (first, second) = (Handle::open()?, Handle::open()?);
        accepted("SETUP within RLIMIT_MEMLOCK", first.setup(64, 64))?;
        refused("a second SETUP beyond RLIMIT_MEMLOCK", second.setup(64, 64).map(drop), Errno::DQUOT)?;
        drop(first);
        accepted("SETUP after the first channel's end", second.setup(64, 64))?;
        drop(second);
        // What was charged is given back, again and again.
        for round in 0..20 {
            accepted(&format!("SETUP {round} of 20, one at a time"), Handle::open()?.setup(64, 64))?;
        }
        Ok(())
    })?;
    Ok(Outcome::Passed)
}

/// A memory cgroup with this process in it, until it is dropped.
struct Group(PathBuf);

impl Group {
    const ROOT: &str = "/sys/fs/cgroup";

    /// `None` if there are none here.
    fn enter() -> Result<Option<Group>> {
        let root = Path::new(Self::ROOT);
        let controllers = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
        if !controllers.split_whitespace().any(|controller| controller == "memory") {
            return Ok(None);
        }
        let group = Group(root.join(format!("usb4-dma-conformance.{}", std::process::id())));
        fs::create_dir(&group.0).with_context(|| format!("{} cannot be made", group.0.display()))?;
        fs::write(group.0.join("cgroup.procs"), "0").context("the process cannot enter its cgroup")?;
        Ok(Some(group))
    }

    /// Bytes that are charged to it.
    fn charged(&self) -> Result<u64> {
        let text = fs::read_to_string(self.0.join("memory.current")).context("memory.current")?;
        text.trim().parse().with_context(|| format!("memory.current is {text:?}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nothing else is in it; what cannot be removed goes with the machine.
        let _ = fs::write(Path::new(Self::ROOT).join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&self.0);
    }
}

fn memory_cgroup(_: &Environment) -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Outcome::LeftOut("only root can make a cgroup"));
    }
    let Some(group) = Group::enter()? else {
        return Ok(Outcome::LeftOut("there are no memory cgroups at /sys/fs/cgroup"));
    };
    let handle = Handle::open()?;
    let before = group.charged()?;
    let setup = accepted("SETUP", handle.setup(2048, 2048))?;
    // Processors charge a little ahead, and the first region belongs to the node.
    let (charged, regions) = (group.charged()?.saturating_sub(before), bytes(&setup));
    ensure!(charged >= regions / 16 * 15, "{charged} bytes were charged for regions of {regions}");
    drop(handle);
    // SETUP waits for what closed channels give back.
    accepted("SETUP of another channel", Handle::open()?.setup(1, 1))?;
    let left = group.charged()?.saturating_sub(before);
    ensure!(left <= regions / 16, "{left} bytes of regions of {regions} are charged after the channel's end");
    Ok(Outcome::Passed)
}

/// Sets up small channels until one is refused.
fn exhaust(most: u32) -> Result<(Vec<OwnedFd>, Option<Errno>)> {
    let mut handles = Vec::new();
    for _ in 0..=most {
        let handle = Handle::open()?;
        match handle.setup(1, 1) {
            Ok(_) => handles.push(handle.fd),
            Err(error) => return Ok((handles, Some(error))),
        }
    }
    Ok((handles, None))
}

fn channels_of_a_user(_: &Environment) -> Result<Outcome> {
    if let Some(why) = unable()? {
        return Ok(Outcome::LeftOut(why));
    }
    let query = Handle::open()?.query()?;
    let most = query.channels_per_user;
    if most >= query.channels_max {
        return Ok(Outcome::LeftOut("one user may have all channels of the node"));
    }
    let _memory = Limit::set(Resource::Memlock, None)?;
    let _files = Limit::set(Resource::Nofile, Some(4096))?;
    let (mut handles, error) = as_user(USER, || exhaust(most))?;
    let count = handles.len();
    ensure!(error == Some(Errno::USERS), "after {count} channels of a user: {error:?} instead of EUSERS");
    ensure!(count as u32 == most, "a user got {count} channels, {most} are announced");
    as_user(USER + 1, || accepted("SETUP of another user", Handle::open()?.setup(1, 1)))?;
    drop(handles.pop());
    as_user(USER, || accepted("SETUP after one channel's end", Handle::open()?.setup(1, 1)))?;
    Ok(Outcome::Passed)
}

fn channels_of_the_node(_: &Environment) -> Result<Outcome> {
    if let Some(why) = unable()? {
        return Ok(Outcome::LeftOut(why));
    }
    let query = Handle::open()?.query()?;
    if query.channels_max > 1024 {
        return Ok(Outcome::LeftOut("the node has more channels than this test opens"));
    }
    let _memory = Limit::set(Resource::Memlock, None)?;
    let _files = Limit::set(Resource::Nofile, Some(4096))?;
    let mut handles = Vec::new();
    let users = query.channels_max.div_ceil(query.channels_per_user) + 1;
    let mut last = None;
    for user in 0..users {
        let (more, error) = as_user(USER + user, || exhaust(query.channels_per_user))?;
        handles.extend(more);
        last = error;
        if last == Some(Errno::NOSPC) {
            break;
        }
    }
    ensure!(last == Some(Errno::NOSPC), "after {} channels: {last:?} instead of ENOSPC", handles.len());
    ensure!(handles.len() as u32 <= query.channels_max, "{} channels of {}", handles.len(), query.channels_max);
    drop(handles);
    accepted("SETUP after all channels' end", Handle::open()?.setup(1, 1))?;
    Ok(Outcome::Passed)
}
