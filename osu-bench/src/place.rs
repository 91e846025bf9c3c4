//! Where the ranks run, as hwloc sees it, and what of that spoils a measurement: ranks poll, so two on one core, or one on a
//! slow core beside a fast one, measure the machine's scheduler instead of the cable.

use std::collections::{BTreeMap, BTreeSet};

use hwlocality::Topology;
use hwlocality::bitmap::Bitmap;
use hwlocality::cpu::binding::CpuBindingFlags;
use hwlocality::cpu::cpuset::CpuSet;
use hwlocality::object::types::ObjectType;
use mpi::datatype::PartitionMut;
use mpi::topology::Communicator;
use mpi::traits::{CommunicatorCollectives, Root};
use serde::{Deserialize, Serialize};

use crate::mpi_raw::Comm;

/// The variable by which Open MPI's ranks give way to each other.
const YIELDS: &str = "OMPI_MCA_mpi_yield_when_idle";

/// Where one rank runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// The lowest rank of its host.
    host: i32,
    /// Cores that a job may use there; 0: unknown.
    cores: usize,
    /// The processors of its core, if it is bound to a single one: `2-3`.
    core: Option<String>,
    /// The faster processors there, if it is bound to slower ones only: `0-11`.
    faster: Option<String>,
    /// Whether it gives way while it waits.
    yields: bool,
}

impl Place {
    /// This process's; with nothing known where hwloc cannot tell.
    fn here(host: i32) -> Place {
        let yields = std::env::var(YIELDS).is_ok_and(|value| value.trim() == "1");
        let known = Topology::new().ok().and_then(|topology| {
            let bound = topology.cpu_binding(CpuBindingFlags::THREAD).ok()?;
            Some(Place::within(&topology, &bound))
        });
        Place { host, yields, ..known.unwrap_or_default() }
    }

    /// Of a process that is bound to `bound`.
    fn within(topology: &Topology, bound: &CpuSet) -> Place {
        let cores: Vec<CpuSet> = topology
            .objects_with_type(ObjectType::Core)
            .filter_map(|core| Some(core.cpuset()?.clone_target()))
            .collect();
        let core = cores.iter().find(|core| core.includes(bound)).map(processors);
        // From the slowest to the fastest.
        let kinds: Vec<CpuSet> =
            topology.cpu_kinds().map(|kinds| kinds.map(|kind| kind.cpuset).collect()).unwrap_or_default();
        let fastest = kinds.last().filter(|fastest| kinds.len() > 1 && !fastest.intersects(bound));
        Place { cores: cores.len(), core, faster: fastest.map(processors), ..Place::default() }
    }
}

/// What of the ranks' places spoils a measurement, one line for each. All ranks call it, and get the same.
pub(crate) fn warnings(comm: &Comm) -> Vec<String> {
    let mut host = comm.rsmpi().rank();
    comm.rsmpi().split_shared(0).process_at_rank(0).broadcast_into(&mut host);
    let place = serde_json::to_vec(&Place::here(host)).expect("numbers and texts are JSON");
    judge(&gather(comm, &place))
}

/// The places that all ranks sent.
fn gather(comm: &Comm, place: &[u8]) -> Vec<Place> {
    let mut counts = vec![0i32; comm.size()];
    let count = i32::try_from(place.len()).expect("a place is short");
    comm.rsmpi().all_gather_into(&count, &mut counts[..]);
    let starts: Vec<i32> = counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect();
    let mut all = vec![0u8; counts.iter().map(|count| *count as usize).sum()];
    comm.rsmpi().all_gather_varcount_into(place, &mut PartitionMut::new(&mut all[..], &counts[..], &starts[..]));
    // Another version of this program on another host may tell other things: nothing is known of its place then.
    let read = |(start, count): (&i32, &i32)| serde_json::from_slice(&all[*start as usize..][..*count as usize]);
    starts.iter().zip(&counts).map(|place| read(place).unwrap_or_default()).collect()
}

/// Of the places of ranks 0, 1, ...
fn judge(places: &[Place]) -> Vec<String> {
    let mut by_host: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (rank, place) in places.iter().enumerate() {
        by_host.entry(place.host).or_default().push(rank);
    }
    let mut warnings = Vec::new();
    for ranks in by_host.values() {
        let cores = places[ranks[0]].cores;
        if cores > 0 && ranks.len() > cores && !places[ranks[0]].yields {
            warnings.push(format!(
                "ranks {} share {cores} cores, and ranks that wait do not give way: start fewer, or with Open MPI set {YIELDS}=1",
                list(ranks)
            ));
        }
        let mut by_core: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &rank in ranks {
            if let Some(core) = &places[rank].core {
                by_core.entry(core).or_default().push(rank);
            }
        }
        let fits = ranks.len() <= cores;
        for (core, ranks) in by_core.iter().filter(|(_, ranks)| fits && ranks.len() > 1) {
            warnings.push(format!(
                "ranks {} are bound to one core (processors {core}) of {cores}: start them with --bind-to core",
                list(ranks)
            ));
        }
        let faster: BTreeSet<&str> = ranks.iter().filter_map(|&rank| places[rank].faster.as_deref()).collect();
        for processors in faster {
            let slow: Vec<usize> =
                ranks.iter().copied().filter(|&rank| places[rank].faster.as_deref() == Some(processors)).collect();
            let (ranks, are, them) = if slow.len() == 1 { ("rank", "is", "it") } else { ("ranks", "are", "them") };
            warnings.push(format!(
                "{ranks} {} {are} bound to slower cores: start {them} with --cpu-set {processors} --bind-to core",
                list(&slow)
            ));
        }
    }
    warnings
}

