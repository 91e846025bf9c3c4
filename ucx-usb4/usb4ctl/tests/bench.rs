//! `usb4ctl bench` between two processes over a simulated cable.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A cable of its own for each test.
struct Cable {
    folder: tempfile::TempDir,
}

impl Cable {
    fn new(rest: &str) -> Cable {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("# {}\nnodes = 2\n[[cables]]\nbetween = [0, 1]\n{rest}\n", folder.path().display());
        std::fs::write(folder.path().join("lab.toml"), text).unwrap();
        Cable { folder }
    }

    fn bench(&self, node: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usb4ctl"));
        let links = format!("sim:{}/lab.toml", self.folder.path().display());
        command.env("UCX_USB4_LINKS", links).env("UCX_USB4_SIM_NODE", node).arg("bench");
        command
    }

    /// A measurement that takes a minute, when it is at work.
    fn measuring(&self, address: &str) -> Child {
        let mut measuring = self.bench("0");
        measuring.args([address, "--sizes", "8", "--seconds", "60"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut measuring = measuring.spawn().unwrap();
        while !self.has_traffic() {
            if measuring.try_wait().unwrap().is_some() {
                panic!("the measuring side has ended: {}", stderr(&measuring.wait_with_output().unwrap()));
            }
        }
        measuring
    }

    /// Whether more frames have passed than a handshake takes.
    fn has_traffic(&self) -> bool {
        let mut status = Command::new(env!("CARGO_BIN_EXE_usb4ctl"));
        let links = format!("sim:{}/lab.toml", self.folder.path().display());
        let output = status.env("UCX_USB4_LINKS", links).args(["status", "--json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let fabrics = status["fabrics"].as_array().unwrap();
        let name = fabric_name(&self.folder.path().join("lab.toml"));
        let own = fabrics.iter().find(|fabric| fabric["name"] == name.as_str()).unwrap();
        own["cables"][0]["rails"][0]["forward"]["frames"].as_u64().unwrap() > 1000
    }

    /// A listener on node 1, and the address that it prints.
    fn listener(&self) -> (Child, String) {
        let mut child = self.bench("1").arg("--listen").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once(' ').unwrap().1.to_owned();
        (child, address)
    }
}

/// What a process that has every reason to end leaves behind.
fn ended(mut child: Child) -> Output {
    /// A guard: many times what a loaded machine takes.
    const PATIENCE: Duration = Duration::from_secs(60);
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() >= PATIENCE {
            child.kill().unwrap();
            panic!("it stands still: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn both_sides_are_started_and_everything_is_measured() {
    let cable = Cable::new("rails = 2\nrate_gbps = 4.0\nlatency_us = 3.0");
    let report = cable.folder.path().join("report.md");
    let mut command = cable.bench("0");
    command.args(["--json", "--sizes", "8,4K,100000", "--seconds", "0.05", "--report"]).arg(&report);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for kind in ["ping", "one_way", "both_ways"] {
        let sizes: Vec<u64> =
            figures[kind].as_array().unwrap().iter().map(|row| row["size_bytes"].as_u64().unwrap()).collect();
        assert_eq!(sizes, [8, 4096, 100_000], "{kind}");
    }
    for row in figures["ping"].as_array().unwrap() {
        let time = |name: &str| row[name].as_f64().unwrap();
        assert!(time("min_us") >= 3.0, "faster than the cable: {row}");
        assert!(time("min_us") <= time("median_us") && time("median_us") <= time("p99_us"), "{row}");
    }
    for row in figures["one_way"].as_array().unwrap().iter().chain(figures["both_ways"].as_array().unwrap()) {
        let (found, limit) =
            (row["bytes_per_second"].as_f64().unwrap(), row["limit_bytes_per_second"].as_f64().unwrap());
        assert!(found > 0.0 && found <= limit * 1.05, "faster than the rails: {row}");
    }
    let shares: f64 = figures["rails"].as_array().unwrap().iter().map(|rail| rail["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{figures}");
    assert!(figures["protocol_there"]["frames_sent"].as_u64().unwrap() > 0);
    assert!(std::fs::read_to_string(&report).unwrap().contains("\"figures\""));
}

#[test]
fn what_a_bad_cable_loses_is_sent_again_and_counted() {
    // So much that even a machine without time for more than a message each way loses some.
    let cable = Cable::new("rails = 2\nrate_gbps = 4.0\nloss = 0.3");
    let output = cable
        .bench("0")
        .args(["--json", "--sizes", "64K", "--seconds", "0.2", "--measure", "both-ways"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let again = |side: &str| figures[side]["retransmitted"].as_u64().unwrap();
    assert!(again("protocol_here") > 0 && again("protocol_there") > 0, "{figures}");
    assert_eq!(figures["ping"].as_array().unwrap().len(), 0);
}

#[test]
fn the_other_side_is_named_by_its_address() {
    let cable = Cable::new("rails = 1");
    let (mut listener, address) = cable.listener();
    let output = cable.bench("0").args([&address, "--sizes", "8", "--seconds", "0.05"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("cable0.rail0"), "{text}{}", stderr(&output));
    assert!(listener.wait().unwrap().success(), "it ends with the measurement");
}

#[test]
fn a_side_that_dies_is_reported_with_what_to_do() {
    let cable = Cable::new("rails = 1");
    let (mut listener, address) = cable.listener();
    let measuring = cable.measuring(&address);
    signal(&listener, Signal::KILL);
    listener.wait().unwrap();
    let output = ended(measuring);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("the other side is lost") && message.contains("--listen"), "{message}");
}

#[test]
fn ctrl_c_ends_both_sides_and_prints_what_there_is() {
    let cable = Cable::new("rails = 1");
    let (listener, address) = cable.listener();
    let measuring = cable.measuring(&address);
    signal(&measuring, Signal::INT);
    let output = ended(measuring);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(130), ""));
    assert!(String::from_utf8_lossy(&output.stdout).contains("frames sent"));
    assert!(ended(listener).status.success());
}

/// The measuring side has sent its ping, which has arrived: it waits for the answer, and nothing of its own is under way.
#[test]
fn ctrl_c_at_the_side_that_answers_ends_both_sides() {
    let cable = Cable::new("rails = 1");
    let (listener, address) = cable.listener();
    let measuring = cable.measuring(&address);
    signal(&listener, Signal::INT);
    assert_eq!(ended(listener).status.code(), Some(130));
    let output = ended(measuring);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("the other side is lost: peer has closed its channel"), "{message}");
}

#[test]
fn an_address_of_other_cables_is_refused() {
    let cable = Cable::new("rails = 1");
    let (listener, address) = cable.listener();
    let other = Cable::new("rails = 1").bench("0").arg(&address).output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("the same UCX_USB4_LINKS"), "{}", stderr(&other));
    let nonsense = cable.bench("0").arg("lab2").output().unwrap();
    assert_eq!(nonsense.status.code(), Some(2));
    assert!(stderr(&nonsense).contains("--host"), "{}", stderr(&nonsense));
    signal(&listener, Signal::INT);
    assert_eq!(listener.wait_with_output().unwrap().status.code(), Some(130));
}

/// The other host is this one, behind a real ssh and a real sshd with keys of their own. Where openssh-server is not installed nothing
/// is tested.
#[test]
fn the_other_side_is_started_through_ssh() {
    const SSHD: &str = "/usr/sbin/sshd";
    if !Path::new(SSHD).exists() {
        eprintln!("{SSHD} is not there: nothing is tested");
        return;
    }
    let cable = Cable::new("rails = 1");
    let folder = cable.folder.path().display();
    let write = |name: &str, text: String| std::fs::write(cable.folder.path().join(name), text).unwrap();
    for key in ["host", "user"] {
        let mut keygen = Command::new("ssh-keygen");
        let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(cable.folder.path().join(key)).status();
        assert!(made.unwrap().success());
    }
    if rustix::process::geteuid().is_root() {
        // As its service has it: root's sshd wants an empty folder.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_usb4ctl")).parent().unwrap().display();
    write(
        "sshd_config",
        format!(
            "HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\nPermitRootLogin yes\nUsePAM no\n\
             PidFile none\nSetEnv PATH={programs}:/usr/bin:/bin UCX_USB4_SIM_NODE=1\n"
        ),
    );
    let host_key = std::fs::read_to_string(cable.folder.path().join("host.pub")).unwrap();
    write("known_hosts", format!("lab2 {host_key}"));
    write(
        "ssh_config",
        format!(
            "Host lab2\nProxyCommand {SSHD} -i -f {folder}/sshd_config -E {folder}/sshd.log\nIdentityFile {folder}/user\n\
             IdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\nBatchMode yes\n"
        ),
    );
    // ssh looks for its settings in the user's home, whatever HOME says.
    write("ssh", format!("#!/bin/sh\nPATH=${{PATH#*:}}\nexec ssh -F {folder}/ssh_config \"$@\"\n"));
    std::fs::set_permissions(cable.folder.path().join("ssh"), PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let mut command = cable.bench("0");
    command.env("PATH", path).args(["--host", "lab2", "--sizes", "8", "--seconds", "0.05", "--json"]);
    let output = command.output().unwrap();
    let log = std::fs::read_to_string(cable.folder.path().join("sshd.log")).unwrap_or_default();
    assert!(output.status.success(), "{}{log}", stderr(&output));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(figures["protocol_there"]["frames_sent"].as_u64().unwrap() > 0, "{figures}");
    assert!(log.contains("Accepted publickey"), "{log}");
}

/// The name that link gives the fabric of a file.
fn fabric_name(path: &Path) -> String {
    let holder = usb4_link::sim::Registry::default().hold(&usb4_link::LinkSpec::SimFile(path.to_owned())).unwrap();
    holder.name().to_owned()
}
