//! What a job over real cables needs of the machine: the module, memory that it may lock, rings, trained cables. Nothing of it
//! matters on the simulated cable.

use std::path::Path;

use super::{Finding, Host};
use crate::cables::{self, TrainedCable};

const MODULE: &str = "/sys/module/usb4_dma";
/// The last of five bytes says whether Secure Boot is on.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SIMULATED: &str = "not needed on a simulated cable";

fn is_simulated(host: &dyn Host) -> bool {
    host.variable("UCX_USB4_LINKS").is_some_and(|links| links.trim().starts_with("sim:"))
}

/// The kernel module is loaded, or why it is not.
pub(super) fn module(host: &dyn Host) -> Finding {
    const CHECK: &str = "kernel module";
    if is_simulated(host) {
        return Finding::ok(CHECK, SIMULATED);
    }
    if host.exists(Path::new(MODULE)) {
        let version = host.read(&Path::new(MODULE).join("version")).unwrap_or_default();
        return Finding::ok(CHECK, format!("usb4_dma {} is loaded", version.trim()));
    }
    let info = host.run("modinfo", &["--field=signer", "usb4_dma"], &[]).ok().filter(|output| output.success);
    let Some(info) = info else {
        return Finding::fail(
            CHECK,
            "usb4_dma is not installed for this kernel",
            "install it with `sudo apt-get install ./usb4-dma-dkms_*.deb linux-headers-$(uname -r)`, or choose a simulated \
             cable with UCX_USB4_LINKS=sim:PROFILE",
        );
    };
    let secure_boot = host.read_bytes(Path::new(SECURE_BOOT)).is_ok_and(|bytes| bytes.get(4) == Some(&1));
    if secure_boot && info.stdout.trim().is_empty() {
        return Finding::fail(
            CHECK,
            "usb4_dma is installed but not signed, and Secure Boot is on: the kernel will not load it",
            "enrol DKMS's key once with `sudo mokutil --import /var/lib/dkms/mok.pub`, reboot and confirm it, then \
             `sudo dkms build --force usb4-dma/$(dkms status usb4-dma | grep -oP '[0-9.]+' | head -1)` and \
             `sudo modprobe usb4_dma`",
        );
    }
    Finding::fail(CHECK, "usb4_dma is installed but not loaded", "load it with `sudo modprobe usb4_dma`")
}

/// A channel's frames (1984 of 4 KiB with the transport's default settings) and rings, rounded up.
const LOCKED_BYTES: u64 = 8 << 20;