/// `0-3,8`.
fn processors(set: &CpuSet) -> String {
    Bitmap::from(set.clone()).to_string()
}

/// `0, 1 and 5`; `0 to 3` where they follow each other.
fn list(ranks: &[usize]) -> String {
    match ranks {
        [first, .., last] if last - first + 1 == ranks.len() && ranks.len() > 2 => format!("{first} to {last}"),
        [before @ .., last] if !before.is_empty() => {
            let before: Vec<String> = before.iter().map(ToString::to_string).collect();
            format!("{} and {last}", before.join(", "))
        }
        _ => ranks.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use hwlocality::bitmap::BitmapIndex;

    use super::*;

    /// Four cores of two processors each, of which the last two cores are slower.
    fn hybrid() -> Topology {
        let mut topology = Topology::builder().from_synthetic("core:4 pu:2").unwrap().build().unwrap();
        topology.edit(|editor| {
            editor.register_cpu_kind(&cpus(0..=3), Some(1), []).unwrap();
            editor.register_cpu_kind(&cpus(4..=7), Some(0), []).unwrap();
        });
        topology
    }

    fn cpus(range: std::ops::RangeInclusive<usize>) -> CpuSet {
        range.map(|cpu| BitmapIndex::try_from(cpu).unwrap()).collect()
    }

    #[test]
    fn a_process_is_on_one_core_or_free_and_on_fast_or_slow_ones() {
        let place = |range| Place::within(&hybrid(), &cpus(range));
        let free = Place { cores: 4, ..Place::default() };
        assert_eq!(place(0..=7), free);
        assert_eq!(place(2..=5), free);
        assert_eq!(place(2..=2), Place { core: Some("2-3".into()), ..free.clone() });
        let slow = Place { faster: Some("0-3".into()), ..free.clone() };
        assert_eq!(place(4..=7), slow);
        assert_eq!(place(6..=7), Place { core: Some("6-7".into()), ..slow });
        let alike = Topology::builder().from_synthetic("core:2 pu:1").unwrap().build().unwrap();
        assert_eq!(Place::within(&alike, &cpus(1..=1)), Place { cores: 2, core: Some("1".into()), ..Place::default() });
    }

    #[test]
    fn a_bound_thread_finds_its_core() {
        let topology = Topology::new().unwrap();
        let processor = topology.objects_with_type(ObjectType::PU).next().unwrap().cpuset().unwrap().clone_target();
        let found = std::thread::spawn(move || {
            topology.bind_cpu(&processor, CpuBindingFlags::THREAD).unwrap();
            (Place::here(7), processors(&processor))
        });
        let (place, processor) = found.join().unwrap();
        assert_eq!(place.host, 7);
        assert!(place.core.as_ref().is_some_and(|core| core.contains(&processor)), "{processor}: {place:?}");
    }

    fn bound(host: i32, range: std::ops::RangeInclusive<usize>) -> Place {
        Place { host, ..Place::within(&hybrid(), &cpus(range)) }
    }

    #[test]
    fn ranks_on_cores_of_their_own_need_no_warning() {
        assert_eq!(judge(&[bound(0, 0..=1), bound(0, 2..=3), bound(2, 0..=1), bound(2, 0..=7)]), [""; 0]);
        // Where nothing is known, nothing is said.
        assert_eq!(judge(&vec![Place::default(); 9]), [""; 0]);
    }

    #[test]
    fn two_ranks_on_one_core_are_told() {
        let warnings = judge(&[bound(0, 0..=1), bound(0, 2..=3), bound(0, 0..=0), bound(3, 0..=1)]);
        assert_eq!(
            warnings,
            ["ranks 0 and 2 are bound to one core (processors 0-1) of 4: start them with --bind-to core"]
        );
    }

    #[test]
    fn slow_cores_are_told_where_there_are_fast_ones() {
        let warnings = judge(&[bound(0, 0..=1), bound(0, 4..=5)]);
        assert_eq!(warnings, ["rank 1 is bound to slower cores: start it with --cpu-set 0-3 --bind-to core"]);
    }

    #[test]
    fn more_ranks_than_cores_are_told_unless_they_give_way() {
        let crowd = |yields| vec![Place { yields, ..bound(0, 0..=7) }; 5];
        assert_eq!(judge(&crowd(true)), [""; 0]);
        let expected = "ranks 0 to 4 share 4 cores, and ranks that wait do not give way: start fewer, or with Open MPI set OMPI_MCA_mpi_yield_when_idle=1";
        assert_eq!(judge(&crowd(false)), [expected]);
    }
}
