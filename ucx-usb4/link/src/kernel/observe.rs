//! What the kernel module shows to everybody: the node and its rails in sysfs, and which processes have channels in procfs.
//! Nothing here opens the device, so whoever may not use it may still look.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::board;
use crate::{Address, ChannelId, ConnectionStats, NodeId, RailCounters, RailId};

const SYSFS: &str = "/sys/class/misc/usb4dma";
const PCI: &str = "/sys/bus/pci/devices";
const PROCFS: &str = "/proc";

/// This node, as the kernel module sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeView {
    /// Its number.
    pub node: NodeId,
    /// Version of the module's interface.
    pub abi_version: u32,
    /// Channels that are open, those of other users included.
    pub channels: u32,
    /// The rails of all cables.
    pub rails: Vec<RailView>,
    /// The processes with channels that this user may look at.
    pub processes: Vec<ProcessView>,
}

/// A rail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RailView {
    /// Its number on this node.
    pub id: RailId,
    /// Its name, such as `cable0.rail1`.
    pub name: String,
    /// Whether it carries frames.
    pub state: RailState,
    /// The node at its other end, or that was there last.
    pub peer: NodeId,
    /// Identity of the router there.
    pub peer_uuid: String,
    /// How often it came up.
    pub epoch: u32,
    /// What the cable carries in the transmit direction, before line code; `None`: not known.
    pub rate_bits_per_s: Option<u64>,
    /// Lanes that carry what this node sends.
    pub tx_lanes: u32,
    /// Lanes that carry what it receives.
    pub rx_lanes: u32,
    /// The controller's name on its bus.
    pub nhi: String,
    /// The controller's NUMA node; `None`: not known, or the machine has only one.
    pub numa_node: Option<u32>,
    /// The CPUs that are nearest to the controller, as the kernel lists them, such as `0-7,16-23`; empty: not known. A process that
    /// receives over this rail is at its best on one of them.
    pub local_cpus: String,
    /// What it counted, by the module's names.
    pub counters: BTreeMap<String, u64>,
}

/// Whether a rail carries frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RailState {
    /// It does.
    Up,
    /// It did, and will when its peer is back.
    Down,
}

/// A process's channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessView {
    /// The process.
    pub pid: u32,
    /// Its program.
    pub program: String,
    /// Its channel.
    pub address: Address,
    /// System calls that told the kernel of something, or asked it.
    pub kicks: u64,
    /// Of these, those that brought frames to send.
    pub doorbells: u64,
    /// Times that it went to sleep.
    pub sleeps: u64,
    /// Times that it was woken.
    pub wakeups: u64,
    /// What went over each rail.
    pub rails: Vec<(RailId, RailCounters)>,
    /// Its connections.
    pub connections: Vec<ConnectionStats>,
}

/// The node as it is now; `None` where the module is not loaded.
///
/// # Errors
/// The module is there, and its files cannot be read or say something else than expected.
pub fn inspect() -> io::Result<Option<NodeView>> {
    inspect_at(Path::new(SYSFS), Path::new(PCI), Path::new(PROCFS))
}

fn inspect_at(sysfs: &Path, pci: &Path, procfs: &Path) -> io::Result<Option<NodeView>> {
    if !sysfs.exists() {
        return Ok(None);
    }
    let mut rails = Vec::new();
    for entry in fs::read_dir(sysfs.join("rails"))? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // A rail may go while it is looked at.
        if let Some(id) = number.and_then(RailId::new)
            && let Ok(rail) = rail(id, &entry.path(), pci)
        {
            rails.push(rail);
        }
    }
    rails.sort_by_key(|rail| rail.id);
    Ok(Some(NodeView {
        node: NodeId(hexadecimal(&sysfs.join("node"))?),
        abi_version: number(&sysfs.join("abi_version"))?,
        channels: number(&sysfs.join("channels"))?,
        rails,
        processes: processes(procfs),
    }))
}

/// The controller of the node's rails, by its name on the PCI bus. Those of a machine with several are alike to whoever asks how near
/// the cables are to a CPU, so it is the first; `None` if they sit at different NUMA nodes, or no cable was ever there.
#[must_use]
pub fn controller() -> Option<String> {
    controller_at(Path::new(SYSFS))
}