/// The kernel counts a channel's memory against the limit for locked memory.
pub(super) fn locked_memory(host: &dyn Host) -> Finding {
    const CHECK: &str = "locked memory";
    if is_simulated(host) {
        return Finding::ok(CHECK, SIMULATED);
    }
    let limits = host.read(Path::new("/proc/self/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    match line.and_then(|line| line.split_whitespace().next()) {
        None => Finding::warn(CHECK, "the limit cannot be read", "see `ulimit -l`; each rank needs 8 MiB"),
        Some("unlimited") => Finding::ok(CHECK, "not limited"),
        Some(bytes) => match bytes.parse::<u64>().unwrap_or(0) {
            bytes if bytes < LOCKED_BYTES => Finding::fail(
                CHECK,
                format!("a process may lock {} KiB, and a rank needs about {} KiB", bytes >> 10, LOCKED_BYTES >> 10),
                "raise it with `echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/usb4.conf`, and log in again",
            ),
            bytes => Finding::ok(CHECK, format!("a process may lock {} MiB", bytes >> 20)),
        },
    }
}

const INTERFACES: &str = "/sys/class/net";
const IFF_UP: u32 = 1;

/// thunderbolt-net takes a ring of each cable, of the two that some controllers have.
pub(super) fn thunderbolt_net(host: &dyn Host) -> Finding {
    const CHECK: &str = "thunderbolt-net";
    if is_simulated(host) {
        return Finding::ok(CHECK, SIMULATED);
    }
    if !host.exists(Path::new("/sys/module/thunderbolt_net")) {
        return Finding::ok(CHECK, "not loaded: all rings are free");
    }
    // It takes its rings when its interface comes up, and gives them back when that goes down.
    let is_up = |name: &str| {
        let read = |file: &str| host.read(&Path::new(INTERFACES).join(name).join(file)).unwrap_or_default();
        let flags = u32::from_str_radix(read("flags").trim().trim_start_matches("0x"), 16);
        // The driver, because an interface may be renamed.
        read("device/uevent").contains("DRIVER=thunderbolt-net") && flags.is_ok_and(|flags| flags & IFF_UP != 0)
    };
    let mut interfaces = host.list(Path::new(INTERFACES));
    interfaces.retain(|name| is_up(name));
    if interfaces.is_empty() {
        return Finding::ok(CHECK, "loaded, and no interface of it is up: all rings are free");
    }
    Finding::warn(
        CHECK,
        format!(
            "{} is up and holds one ring of its cable, which may leave usb4 half of its speed",
            interfaces.join(", ")
        ),
        "unless you use its network, take it away with `sudo modprobe -r thunderbolt_net` and \
         `echo 'blacklist thunderbolt_net' | sudo tee /etc/modprobe.d/usb4-dma.conf`, on both hosts",
    )
}

/// Cables to other hosts trained at what they can.
pub(super) fn training(host: &dyn Host) -> Finding {
    const CHECK: &str = "cable training";
    if is_simulated(host) {
        return Finding::ok(CHECK, SIMULATED);
    }
    let cables = cables::to_hosts(host);
    match cables.iter().find(|cable| cable.is_slow()) {
        Some(cable) => Finding::warn(CHECK, format!("the cable {}", cable.describe()), cables::TRAIN_AGAIN),
        None if cables.is_empty() => Finding::warn(
            CHECK,
            "no cable leads to another host",
            "join two hosts by a USB4 cable, then look with `boltctl list` or `ls /sys/bus/thunderbolt/devices`",
        ),
        None => Finding::ok(CHECK, cables.iter().map(TrainedCable::describe).collect::<Vec<_>>().join(", ")),
    }
}

/// From 7.2 on, a driver may say how long the controller holds back interrupts; before, it is 128 us for all.
pub(super) fn moderation(host: &dyn Host) -> Finding {
    const CHECK: &str = "interrupt moderation";
    if is_simulated(host) {
        return Finding::ok(CHECK, SIMULATED);
    }
    let release = host.read(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|number| number.trim().parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (7, 2) {
        return Finding::ok(CHECK, format!("Linux {} lets the module lower it", release.trim()));
    }
    Finding::warn(
        CHECK,
        format!(
            "Linux {} holds interrupts back by 128 us, which a rank that sleeps pays for each message",
            release.trim()
        ),
        "let ranks poll, as MPI does by default (no more ranks than cores, no UCX wake-up), or boot Linux 7.2 or later",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::fake::Fake;
    use super::*;

    type Check = fn(&dyn Host) -> Finding;
    const ALL: [Check; 5] = [module, locked_memory, thunderbolt_net, training, moderation];

    /// The trap's outcome, with the command that mends it.
    fn trapped(machine: &Fake, check: Check, outcome: Outcome, command: &str) {
        let finding = machine.examine(check);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
        assert!(finding.advice.as_ref().unwrap().contains(command), "{command} is not in {finding:?}");
    }

    #[test]
    fn a_module_that_is_not_installed_or_not_loaded() {
        trapped(&Fake::new(), module, Outcome::Fail, "apt-get install ./usb4-dma-dkms");
        let installed = Fake::new().program("modinfo --field=signer usb4_dma", "DKMS module signing key\n", "");
        trapped(&installed, module, Outcome::Fail, "modprobe usb4_dma");
        let loaded = installed.file("/sys/module/usb4_dma/version", Ok("0.1.0\n")).folder(MODULE);
        assert_eq!(loaded.examine(module).message, "usb4_dma 0.1.0 is loaded");
    }

    #[test]
    fn an_unsigned_module_under_secure_boot() {
        let unsigned = Fake::new().program("modinfo --field=signer usb4_dma", "", "");
        trapped(&unsigned, module, Outcome::Fail, "modprobe usb4_dma");
        let secure = |on: &str| unsigned.clone().file(SECURE_BOOT, Ok(on));
        trapped(&secure("\u{6}\0\0\0\u{1}"), module, Outcome::Fail, "mokutil --import");
        let off = secure("\u{6}\0\0\0\0").examine(module);
        assert!(!off.advice.unwrap().contains("mokutil"));
    }

    #[test]
    fn too_little_memory_may_be_locked() {
        let limits = |value: &str| {
            let table =
                format!("Limit  Soft Limit  Hard Limit  Units\nMax locked memory   {value}   {value}   bytes\n");
            Fake::new().file("/proc/self/limits", Ok(&table))
        };
        trapped(&limits("65536"), locked_memory, Outcome::Fail, "memlock unlimited");
        for enough in ["unlimited", "8388608"] {
            assert_eq!(limits(enough).examine(locked_memory).outcome, Outcome::Ok);
        }
        assert_eq!(limits("1073741824").examine(locked_memory).message, "a process may lock 1024 MiB");
    }

    #[test]
    fn thunderbolt_net_holds_a_ring() {
        let loaded =
            Fake::new().folder("/sys/module/thunderbolt_net").file("/sys/class/net/eth0/flags", Ok("0x1003\n"));
        let with = |flags: &str| {
            let driver = Ok("DEVTYPE=thunderbolt_service\nDRIVER=thunderbolt-net\n");
            let interface = loaded.clone().file("/sys/class/net/thunderbolt0/device/uevent", driver);
            interface.file("/sys/class/net/thunderbolt0/flags", Ok(flags))
        };
        trapped(&with("0x1003\n"), thunderbolt_net, Outcome::Warn, "modprobe -r thunderbolt_net");
        assert!(with("0x1003\n").examine(thunderbolt_net).message.starts_with("thunderbolt0 is up"));
        for idle in [&loaded, &with("0x1002\n")] {
            assert_eq!(idle.examine(thunderbolt_net).outcome, Outcome::Ok);
        }
        assert_eq!(Fake::new().examine(thunderbolt_net).outcome, Outcome::Ok);
    }

    #[test]
    fn a_cable_that_trained_slowly_and_none_at_all() {
        let cable = |speed: &str, lanes: &str| Fake::new().cable("0-1", speed, lanes);
        trapped(&cable("10.0 Gb/s\n", "1\n"), training, Outcome::Warn, "plug it in again");
        trapped(&Fake::new(), training, Outcome::Warn, "join two hosts");
        assert_eq!(cable("20.0 Gb/s\n", "2\n").examine(training).message, "0-1 trained at 40 Gb/s");
    }

    #[test]
    fn a_kernel_that_holds_interrupts_back() {
        let linux = |release: &str| Fake::new().file("/proc/sys/kernel/osrelease", Ok(release));
        trapped(&linux("6.12.43+deb13-amd64\n"), moderation, Outcome::Warn, "Linux 7.2");
        for release in ["7.2.0-1", "7.10.3", "8.0"] {
            assert_eq!(linux(release).examine(moderation).outcome, Outcome::Ok, "{release}");
        }
    }

    #[test]
    fn the_simulated_cable_needs_none_of_it() {
        let machine = Fake::new().variable("UCX_USB4_LINKS", "sim:ideal").folder("/sys/module/thunderbolt_net");
        for check in ALL {
            assert_eq!(machine.examine(check).outcome, Outcome::Ok);
        }
    }
}
