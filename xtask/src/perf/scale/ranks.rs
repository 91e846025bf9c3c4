//! Many ranks on one machine: what a message of an alltoall costs, and the shared memory of a rank.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use comfy_table::{Table, presets};
use serde_json::Value;
use xshell::{Shell, cmd};

use super::{Figure, Line, draw};
use crate::{stage, workspace};

const TLS: [&str; 3] = ["usb4", "tcp", "posix"];

/// Measures 2, 4, 8 ... ranks, prints a table and draws docs/scale-ranks.svg.
pub(super) fn run(shell: &Shell, most: u32) -> anyhow::Result<()> {
    let stage = stage::build(shell)?;
    let cores = std::thread::available_parallelism()?.get() as f64;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(["ranks", "usb4", "tcp", "posix", "KiB of shared memory"]);
    let mut lines = TLS.map(|tls| Line { label: tls.to_owned(), points: Vec::new() });
    let counts = std::iter::successors(Some(2), |ranks| Some(ranks * 2)).take_while(|&ranks| ranks <= most);
    for ranks in counts {
        eprintln!("{ranks} ranks");
        let (document, peak_bytes) = with_peak(|| measure(shell, &stage, ranks))?;
        let mut row = vec![ranks.to_string()];
        for (tls, line) in TLS.iter().zip(&mut lines) {
            let us = median_us(&document, tls).with_context(|| format!("no result of {tls} on {ranks} ranks"))?;
            // Every rank sends to every other; the cores share the work.
            let ns = us * 1e3 * cores.min(f64::from(ranks)) / f64::from(ranks * (ranks - 1));
            row.push(format!("{ns:.0}"));
            line.points.push((f64::from(ranks), ns));
        }
        row.push((peak_bytes / 1024 / u64::from(ranks)).to_string());
        table.add_row(row);
    }
    let figure = Figure {
        caption: "Core time of one 8-byte message in an alltoall",
        across: "ranks",
        up: "ns of a core",
        is_up_log: true,
    };
    draw(&workspace::root().join("docs/scale-ranks.svg"), &figure, &lines)?;
    println!(
        "ns of a core for each 8-byte message of an alltoall on {cores} cores; shared memory of a rank over usb4\n\n{table}"
    );
    Ok(())
}

fn measure(shell: &Shell, stage: &stage::Stage, ranks: u32) -> anyhow::Result<Value> {
    let (osu_bench, mpirun, ranks) = (stage.program("osu-bench"), workspace::open_mpi_mpirun(), ranks.to_string());
    let tls = TLS.join(",");
    let text = cmd!(
        shell,
        "{osu_bench} compare alltoall --tls {tls} --np {ranks} --rounds 3 --mpirun {mpirun} --mpirun-arg=--oversubscribe
         --mpirun-arg=--bind-to --mpirun-arg=none --json -m 8:8 -i 200 -x 20"
    )
    .quiet()
    // Ranks that spin would keep others from answering; and each message shall go straight to its receiver.
    .env("OMPI_MCA_mpi_yield_when_idle", "1")
    .env("OMPI_MCA_coll_tuned_use_dynamic_rules", "1")
    .env("OMPI_MCA_coll_tuned_alltoall_algorithm", "1")
    .read()?;
    serde_json::from_str(&text).context("osu-bench compare printed something else")
}

fn median_us(document: &Value, tls: &str) -> Option<f64> {
    let transports = document["benchmarks"][0]["transports"].as_array()?;
    let transport =
        transports.iter().find(|transport| transport["label"].as_str().is_some_and(|label| label.starts_with(tls)))?;
    transport["sizes"][0]["median"].as_f64()
}

/// Does the work, and says how many bytes the simulated fabrics took in shared memory meanwhile, at most.
fn with_peak<R>(work: impl FnOnce() -> anyhow::Result<R>) -> anyhow::Result<(R, u64)> {
    let (peak, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                peak.fetch_max(fabric_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        result
    })
    .map(|result| (result, peak.into_inner()))
}

/// Allocated bytes of this machine's simulated fabrics.
fn fabric_bytes() -> u64 {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().collect::<Vec<_>>();
    let ours = entries(Path::new("/dev/shm"));
    let ours = ours.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with("ucx-usb4"));
    let fabrics = ours.flat_map(|entry| entries(&entry.path()));
    let files = fabrics.flat_map(|fabric| entries(&fabric.path()));
    files.filter_map(|file| file.metadata().ok()).map(|data| data.blocks() * 512).sum()
}