fn controller_at(sysfs: &Path) -> Option<String> {
    let rails = fs::read_dir(sysfs.join("rails")).ok()?;
    let place = |rail: PathBuf| Some((read(&rail.join("nhi")).ok()?, read(&rail.join("numa_node")).ok()?));
    let mut places: Vec<_> = rails.flatten().filter_map(|rail| place(rail.path())).collect();
    places.retain(|(nhi, _)| !nhi.is_empty());
    places.sort_unstable();
    let (first, numa_node) = places.first()?;
    places.iter().all(|(_, other)| other == numa_node).then(|| first.clone())
}

fn rail(id: RailId, folder: &Path, pci: &Path) -> io::Result<RailView> {
    let file = |name: &str| folder.join(name);
    let mut counters = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_counter = ["tx_", "rx_", "polls", "irqs"].iter().any(|prefix| name.starts_with(prefix));
        if is_counter && !name.ends_with("_lanes") {
            counters.insert(name.clone(), number(&file(&name))?);
        }
    }
    let numa_node: i64 = number(&file("numa_node"))?;
    let nhi = read(&file("nhi"))?;
    Ok(RailView {
        id,
        name: read(&file("name"))?,
        state: if read(&file("state"))? == "up" { RailState::Up } else { RailState::Down },
        peer: NodeId(hexadecimal(&file("peer_node"))?),
        peer_uuid: read(&file("peer_uuid"))?,
        epoch: number(&file("epoch"))?,
        rate_bits_per_s: Some(number(&file("rate_bits_per_s"))?).filter(|&rate| rate > 0),
        tx_lanes: number(&file("tx_lanes"))?,
        rx_lanes: number(&file("rx_lanes"))?,
        local_cpus: read(&pci.join(&nhi).join("local_cpulist")).unwrap_or_default(),
        nhi,
        numa_node: u32::try_from(numa_node).ok(),
        counters,
    })
}

/// Every descriptor of a channel says in procfs what it is. Processes of others cannot be looked at and are left out.
fn processes(procfs: &Path) -> Vec<ProcessView> {
    let mut found: Vec<ProcessView> = Vec::new();
    for entry in fs::read_dir(procfs).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let program = read(&entry.path().join("comm")).unwrap_or_default();
        for descriptor in fs::read_dir(entry.path().join("fdinfo")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(descriptor.path()).unwrap_or_default();
            // A child that was forked has the same channel, but it is its parent's.
            if let Some(view) = parse_channel(pid, &program, &text)
                && !found.iter().any(|other| other.address == view.address)
            {
                let connections = board::connections(&entry.path(), view.address.channel);
                found.push(ProcessView { connections, ..view });
            }
        }
    }
    found.sort_by_key(|view| view.address.channel.0);
    found
}

