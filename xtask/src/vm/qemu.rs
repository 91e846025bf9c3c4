//! How a guest is started.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::tools::Tools;
use super::{Accel, GuestOptions};

/// Memory that stays for the host itself, in MiB.
const HOST_RESERVE_MIB: u64 = 256;
/// Saves seconds per boot under emulation; none of it changes what drivers see.
const QUICK_BOOT: &str = "nokaslr no_timer_check cryptomgr.notests audit=0 apparmor=0 security=none edd=off \
                          i8042.noprobe=1 nowatchdog rcupdate.rcu_expedited=1 random.trust_cpu=on nomodeset mitigations=off";

/// Emulated guests calibrate their time stamp counter against an emulated timer, and on a busy machine they get it wrong by
/// several times: their clocks then run ahead of each other and of the host. The HPET needs no calibration.
const EMULATED_CLOCK: &str = "clocksource=hpet tsc=unstable";

/// One guest.
pub(crate) struct Guest<'a> {
    /// Number, from 0.
    pub(crate) number: usize,
    /// Guests in all.
    pub(crate) guests: usize,
    /// Kernel image.
    pub(crate) kernel: &'a Path,
    /// Initramfs.
    pub(crate) initramfs: &'a Path,
    /// Debian root, if it gets one.
    pub(crate) root: Option<&'a Path>,
    /// Folder shared with the guest.
    pub(crate) job: &'a Path,
    /// Folder with the sockets of device process and hub.
    pub(crate) sockets: &'a Path,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// How it runs.
    pub(crate) accel: Accel,
    /// Seconds that its script may take.
    pub(crate) limit_s: u64,
    /// It boots again when it restarts; otherwise it ends.
    pub(crate) may_reboot: bool,
}

impl Guest<'_> {
    /// The command that runs it.
    pub(crate) fn command(&self, tools: &Tools, options: &GuestOptions) -> Command {
        let number = self.number;
        let mut command = tools.qemu();
        let mut add = |arguments: &[&str]| {
            command.args(arguments);
        };
        match self.accel {
            Accel::Kvm => add(&["-accel", "kvm", "-cpu", "host"]),
            // AVX is slow under emulation, so take a processor without it.
            Accel::Tcg => add(&["-accel", "tcg", "-cpu", "Nehalem"]),
        }
        let memory = format!("memory-backend-memfd,id=mem,size={}M,share=on", self.memory_mib);
        let machine =
            if options.iommu { "q35,memory-backend=mem,kernel-irqchip=split" } else { "q35,memory-backend=mem" };
        let cpus = options.cpus.unwrap_or(1).to_string();
        add(&["-m", &format!("{}M", self.memory_mib), "-object", &memory, "-machine", machine, "-smp", &cpus]);
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-run-with", "exit-with-parent=on"]);
        if !self.may_reboot {
            add(&["-no-reboot"]);
        }
        if options.iommu {
            add(&["-device", "intel-iommu,caching-mode=on,aw-bits=48"]);
        }
        let socket = |name: String| self.sockets.join(name).display().to_string();
        add(&[
            "-chardev",
            &format!("file,id=con,path={}", self.job.join(format!("console.{number}")).display()),
            "-serial",
            "chardev:con",
        ]);
        let nhi = serde_json::json!({
            "driver": "vfio-user-pci",
            "socket": { "type": "unix", "path": socket(format!("host{number}.sock")) },
        });
        add(&["-device", &nhi.to_string()]);
        let (local, hub) = (socket(format!("net{number}")), socket("hub".to_owned()));
        add(&[
            "-netdev",
            &format!("dgram,id=net,local.type=unix,local.path={local},remote.type=unix,remote.path={hub}"),
        ]);
        add(&["-device", &format!("virtio-net-pci,netdev=net,mac=52:54:00:00:00:{number:02x},romfile=")]);
        add(&["-fsdev", &format!("local,id=job,path={},security_model=none", self.job.display())]);
        add(&["-device", "virtio-9p-pci,fsdev=job,mount_tag=job", "-device", "virtio-rng-pci"]);
        if let Some(root) = self.root {
            add(&["-drive", &format!("if=none,id=root,format=raw,readonly=on,file={}", root.display())]);
            add(&["-device", "virtio-blk-pci,drive=root"]);
        }
        if options.gdb {
            add(&["-gdb", &format!("tcp:127.0.0.1:{}", 1234 + number), "-S"]);
        }
        let (kernel, initramfs) = (self.kernel.display().to_string(), self.initramfs.display().to_string());
        add(&["-kernel", &kernel, "-initrd", &initramfs, "-append", &self.kernel_command_line(options)]);
        command
    }

    fn kernel_command_line(&self, options: &GuestOptions) -> String {
        let image = if self.root.is_some() { "debian" } else { "busybox" };
        let clock = if self.accel == Accel::Tcg { EMULATED_CLOCK } else { "" };
        let iommu = if options.iommu { "intel_iommu=on iommu.passthrough=0" } else { "" };
        format!(
            "console=ttyS0 loglevel=4 panic=-1 {QUICK_BOOT} {clock} {iommu} ucx.h={} ucx.n={} ucx.image={image} ucx.limit={} {}",
            self.number, self.guests, self.limit_s, options.append
        )
    }
}

/// Says whether guests can use KVM here. The device alone does not tell: some sandboxes have one that cannot run a kernel.
pub(crate) fn choose_accel(options: &GuestOptions) -> Accel {
    if let Some(accel) = options.accel {
        return accel;
    }
    let opens = fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let virtualises = processor
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"));
    if opens && virtualises { Accel::Kvm } else { Accel::Tcg }
}

/// Refuses guests that this machine has no memory for: without swap the kernel would kill something.
pub(crate) fn check_memory(guests: usize, memory_mib: u64) -> Result<()> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo cannot be read")?;
    let available_mib = available_mib(&text).context("/proc/meminfo has no MemAvailable")?;
    let needed_mib = guests as u64 * memory_mib + HOST_RESERVE_MIB;
    ensure!(
        needed_mib <= available_mib,
        "{guests} guests of {memory_mib} MiB need {needed_mib} MiB with what the host keeps, and {available_mib} MiB are available: \
         end something, or give guests less with --memory-mib (Busybox guests run with 256, Debian ones with 512)"
    );
    Ok(())
}

fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_that_do_not_fit_are_refused_with_the_way_out() {
        assert_eq!(available_mib("MemTotal: 1 kB\nMemAvailable:   2097152 kB\n"), Some(2048));
        let refusal = check_memory(1000, 1 << 20).expect_err("a petabyte").to_string();
        assert!(refusal.contains("--memory-mib"), "{refusal}");
    }
}
