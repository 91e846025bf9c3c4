//! The links that a job would open, and the shared memory that the simulated cable needs.

use std::io;
use std::path::Path;

use usb4_link::LinkSpec;
use usb4_link::sim::{FabricConfig, Profile};

use super::{Finding, Host};

const DEVICE: &str = "/dev/usb4dma";

/// There is a device, or a simulated cable is chosen, and it is described without mistakes.
pub(super) fn links(host: &dyn Host) -> Finding {
    const CHECK: &str = "links";
    let value = host.variable("UCX_USB4_LINKS").unwrap_or_default();
    match value.parse::<LinkSpec>() {
        Err(error) => Finding::fail(CHECK, error.to_string(), "set UCX_USB4_LINKS to one of these"),
        Ok(LinkSpec::Auto | LinkSpec::Kernel) => device(host, CHECK),
        Ok(LinkSpec::SimProfile(profile)) => {
            Finding::ok(CHECK, format!("UCX_USB4_LINKS={value}: {}", profile.summary()))
        }
        Ok(LinkSpec::SimFile(path)) => match host.read(&path) {
            Err(error) => Finding::fail(
                CHECK,
                format!("UCX_USB4_LINKS={value}: cannot read the file: {error}"),
                "correct the path; a relative one starts from the folder of each rank",
            ),
            Ok(text) => match FabricConfig::parse(&path.display().to_string(), &text) {
                Err(error) => Finding::fail(CHECK, error.to_string(), "correct the file"),
                Ok(config) => Finding::ok(CHECK, format!("UCX_USB4_LINKS={value}: {}", summary(&config))),
            },
        },
    }
}

