//! The UCX that a job would load, and whether the transport works in it.

use super::{Finding, Host, LOAD_ENVIRONMENT};
use crate::environment::Environment;
use crate::install::{Install, InstallError};
use crate::machine::version;

const INSTALL_UCX: &str = "install it with `apt-get install libucx0 ucx-utils`";

/// A job may find another UCX than the system's: a module's, conda's, one below /opt.
const OTHER_UCX: &str = "see which UCX is taken with `ldd $(which ucx_info) | grep libucs`, put the folder of a supported one first in \
                         LD_LIBRARY_PATH and its programs first in PATH, then run `usb4ctl doctor` again";

/// A UCX is installed. Whether its release is supported is for the transport to say: see [`transport`].
pub(super) fn release(host: &dyn Host) -> Finding {
    const CHECK: &str = "UCX";
    match host.run("ucx_info", &["-v"], &[]) {
        Ok(output) => match version(&output.stdout) {
            Some(version) => Finding::ok(CHECK, format!("release {version}")),
            None => Finding::fail(
                CHECK,
                format!("`ucx_info -v` does not work: {}", first_line(&output.stderr)),
                INSTALL_UCX,
            ),
        },
        Err(_) => Finding::warn(CHECK, "ucx_info is not in PATH, so nothing about UCX can be checked", INSTALL_UCX),
    }
}

/// The transport loads into that UCX and finds its device.
pub(super) fn transport(host: &dyn Host, install: &Result<Install, InstallError>) -> Finding {
    const CHECK: &str = "transport";
    let Ok(install) = install else {
        return Finding::fail(CHECK, "cannot be tried without the libraries", "see the check of the installation");
    };
    let environment = Environment::new(install, |name| host.variable(name), std::iter::empty(), false);
    let preload = environment.variables().find(|(name, _)| *name == "LD_PRELOAD").map_or("", |(_, value)| value);
    // The job's UCX_TLS is for its own check. The transport gives its reasons when it is asked for by name.
    let variables = [("LD_PRELOAD", preload), ("UCX_TLS", "usb4"), ("UCX_LOG_LEVEL", "warn")];
    let Ok(output) = host.run("ucx_info", &["-d", "-t", "usb4"], &variables) else {
        return Finding::warn(CHECK, "cannot be tried without ucx_info", INSTALL_UCX);
    };
    let all = format!("{}\n{}", output.stdout, output.stderr);
    let device = output.stdout.lines().find_map(|line| line.split_once("Device:").map(|(_, name)| name.trim()));
    match (device, reason(&all)) {
        (Some(device), _) => Finding::ok(CHECK, format!("usb4 works, on device {device}")),
        (None, Some(reason)) if is_about_release(&reason) => Finding::fail(CHECK, reason, OTHER_UCX),
        (None, Some(reason)) => Finding::fail(CHECK, reason, "do so, then run `usb4ctl doctor` again"),
        (None, None) => Finding::fail(
            CHECK,
            "UCX does not list usb4, and gives no reason",
            "see what `usb4ctl run -- env UCX_LOG_LEVEL=info ucx_info -d -t usb4` prints",
        ),
    }
}

/// UCX_TLS lets usb4 in.
pub(super) fn transports(host: &dyn Host) -> Finding {
    const CHECK: &str = "UCX_TLS";
    let Some((value, source)) = effective(host, CHECK) else {
        return Finding::ok(CHECK, "not set");
    };
    let simulated = host.variable("UCX_USB4_LINKS").is_some_and(|links| links.trim().starts_with("sim:"));
    match list_names(&value, "usb4") {
        Named::No => Finding::fail(
            CHECK,
            format!("UCX_TLS={value} ({source}) leaves usb4 out"),
            "add usb4 to it, as in UCX_TLS=usb4,self,sm, or unset it and load `usb4ctl env`",
        ),
        Named::ByAll if simulated => Finding::warn(
            CHECK,
            format!(
                "UCX_TLS={value} ({source}): all ranks stand on this machine, and UCX takes its shared memory for them"
            ),
            LOAD_ENVIRONMENT,
        ),
        Named::ByAll => Finding::warn(
            CHECK,
            format!("UCX_TLS={value} ({source}): UCX may take tcp beside or instead of usb4, and not tell"),
            "set UCX_TLS=usb4,self,sm",
        ),
        Named::Yes => Finding::ok(CHECK, format!("UCX_TLS={value} ({source})")),
    }
}

/// UCX_NET_DEVICES lets the device in.
pub(super) fn devices(host: &dyn Host) -> Finding {
    const CHECK: &str = "UCX_NET_DEVICES";
    match effective(host, CHECK) {
        Some((value, source)) if list_names(&value, "usb4") == Named::No => Finding::fail(
            CHECK,
            format!("UCX_NET_DEVICES={value} ({source}) leaves usb4's device out"),
            "add usb4 to it, or unset it",
        ),
        Some((value, source)) => Finding::ok(CHECK, format!("UCX_NET_DEVICES={value} ({source})")),
        None => Finding::ok(CHECK, "not set"),
    }
}

/// A UCX setting's value and source: the environment, else UCX's own view, which knows its configuration file.
fn effective(host: &dyn Host, name: &str) -> Option<(String, &'static str)> {
    if let Some(value) = host.variable(name) {
        return Some((value, "environment"));
    }
    let output = host.run("ucx_info", &["-c"], &[]).ok()?;
    let value = output.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some((value.trim().to_owned(), "UCX's default or its configuration file"))
}

/// Whether a UCX list of names holds a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Yes,
    ByAll,
    No,
}

