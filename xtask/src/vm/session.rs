//! One run: guests, device process and network from start to end, whatever happens in between.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::hub::Hub;
use super::kernel::Kernel;
use super::qemu::{self, Guest};
use super::testbed::Testbed;
use super::tools::Tools;
use super::{Accel, GuestOptions, initramfs};

/// What a boot may take beside the script's own limit, in seconds: emulated, on a busy machine.
const BOOT_LIMIT_S: u64 = 150;
/// How long the other guests may go on once one has failed.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// What no kernel may say.
const ALARMS: [&str; 10] = [
    "WARNING: ",
    "BUG: ",
    "Oops",
    "INFO: task",
    "rcu_sched self-detected",
    "detected stalls",
    "Kernel panic",
    "general protection fault",
    "UBSAN: ",
    "new suspected memory leaks",
];

/// What guests run.
pub(crate) enum Image {
    /// Busybox in memory.
    Busybox,
    /// Debian, from this file.
    Debian(PathBuf),
}

/// What to run.
pub(crate) struct Job {
    /// Name of its folder below `target/vm`.
    pub(crate) name: String,
    /// The script that every guest runs.
    pub(crate) script: String,
    /// Topology of the simulated cables.
    pub(crate) topology: String,
    /// Rings per NHI.
    pub(crate) rings: usize,
    /// Files for /job/artifacts.
    pub(crate) artifacts: Vec<PathBuf>,
    /// Seconds that the script may take in a guest.
    pub(crate) limit_s: u64,
    /// What the guests are.
    pub(crate) image: Image,
    /// Guests may restart and run the script anew.
    pub(crate) may_reboot: bool,
}

/// What came of it.
pub(crate) struct Report {
    /// The folder with all logs.
    pub(crate) folder: PathBuf,
    /// Seconds from the start of the guests to the end.
    pub(crate) wall_s: f64,
    /// How guests ran.
    pub(crate) accel: Accel,
    /// Output of each guest's script.
    pub(crate) outputs: Vec<String>,
    /// What went wrong, if anything.
    pub(crate) failures: Vec<String>,
}

impl Report {
    /// Shows each guest's output and what went wrong.
    pub(crate) fn print(&self) {
        for (number, output) in self.outputs.iter().enumerate() {
            println!("--- guest {number}");
            print!("{output}");
        }
        println!("--- {:.0} s ({:?}), logs in {}", self.wall_s, self.accel, self.folder.display());
    }

    /// An error that says all that went wrong.
    pub(crate) fn into_result(self) -> Result<()> {
        ensure!(self.failures.is_empty(), "{}\nlogs are in {}", self.failures.join("\n"), self.folder.display());
        Ok(())
    }
}

/// Reads a job's script.
pub(crate) fn read_script(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("the script {} cannot be read", path.display()))
}

/// Runs `job` on `kernel`.
///
/// # Errors
/// When it cannot be started. What fails in the guests is in the report.
pub(crate) fn run(tools: &Tools, kernel: &Kernel, job: &Job, options: &GuestOptions) -> Result<Report> {
    let interrupted = on_interrupt()?;
    let folder = prepare_folder(job)?;
    // Socket paths are limited to 107 bytes, so they get a folder of their own. It goes when this function ends.
    let sockets = tempfile::Builder::new().prefix("usb4-").tempdir().context("no temporary folder can be made")?;
    let mut testbed = Testbed::start(&job.topology, job.rings, sockets.path(), &folder.join("testbed.log"))?;
    let (guests, _) = testbed.status()?;
    let memory_mib = options.memory_mib.unwrap_or(match job.image {
        Image::Busybox => 384,
        Image::Debian(_) => 768,
    });
    qemu::check_memory(guests, memory_mib)?;
    let _hub = Hub::start(sockets.path(), guests)?;
    let (image, archive) = (kernel.image()?, sockets.path().join("initramfs"));
    initramfs::write(tools, kernel, &archive)?;
    let accel = qemu::choose_accel(options);
    let start = Instant::now();
    let mut machines = Vec::new();
    for number in 0..guests {
        let root = match &job.image {
            Image::Busybox => None,
            Image::Debian(root) => Some(root.as_path()),
        };
        let limit_s = job.limit_s;
        let guest = Guest {
            number,
            guests,
            kernel: &image,
            initramfs: &archive,
            root,
            job: &folder,
            sockets: sockets.path(),
            memory_mib,
            accel,
            limit_s,
            may_reboot: job.may_reboot,
        };
        machines.push(Machine::start(tools, &guest, options)?);
    }
    if options.gdb {
        println!(
            "guests wait for a debugger: `gdb -ex 'target remote :1234'` for the first, :1235 for the second, ..."
        );
    }
    let limit = (!options.gdb).then(|| start + Duration::from_secs(BOOT_LIMIT_S + job.limit_s));
    let mut failures = watch(&folder, &mut testbed, &mut machines, limit, interrupted)?;
    if let Ok((_, status)) = testbed.status() {
        fs::write(folder.join("testbed.status"), status)?;
    }
    drop(machines);
    drop(testbed);
    failures.extend(judge(&folder, guests));
    let outputs = (0..guests).map(|number| read(&folder.join(format!("out.{number}")))).collect();
    Ok(Report { folder, wall_s: start.elapsed().as_secs_f64(), accel, outputs, failures })
}

/// A guest's QEMU. Dropping it ends it.
struct Machine {
    number: usize,
    child: Child,
}