/// The kernel module's device can be opened.
fn device(host: &dyn Host, check: &'static str) -> Finding {
    match host.open(Path::new(DEVICE)) {
        Ok(()) => Finding::ok(check, format!("{DEVICE} can be opened")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::fail(
            check,
            format!("there is no {DEVICE}, and UCX_USB4_LINKS names no simulated cable"),
            format!(
                "load the kernel module (modprobe usb4_dma), or choose a simulated cable with \
                 UCX_USB4_LINKS=sim:PROFILE (one of {})",
                Profile::names()
            ),
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::fail(check, format!("{DEVICE} is there, but you may not open it"), permission_advice(host))
        }
        Err(error) => Finding::fail(check, format!("{DEVICE} cannot be opened: {error}"), "see `dmesg`"),
    }
}

/// The udev rule gives the device to a group; without it, root's group has it, which nobody should join.
fn permission_advice(host: &dyn Host) -> String {
    let group = host.run("stat", &["-c", "%G", DEVICE], &[]).ok().filter(|output| output.success);
    match group.as_ref().map(|output| output.stdout.trim()) {
        Some("root") => format!(
            "its udev rule is missing: `sudo groupadd --system --force usb4`, \
             `sudo install -m 644 kernel/udev/60-usb4-dma.rules /etc/udev/rules.d/`, `sudo udevadm control --reload` and \
             `sudo udevadm trigger --name-match={DEVICE}`, then `sudo usermod -aG usb4 $USER`, and log in again"
        ),
        group => {
            let group = group.unwrap_or("usb4");
            format!("join its group with `sudo usermod -aG {group} $USER`, and log in again")
        }
    }
}

fn summary(config: &FabricConfig) -> String {
    let rails: usize = config.cables.iter().map(|cable| cable.rails.len()).sum();
    format!("{} nodes, {} cables, {rails} rails", config.nodes, config.cables.len())
}

/// What a small job takes: a few MiB for each rank, mostly its transmit pool, and for each pair of ranks that talk.
const NEEDED_BYTES: u64 = 64 << 20;

/// /dev/shm has room for a small job on a simulated fabric.
pub(super) fn memory(host: &dyn Host) -> Finding {
    const CHECK: &str = "shared memory";
    let value = host.variable("UCX_USB4_LINKS").unwrap_or_default();
    if !value.trim().starts_with("sim:") {
        return Finding::ok(CHECK, "not needed without a simulated cable");
    }
    let needed_mib = NEEDED_BYTES >> 20;
    match host.free_bytes(Path::new("/dev/shm")) {
        Err(error) => Finding::fail(CHECK, format!("/dev/shm cannot be used: {error}"), "mount a tmpfs there"),
        Ok(free) if free < NEEDED_BYTES => Finding::fail(
            CHECK,
            format!("/dev/shm has {} MiB free, and a small job needs about {needed_mib} MiB", free >> 20),
            "enlarge it (mount -o remount,size=2G /dev/shm; in a container: docker run --shm-size=2g), or free it with \
             `usb4ctl sim clean`",
        ),
        Ok(free) => Finding::ok(CHECK, format!("/dev/shm has {} MiB free", free >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::fake::Fake;
    use super::*;

    fn with_links(value: &str) -> Fake {
        Fake::new().variable("UCX_USB4_LINKS", value)
    }

    #[test]
    fn nothing_at_all_names_both_ways_out() {
        let finding = Fake::new().examine(links);
        assert_eq!(finding.outcome, Outcome::Fail);
        let advice = finding.advice.unwrap();
        assert!(
            advice.contains("modprobe usb4_dma") && advice.contains("sim:PROFILE") && advice.contains("strix-halo")
        );
    }

    #[test]
    fn a_device_that_may_not_be_opened_is_told_apart() {
        let of_group = |group: &str| {
            let machine = Fake::new().file(DEVICE, Err(io::ErrorKind::PermissionDenied));
            let finding = machine.program("stat -c %G /dev/usb4dma", group, "").examine(links);
            assert_eq!(finding.outcome, Outcome::Fail);
            finding.advice.unwrap()
        };
        assert!(of_group("lab\n").starts_with("join its group with `sudo usermod -aG lab $USER`"));
        let ruleless = of_group("root\n");
        assert!(ruleless.contains("60-usb4-dma.rules") && ruleless.contains("usermod -aG usb4 $USER"), "{ruleless}");
        assert_eq!(Fake::new().file(DEVICE, Ok("")).examine(links).outcome, Outcome::Ok);
    }

    #[test]
    fn an_unknown_profile_gets_the_list() {
        let finding = with_links("sim:strix").examine(links);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.message.contains("usb4-40g") && finding.message.contains("ideal"), "{finding:?}");
    }

    #[test]
    fn a_broken_file_gets_line_and_column() {
        let file = "nodes = 2\n[[cables]]\nbetween = [0, \"b\"]\n";
        let finding = with_links("sim:/f.toml").file("/f.toml", Ok(file)).examine(links);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.message.contains("/f.toml:3:"), "{finding:?}");
    }

    #[test]
    fn a_good_file_and_a_missing_one() {
        let file = "nodes = 3\n[[cables]]\nbetween = [0, 1]\nrails = 2\n[[cables]]\nbetween = [1, 2]\n";
        let finding = with_links("sim:/f.toml").file("/f.toml", Ok(file)).examine(links);
        assert_eq!(finding.outcome, Outcome::Ok, "{finding:?}");
        assert!(finding.message.contains("3 nodes, 2 cables, 3 rails"), "{finding:?}");
        assert_eq!(with_links("sim:/g.toml").examine(links).outcome, Outcome::Fail);
    }

    #[test]
    fn too_little_shared_memory_says_how_much() {
        let finding = with_links("sim:ideal").free_bytes(40 << 20).examine(memory);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.message.contains("40 MiB free") && finding.message.contains("64 MiB"), "{finding:?}");
        assert!(finding.advice.unwrap().contains("remount"));
        assert_eq!(Fake::new().free_bytes(0).examine(memory).outcome, Outcome::Ok);
    }
}