fn parse_channel(pid: u32, program: &str, fdinfo: &str) -> Option<ProcessView> {
    let lines = || fdinfo.lines().filter_map(|line| line.strip_prefix("usb4dma-")?.split_once(":\t"));
    let value = |name: &str| lines().find(|(key, _)| *key == name).map(|(_, value)| value);
    let count = |name: &str| value(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let node = NodeId(u32::from_str_radix(value("node")?, 16).ok()?);
    let channel = ChannelId(value("channel")?.parse().ok()?);
    let rail = |(key, value): (&str, &str)| {
        let id = RailId::new(key.strip_prefix("rail")?.parse().ok()?)?;
        Some((id, rail_counters(value)))
    };
    Some(ProcessView {
        pid,
        program: program.to_owned(),
        address: Address { node, channel },
        kicks: count("kicks"),
        doorbells: count("doorbells"),
        sleeps: count("arms"),
        wakeups: count("wakeups"),
        rails: lines().filter_map(rail).collect(),
        connections: Vec::new(),
    })
}

/// Words such as `tx_frames=3`.
fn rail_counters(words: &str) -> RailCounters {
    let mut counters = RailCounters::default();
    for (name, value) in words.split_whitespace().filter_map(|word| word.split_once('=')) {
        let Ok(value) = value.parse() else { continue };
        match name {
            "tx_frames" => counters.tx_frames = value,
            "tx_bytes" => counters.tx_bytes = value,
            "tx_down" => counters.unplugged = value,
            "rx_frames" => counters.rx_frames = value,
            "rx_bytes" => counters.rx_bytes = value,
            "rx_no_buffer" => counters.no_buffer = value,
            _ => {}
        }
    }
    counters
}

fn read(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn number<T: FromStr>(path: &Path) -> io::Result<T> {
    read(path)?.parse().map_err(|_| senseless(path))
}

fn hexadecimal(path: &Path) -> io::Result<u32> {
    u32::from_str_radix(&read(path)?, 16).map_err(|_| senseless(path))
}

fn senseless(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} does not hold a number", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, contents) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{contents}\n")).unwrap();
        }
    }

    #[test]
    fn the_first_controller_stands_for_all_that_are_equally_near() {
        let folder = tempfile::tempdir().unwrap();
        let sysfs = folder.path();
        assert_eq!(controller_at(sysfs), None);
        // A rail that has never been up has no controller yet.
        write(sysfs, &[("rails/0/nhi", ""), ("rails/0/numa_node", "-1")]);
        assert_eq!(controller_at(sysfs), None);
        write(sysfs, &[("rails/1/nhi", "0000:c7:00.6"), ("rails/1/numa_node", "0")]);
        write(sysfs, &[("rails/2/nhi", "0000:c7:00.5"), ("rails/2/numa_node", "0")]);
        assert_eq!(controller_at(sysfs).as_deref(), Some("0000:c7:00.5"));
        write(sysfs, &[("rails/2/numa_node", "1")]);
        assert_eq!(controller_at(sysfs), None);
    }

    #[test]
    fn the_node_its_rails_and_its_processes_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let [sysfs, pci, procfs] = ["sys", "pci", "proc"].map(|name| folder.path().join(name));
        assert_eq!(inspect_at(&sysfs, &pci, &procfs).unwrap(), None);
        write(&sysfs, &[("node", "0badcafe"), ("abi_version", "1"), ("channels", "2")]);
        let rail = [
            ("rails/1/name", "cable0.rail1"),
            ("rails/1/state", "up"),
            ("rails/1/peer_node", "00000007"),
            ("rails/1/peer_uuid", "d3010000-0080-8408"),
            ("rails/1/epoch", "2"),
            ("rails/1/rate_bits_per_s", "40000000000"),
            ("rails/1/tx_lanes", "2"),
            ("rails/1/rx_lanes", "2"),
            ("rails/1/nhi", "0000:c7:00.5"),
            ("rails/1/numa_node", "-1"),
            ("rails/1/tx_frames", "12"),
            ("rails/1/irqs", "3"),
        ];
        write(&sysfs, &rail);
        let fdinfo = "pos:\t0\nusb4dma-node:\t0badcafe\nusb4dma-channel:\t5\nusb4dma-kicks:\t9\nusb4dma-doorbells:\t4\n\
                      usb4dma-rail1:\ttx_frames=3 tx_bytes=120 tx_down=1 tx_again=0 rx_frames=2 rx_bytes=80 rx_no_buffer=0";
        write(
            &procfs,
            &[("41/comm", "ring"), ("41/fdinfo/7", fdinfo), ("41/fdinfo/0", "pos:\t0"), ("42/comm", "ring")],
        );
        write(&procfs, &[("42/fdinfo/7", fdinfo), ("self/comm", "me")]);

        write(&pci, &[("0000:c7:00.5/local_cpulist", "0-7,16-23")]);
        let view = inspect_at(&sysfs, &pci, &procfs).unwrap().unwrap();
        assert_eq!((view.node, view.abi_version, view.channels), (NodeId(0x0bad_cafe), 1, 2));
        let [rail] = &view.rails[..] else { panic!("{:?}", view.rails) };
        assert_eq!((rail.id, rail.state, rail.peer), (RailId::new(1).unwrap(), RailState::Up, NodeId(7)));
        assert_eq!((rail.rate_bits_per_s, rail.numa_node), (Some(40_000_000_000), None));
        assert_eq!(rail.local_cpus, "0-7,16-23");
        assert_eq!(rail.counters.keys().collect::<Vec<_>>(), ["irqs", "tx_frames"]);
        assert_eq!(rail.counters["tx_frames"], 12);
        // The forked child is not shown again.
        let [process] = &view.processes[..] else { panic!("{:?}", view.processes) };
        assert_eq!((process.program.as_str(), process.kicks, process.doorbells), ("ring", 9, 4));
        assert_eq!(process.address, Address { node: view.node, channel: ChannelId(5) });
        let expected = RailCounters {
            tx_frames: 3,
            tx_bytes: 120,
            unplugged: 1,
            rx_frames: 2,
            rx_bytes: 80,
            ..RailCounters::default()
        };
        assert_eq!(process.rails, [(rail.id, expected)]);
    }
}