impl Machine {
    fn start(tools: &Tools, guest: &Guest<'_>, options: &GuestOptions) -> Result<Machine> {
        let number = guest.number;
        let log = fs::File::create(guest.job.join(format!("qemu.{number}")))?;
        let mut command = guest.command(tools, options);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Machine { number, child: command.spawn().context("QEMU did not start")? })
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until all guests left their exit code, carrying out the faults they ask for. Gives what went wrong.
fn watch(
    folder: &Path,
    testbed: &mut Testbed,
    machines: &mut [Machine],
    limit: Option<Instant>,
    interrupted: &AtomicBool,
) -> Result<Vec<String>> {
    let rc = |number: usize| folder.join(format!("rc.{number}")).exists();
    let mut taken = vec![0; machines.len()];
    let mut failed_at = None;
    loop {
        ensure!(!interrupted.load(Ordering::Relaxed), "interrupted; everything that was started has been ended");
        for (number, count) in taken.iter_mut().enumerate() {
            while serve_fault(folder, testbed, number, *count + 1)? {
                *count += 1;
            }
        }
        let (mut running, mut failures) = (false, Vec::new());
        for machine in machines.iter_mut() {
            let ended = machine.has_ended();
            running |= !ended;
            if ended && !rc(machine.number) {
                let number = machine.number;
                let said = read(&folder.join(format!("qemu.{number}")));
                let said = said.lines().last().map_or_else(String::new, |line| format!(" (QEMU says: {line})"));
                failures.push(format!(
                    "guest {number} ended before its script did{said}: see console.{number} and qemu.{number}"
                ));
            }
        }
        if testbed.has_ended() {
            failures.push("the simulated USB4 hosts ended: see testbed.log".to_owned());
        }
        if limit.is_some_and(|limit| Instant::now() > limit) {
            let late: Vec<String> =
                (0..machines.len()).filter(|&number| !rc(number)).map(|number| number.to_string()).collect();
            failures.push(format!("out of time: guests without result: {}; see console.N", late.join(", ")));
        }
        if failed_at.is_none() && (0..machines.len()).any(|number| rc(number) && code(folder, number) != "0") {
            failed_at = Some(Instant::now());
        }
        // The others would only wait for it until their time is over.
        if !running || !failures.is_empty() || failed_at.is_some_and(|at| at.elapsed() > GRACE) {
            return Ok(failures);
        }
        thread::sleep(POLL);
    }
}

/// Carries out the fault with that number of a guest, if it asked for it.
fn serve_fault(folder: &Path, testbed: &Testbed, guest: usize, count: u32) -> Result<bool> {
    let request = folder.join(format!("fault.{guest}.{count}"));
    if !request.exists() {
        return Ok(false);
    }
    let text = read(&request);
    let words: Vec<&str> = text.split_whitespace().collect();
    let answer = match testbed.control(&words) {
        Ok(output) => format!("ok\n{output}"),
        Err(error) => format!("{error:#}\n"),
    };
    let (partial, done) = (request.with_extension(format!("{count}.answer")), format!("{}.done", request.display()));
    fs::write(&partial, answer)?;
    fs::rename(&partial, done)?;
    Ok(true)
}

/// The exit code that a guest's script left, empty if none.
fn code(folder: &Path, number: usize) -> String {
    read(&folder.join(format!("rc.{number}"))).trim().to_owned()
}

/// Looks at what the guests left.
fn judge(folder: &Path, guests: usize) -> Vec<String> {
    let mut failures = Vec::new();
    for number in 0..guests {
        match code(folder, number).as_str() {
            "0" | "" => {}
            "124" | "143" => failures.push(format!("guest {number}: the script took too long; see out.{number}")),
            code => failures.push(format!("guest {number}: the script ended with {code}; see out.{number}")),
        }
        for log in ["dmesg", "console"] {
            let name = format!("{log}.{number}");
            let text = read(&folder.join(&name));
            if let Some(line) = text.lines().find(|line| ALARMS.iter().any(|alarm| line.contains(alarm))) {
                failures.push(format!("guest {number}: its kernel complains: {} (see {name})", line.trim()));
                break;
            }
        }
    }
    failures
}

fn prepare_folder(job: &Job) -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.or_else(|| Some(Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("target")));
    let folder = target.context("there is no target folder")?.join("vm").join(&job.name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    fs::create_dir_all(folder.join("artifacts")).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::write(folder.join("script"), &job.script)?;
    for artifact in &job.artifacts {
        let Some(name) = artifact.file_name() else { bail!("{} is no file", artifact.display()) };
        let copied = fs::copy(artifact, folder.join("artifacts").join(name));
        copied.with_context(|| format!("{} cannot be copied: is it built?", artifact.display()))?;
    }
    Ok(fs::canonicalize(folder)?)
}

/// A flag that Ctrl-C and SIGTERM set, so that everything started is ended in order. It stays set.
pub(crate) fn on_interrupt() -> Result<&'static AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag);
    }
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("interrupts cannot be caught")?;
    }
    Ok(FLAG.get_or_init(|| flag))
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, contents) in files {
            fs::write(folder.path().join(name), contents).expect("room");
        }
        folder
    }

    #[test]
    fn a_clean_run_has_no_failures() {
        let folder = folder(&[("rc.0", "0\n"), ("rc.1", "0\n"), ("dmesg.0", "all well"), ("dmesg.1", "")]);
        assert!(judge(folder.path(), 2).is_empty());
    }

    #[test]
    fn exit_codes_and_kernel_complaints_are_failures() {
        let folder = folder(&[
            ("rc.0", "3\n"),
            ("rc.1", "0\n"),
            ("dmesg.1", "x\n[ 1.0] WARNING: CPU: 0 PID: 1\n"),
            ("rc.2", "124\n"),
        ]);
        let failures = judge(folder.path(), 3);
        assert_eq!(failures.len(), 3, "{failures:?}");
        assert!(
            failures[0].contains("ended with 3")
                && failures[1].contains("WARNING: CPU")
                && failures[2].contains("too long")
        );
    }
}