/// UCX's lists: names with commas, `all`, or `^` and names to leave out. A name may carry a `:` part or a leading `\`.
fn list_names(list: &str, name: &str) -> Named {
    let entries = |list: &str| -> Vec<String> {
        list.split(',')
            .map(|entry| entry.trim().trim_start_matches('\\').split(':').next().unwrap_or("").to_owned())
            .collect()
    };
    if let Some(excluded) = list.trim().strip_prefix('^') {
        return if entries(excluded).iter().any(|entry| entry == name) { Named::No } else { Named::ByAll };
    }
    let entries = entries(list);
    match entries.iter().any(|entry| entry == name) {
        true => Named::Yes,
        false if entries.iter().any(|entry| entry == "all" || entry.is_empty()) => Named::ByAll,
        false => Named::No,
    }
}

/// The transport's own words in UCX's log: the message after the level, of the first line that speaks of usb4.
fn reason(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("usb4") && !line.trim_start().starts_with('#'))?;
    let message = ["ERROR", "WARN", "DIAG", "INFO"].iter().find_map(|level| line.split_once(level));
    Some(message.map_or(line, |(_, message)| message).trim().to_owned())
}

/// Whether another UCX would do, by the transport's words for a release, a changed build and one with statistics.
fn is_about_release(reason: &str) -> bool {
    ["is not supported", "supported are", "--enable-stats"].iter().any(|words| reason.contains(words))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("it printed nothing")
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::fake::Fake;
    use super::*;

    const PROBE: &str = "ucx_info -d -t usb4";

    #[test]
    fn the_release_is_named() {
        for banner in ["# Version 1.13.1\n# Git branch", "# Library version: 1.18.1\n"] {
            let finding = Fake::new().program("ucx_info -v", banner, "").examine(release);
            assert_eq!(finding.outcome, Outcome::Ok);
            assert!(["release 1.13.1", "release 1.18.1"].contains(&finding.message.as_str()), "{finding:?}");
        }
        assert_eq!(Fake::new().examine(release).outcome, Outcome::Warn);
    }

    /// The advice for a transport that printed this line, whose words the message must hold.
    fn advice_for(line: &str, words: &str) -> String {
        let finding = Fake::new().program(PROBE, "#\n# Connection manager: tcp\n", line).with_install(transport);
        assert_eq!((finding.outcome, finding.message.as_str()), (Outcome::Fail, words));
        finding.advice.unwrap()
    }

    #[test]
    fn a_release_of_ucx_that_is_not_supported() {
        for reason in [
            "UCX 1.12.0 is not supported; use UCX 1.13 to 1.22, or a newer ucx-usb4",
            "UCX says it is 1.18.0, but a struct is longer in libuct.so.0; supported are unmodified builds of UCX 1.13 to 1.22",
            "UCX 1.18.0 was built with statistics (--enable-stats), which changes its structs; use a build without",
        ] {
            let line = format!("usb4: not available: {reason}");
            let advice = advice_for(&line, &line);
            assert!(advice.contains("ldd $(which ucx_info)") && advice.contains("LD_LIBRARY_PATH"), "{advice}");
        }
    }

    #[test]
    fn another_refusal_says_itself_what_to_do() {
        let words = "usb4: there is no /dev/usb4dma; load the kernel module (modprobe usb4_dma)";
        let advice = advice_for(&format!("[1.2] [vm:9 :0]  component.rs:9 UCX  ERROR {words}"), words);
        assert!(advice.contains("usb4ctl doctor") && !advice.contains("LD_LIBRARY_PATH"), "{advice}");
    }

    #[test]
    fn a_listed_device_passes() {
        let listing = "# Transport: usb4\n#         Device: usb4_0\n#           Type: network\n";
        assert_eq!(Fake::new().program(PROBE, listing, "").with_install(transport).outcome, Outcome::Ok);
        assert_eq!(Fake::new().program(PROBE, "#\n", "").with_install(transport).outcome, Outcome::Fail);
    }

    #[test]
    fn a_list_without_usb4_fails() {
        for (value, outcome) in [
            ("tcp", Outcome::Fail),
            ("^usb4", Outcome::Fail),
            ("self,sm", Outcome::Fail),
            ("all", Outcome::Warn),
            ("^tcp", Outcome::Warn),
            ("usb4", Outcome::Ok),
            ("self,usb4:aux,sm", Outcome::Ok),
            (r"\usb4", Outcome::Ok),
        ] {
            assert_eq!(Fake::new().variable("UCX_TLS", value).examine(transports).outcome, outcome, "{value}");
        }
    }

    #[test]
    fn a_configuration_file_counts_when_the_variable_is_not_set() {
        let machine = Fake::new().program("ucx_info -c", "UCX_NET_DEVICES=eth0\nUCX_TLS=tcp\n", "");
        assert_eq!(machine.examine(transports).outcome, Outcome::Fail);
        assert_eq!(machine.examine(devices).outcome, Outcome::Fail);
        assert_eq!(machine.variable("UCX_TLS", "usb4").examine(transports).outcome, Outcome::Ok);
    }

    #[test]
    fn on_the_simulated_cable_shared_memory_would_be_taken() {
        let finding =
            Fake::new().variable("UCX_TLS", "all").variable("UCX_USB4_LINKS", "sim:ideal").examine(transports);
        assert_eq!(finding.outcome, Outcome::Warn);
        assert!(finding.message.contains("shared memory"));
    }

    #[test]
    fn other_devices_alone_fail() {
        assert_eq!(Fake::new().variable("UCX_NET_DEVICES", "mlx5_0:1").examine(devices).outcome, Outcome::Fail);
        assert_eq!(Fake::new().variable("UCX_NET_DEVICES", "all").examine(devices).outcome, Outcome::Ok);
        assert_eq!(Fake::new().variable("UCX_NET_DEVICES", "eth0,usb4").examine(devices).outcome, Outcome::Ok);
    }
}
