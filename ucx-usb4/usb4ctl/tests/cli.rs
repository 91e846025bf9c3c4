//! usb4ctl as a user starts it: output, messages, exit codes. What needs the transport itself is in `mpi-tests`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An installation with empty libraries, and a fabric description of its own.
struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        for library in ["libuct_usb4.so.0", "libucx_usb4_preload.so"] {
            std::fs::write(folder.path().join(library), "").unwrap();
        }
        let unique = folder.path().display();
        let fabric = format!("# {unique}\nnodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = 2\nrate_gbps = 10.0\n");
        std::fs::write(folder.path().join("lab.toml"), fabric).unwrap();
        Setup { folder }
    }

    fn links(&self) -> String {
        format!("sim:{}/lab.toml", self.folder.path().display())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// usb4ctl with nothing of UCX in its environment but `links`.
    fn usb4ctl(&self, links: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usb4ctl"));
        for name in ["UCX_TLS", "UCX_USB4_LINKS", "LD_PRELOAD"] {
            command.env_remove(name);
        }
        if let Some(links) = links {
            command.env("UCX_USB4_LINKS", links);
        }
        command.arg("--libdir").arg(self.folder.path()).args(arguments).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_shell_can_evaluate_the_environment() {
    let setup = Setup::new();
    let script = format!(
        "unset UCX_TLS; LD_PRELOAD=''; eval \"$('{}' --libdir '{}' env)\"; echo \"$LD_PRELOAD $UCX_TLS $OMPI_MCA_pml\"",
        env!("CARGO_BIN_EXE_usb4ctl"),
        setup.folder.path().display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let expected =
        format!("{}/libucx_usb4_preload.so usb4 ucx\n", setup.folder.path().canonicalize().unwrap().display());
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

#[test]
fn json_and_shell_say_the_same() {
    let setup = Setup::new();
    let shell = stdout(&setup.usb4ctl(None, &["env"]));
    let json: serde_json::Value = serde_json::from_slice(&setup.usb4ctl(None, &["env", "--json"]).stdout).unwrap();
    let variables = json.as_object().unwrap();
    assert_eq!(shell.lines().count(), variables.len());
    for (name, value) in variables {
        let line = format!("export {name}='{}'", value.as_str().unwrap());
        assert!(shell.lines().any(|other| other == line), "{line} in\n{shell}");
    }
}

#[test]
fn run_becomes_the_command() {
    let setup = Setup::new();
    let links = setup.links();
    let output = setup.usb4ctl(Some(&links), &["run", "--", "sh", "-c", "echo $UCX_TLS $OMPI_MCA_osc; exit 5"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("usb4 ucx\n", Some(5)));
    assert_eq!(setup.usb4ctl(Some(&links), &["run", "--", "/nowhere"]).status.code(), Some(127));
    assert_eq!(setup.usb4ctl(Some(&links), &["run", "--", "/etc/passwd"]).status.code(), Some(126));
    assert_eq!(setup.usb4ctl(Some(&links), &["run"]).status.code(), Some(2));
}

#[test]
fn a_command_that_moves_nothing_is_told_so() {
    let setup = Setup::new();
    let links = setup.links();
    let output = setup.usb4ctl(Some(&links), &["run", "--stats", "--", "sh", "-c", "echo out; exit 5"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("out\n", Some(5)));
    assert!(stderr(&output).contains("CARRIED NOTHING"), "{}", stderr(&output));
}

#[test]
fn a_user_is_warned_of_settings_that_keep_usb4_out() {
    let setup = Setup::new();
    let warned = stderr(&setup.usb4ctl(None, &["run", "--", "true"]));
    assert!(warned.contains("modprobe usb4_dma") && warned.contains("sim:PROFILE"), "{warned}");
    let output = setup.usb4ctl(None, &["run", "--stats", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("UCX_USB4_LINKS=sim:PROFILE"), "{}", stderr(&output));
}

#[test]
fn a_missing_installation_says_where_it_looked() {
    let setup = Setup::new();
    std::fs::remove_file(setup.folder.path().join("libuct_usb4.so.0")).unwrap();
    let output = setup.usb4ctl(None, &["env"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(&setup.folder.path().display().to_string()), "{}", stderr(&output));
}

#[test]
fn an_unknown_profile_gets_the_list() {
    let setup = Setup::new();
    for arguments in [&["status"][..], &["run", "--stats", "--", "true"], &["sim", "profiles", "strix"]] {
        let output = setup.usb4ctl(Some("sim:strix"), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        for profile in ["ideal", "strix-halo", "usb4-40g", "usb4-80g"] {
            assert!(stderr(&output).contains(profile), "{arguments:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn a_broken_file_gets_line_column_and_what_was_expected() {
    let setup = Setup::new();
    let path = setup.write("broken.toml", "nodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = \"two\"\n");
    let output = setup.usb4ctl(Some(&format!("sim:{}", path.display())), &["status"]);
    assert_eq!(output.status.code(), Some(2));
    let place = format!("{}:4:9: ", path.display());
    assert!(stderr(&output).contains(&place) && stderr(&output).contains("expected u32"), "{}", stderr(&output));
}

#[test]
fn every_profile_is_printed_as_a_file_that_works() {
    let setup = Setup::new();
    let listed = setup.usb4ctl(None, &["sim", "profiles", "--json"]);
    let profiles: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(profiles.len(), 4);
    for profile in profiles {
        let text = stdout(&setup.usb4ctl(None, &["sim", "profiles", profile["name"].as_str().unwrap()]));
        // The folder's name makes it a fabric that no other test uses.
        let path = setup.write("own.toml", &format!("# {}\n{text}", setup.folder.path().display()));
        let status = setup.usb4ctl(Some(&format!("sim:{}", path.display())), &["status", "--json"]);
        let fabric = own_fabric(&status, &path);
        let rails: usize =
            fabric["cables"].as_array().unwrap().iter().map(|c| c["rails"].as_array().unwrap().len()).sum();
        assert_eq!(Some(rails as u64), profile["rails"].as_u64());
    }
}

#[test]
fn a_cable_can_be_pulled_and_put_back() {
    let setup = Setup::new();
    let usb4ctl = format!("'{}' --libdir '{}'", env!("CARGO_BIN_EXE_usb4ctl"), setup.folder.path().display());
    let links = setup.links();
    let hash = fabric_name(&setup.folder.path().join("lab.toml"));
    let script = format!(
        "{usb4ctl} sim unplug --fabric {hash} 0.1 && {usb4ctl} status --json && {usb4ctl} sim replug --fabric {hash} 0"
    );
    let output = setup.usb4ctl(Some(&links), &["run", "--stats", "--", "sh", "-c", &script]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.starts_with(&format!("{hash}: 1 rail unplugged\n")), "{text}");
    assert!(text.ends_with(&format!("{hash}: 1 rail plugged in\n")), "{text}");
    let json = text.split_once('{').unwrap().1.rsplit_once('}').unwrap().0;
    let status: serde_json::Value = serde_json::from_str(&format!("{{{json}}}")).unwrap();
    let fabric = status["fabrics"].as_array().unwrap().iter().find(|f| f["name"] == hash.as_str()).unwrap().clone();
    let up: Vec<bool> =
        fabric["cables"][0]["rails"].as_array().unwrap().iter().map(|rail| rail["up"].as_bool().unwrap()).collect();
    assert_eq!(up, [true, false]);
}

#[test]
fn a_rail_that_is_not_there_is_refused() {
    let setup = Setup::new();
    let hash = fabric_name(&setup.folder.path().join("lab.toml"));
    let usb4ctl = format!("'{}' --libdir '{}'", env!("CARGO_BIN_EXE_usb4ctl"), setup.folder.path().display());
    let script = format!("{usb4ctl} sim unplug --fabric {hash} 3");
    let output = setup.usb4ctl(Some(&setup.links()), &["run", "--stats", "--", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no cable 3"), "{}", stderr(&output));
    let gone = setup.usb4ctl(None, &["sim", "unplug", "--fabric", "no-such", "0"]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(stderr(&gone).contains("no-such"), "{}", stderr(&gone));
}

/// `| head` closes the pipe before everything is printed.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let setup = Setup::new();
    for arguments in [&["sim", "profiles", "--json"][..], &["env"], &["status"], &["sim", "profiles", "ideal"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_usb4ctl"));
        command.arg("--libdir").arg(setup.folder.path()).args(arguments).stdout(writer);
        let output = command.stderr(std::process::Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(141), ""), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_told_so() {
    let setup = Setup::new();
    for arguments in [&["sim", "profiles"][..], &["env"], &["status", "--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usb4ctl"));
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command
            .arg("--libdir")
            .arg(setup.folder.path())
            .args(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .output();
        let output = output.unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("standard output cannot be written: No space left"), "{said}");
    }
}

/// The header fits into a buffer, so only what is written out meets the full disk.
#[test]
fn a_capture_that_cannot_be_written_is_told_so() {
    let setup = Setup::new();
    let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 147, 0, 0, 0];
    let capture = setup.folder.path().join("job.pcap");
    std::fs::write(&capture, header).unwrap();
    let capture = capture.to_str().unwrap();
    for target in ["/dev/full", "/nowhere/all.pcap"] {
        let output = setup.usb4ctl(None, &["trace", "--pcap", target, capture]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{target} cannot be written; name another file with --pcap")), "{said}");
    }
    let passwd = setup.usb4ctl(None, &["trace", "/etc/passwd"]);
    assert!(stderr(&passwd).contains("UCX_USB4_TRACE=PREFIX"), "{}", stderr(&passwd));
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_measurement() {
    let setup = Setup::new();
    let output = setup.usb4ctl(Some(&setup.links()), &["bench", "--report", "/nowhere/report.md"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("/nowhere/report.md cannot be written; name another file"), "{}", stderr(&output));
}

/// A host that answers through ssh, and lacks the library: here a script stands in for ssh.
#[test]
fn the_doctor_asks_the_other_hosts() {
    let setup = Setup::new();
    let ssh = setup.write("ssh", "#!/bin/sh\nexit 1\n");
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_usb4ctl"));
    command.env("PATH", setup.folder.path()).arg("--libdir").arg(setup.folder.path());
    let output = command.args(["doctor", "--hosts", "lab2"]).output().unwrap();
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("lab2 has no ") && said.contains("scp ucx-usb4_*.deb lab2:"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("A job started here does not use usb4"), "{said}");
}

#[test]
fn every_subcommand_has_a_man_page_and_is_completed() {
    let setup = Setup::new();
    let folder = setup.folder.path().join("man");
    assert!(setup.usb4ctl(None, &["man", folder.to_str().unwrap()]).status.success());
    let script = stdout(&setup.usb4ctl(None, &["completions", "bash"]));
    let help = stdout(&setup.usb4ctl(None, &["--help"]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"doctor"), "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let page = std::fs::read_to_string(folder.join(format!("usb4ctl-{name}.1"))).expect(name);
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
        assert!(
            script.contains(&format!("usb4ctl__subcmd__{name}")) || script.contains(&format!("usb4ctl__{name}")),
            "{name}"
        );
    }
    assert!(folder.join("usb4ctl.1").is_file());
}

#[test]
fn a_status_that_watches_counts_on_until_nobody_reads() {
    use std::io::{BufRead, BufReader};
    let setup = Setup::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_usb4ctl"));
    command.args(["status", "--json", "--watch", "0.05"]).env("UCX_USB4_LINKS", setup.links()).stdout(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut lines = BufReader::new(reader).lines();
    let ages: Vec<f64> = (0..2)
        .map(|_| {
            let status: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            assert_eq!(status["machine"]["ucx_usb4"], env!("CARGO_PKG_VERSION"));
            let name = fabric_name(&setup.folder.path().join("lab.toml"));
            let fabrics = status["fabrics"].as_array().unwrap();
            let own = fabrics.iter().find(|fabric| fabric["name"] == name.as_str()).unwrap();
            own["age_s"].as_f64().unwrap()
        })
        .collect();
    assert!(ages[0] < ages[1], "{ages:?}");
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

/// The fabric of a description among all that a status lists.
fn own_fabric(status: &Output, path: &Path) -> serde_json::Value {
    let name = fabric_name(path);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let mut fabrics = status["fabrics"].as_array().unwrap().iter();
    fabrics.find(|fabric| fabric["name"] == name.as_str()).unwrap().clone()
}

/// The name that link gives the fabric of a file.
fn fabric_name(path: &Path) -> String {
    let holder = usb4_link::sim::Registry::default().hold(&usb4_link::LinkSpec::SimFile(path.to_owned())).unwrap();
    holder.name().to_owned()
}
