//! Other processes, through /proc.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The processes below `ancestor` whose program has this file name.
#[must_use]
pub fn descendants(ancestor: u32, program: &str) -> Vec<u32> {
    family(ancestor).into_iter().filter(|(_, name)| name == program).map(|(pid, _)| pid).collect()
}

/// Kills a process and all below it: mpirun gives each rank a process group of its own.
pub(crate) fn kill_family(ancestor: u32) {
    for (pid, _) in family(ancestor) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A process and all below it, with their programs' file names.
fn family(ancestor: u32) -> Vec<(u32, String)> {
    let all = processes();
    let mut members = vec![ancestor];
    let mut at = 0;
    while let Some(&parent) = members.get(at) {
        members.extend(all.iter().filter(|(_, its_parent, _)| *its_parent == parent).map(|(pid, ..)| *pid));
        at += 1;
    }
    all.into_iter().filter(|(pid, ..)| members.contains(pid)).map(|(pid, _, name)| (pid, name)).collect()
}

/// Kills a process as the out-of-memory killer would.
///
/// # Panics
/// If there is no such process.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Stops a process, as a debugger does.
///
/// # Panics
/// If there is no such process.
pub fn stop(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Lets a stopped process go on.
///
/// # Panics
/// If there is no such process.
pub fn go_on(pid: u32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process number");
    kill_process(pid, signal).expect("the process is there");
}

/// Processor time that a process has used, in all its threads.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // Behind the name in brackets: state is field 3, utime 14, stime 15, in ticks of a hundredth of a second.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("the name ends").1.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number of ticks");
    Duration::from_millis((ticks(14) + ticks(15)) * 10)
}

/// Process, parent, file name of the program.
fn processes() -> Vec<(u32, u32, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let name = head.split_once('(').map_or("", |(_, name)| name);
        let parent = tail.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        all.push((pid, parent, name.to_owned()));
    }
    all
}
