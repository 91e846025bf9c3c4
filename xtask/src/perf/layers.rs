//! What each layer adds to the latency of a short message.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use comfy_table::{CellAlignment, Table, presets};
use xshell::Shell;

use crate::{packages, stage, workspace};

/// Options of `cargo xtask perf layers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The simulated cable
    #[arg(long, default_value = "ideal")]
    profile: String,

    /// How often everything is measured, in turns; the table shows medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Round trips of each measurement
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(100..))]
    iterations: u32,
}

/// A layer, from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Link,
    Port,
    Uct,
    Ucp,
    Mpi,
}

const LAYERS: [(Layer, &str); 5] = [
    (Layer::Link, "the link's rings, bare"),
    (Layer::Port, "the engine on them"),
    (Layer::Uct, "UCT: ucx_perftest -t am_lat"),
    (Layer::Ucp, "UCP: ucx_perftest -t tag_lat"),
    (Layer::Mpi, "MPI: osu-bench latency"),
];

/// Measures, in turns, and prints the table.
pub(super) fn run(shell: &Shell, options: &Options) -> anyhow::Result<()> {
    packages::install(shell, &[packages::BUILD])?;
    let stage = stage::build(shell)?;
    let bench = Bench { options, prefix: stage.prefix(), ping_pong: super::example(shell, "usb4-port", "ping_pong")? };
    let mut samples: BTreeMap<(usize, bool), Vec<f64>> = BTreeMap::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (row, (layer, _)) in LAYERS.iter().enumerate() {
            for posix in [false, true] {
                if let Some(us) = bench.measure(*layer, posix)? {
                    samples.entry((row, posix)).or_default().push(us);
                }
            }
        }
    }
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(["8 bytes, one way", "usb4", "adds", "posix", "ratio"]);
    let mut below = 0.0;
    for (row, (_, name)) in LAYERS.iter().enumerate() {
        let median = |posix| samples.get(&(row, posix)).map(|values| median(values));
        let usb4 = median(false).context("every layer is measured over usb4")?;
        let posix = median(true);
        table.add_row([
            (*name).to_owned(),
            format!("{:.0} ns", usb4 * 1e3),
            format!("{:+.0} ns", (usb4 - below) * 1e3),
            posix.map_or_else(String::new, |us| format!("{:.0} ns", us * 1e3)),
            posix.map_or_else(String::new, |us| format!("{:.2}", usb4 / us)),
        ]);
        below = usb4;
    }
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("sim:{}, medians of {} rounds\n\n{table}", options.profile, options.rounds);
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

struct Bench<'a> {
    options: &'a Options,
    prefix: &'a Path,
    ping_pong: std::path::PathBuf,
}

impl Bench<'_> {
    /// Microseconds one way; `None` where the peer has no such layer.
    fn measure(&self, layer: Layer, posix: bool) -> anyhow::Result<Option<f64>> {
        let result = match (layer, posix) {
            (Layer::Link | Layer::Port, true) => return Ok(None),
            (Layer::Link, false) => self.ping_pong("link"),
            (Layer::Port, false) => self.ping_pong("port"),
            (Layer::Uct, _) => self.perftest("am_lat", posix),
            (Layer::Ucp, _) => self.perftest("tag_lat", posix),
            (Layer::Mpi, _) => self.mpi(posix),
        };
        result.map(Some).with_context(|| format!("{layer:?} over {}", if posix { "posix" } else { "usb4" }))
    }

    fn ping_pong(&self, level: &str) -> anyhow::Result<f64> {
        let iterations = self.options.iterations.to_string();
        let mut command = Command::new(&self.ping_pong);
        let text = read(command.args([level, &format!("sim:{}", self.options.profile), &iterations]))?;
        Ok(text.trim().parse()?)
    }

    fn perftest(&self, test: &str, posix: bool) -> anyhow::Result<f64> {
        let iterations = self.options.iterations.to_string();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port().to_string();
        drop(listener);
        let side = |node: &str| {
            let mut command = self.command("ucx_perftest", posix);
            command.env("UCX_USB4_SIM_NODE", node).args(["-p", &port, "-t", test, "-s", "8", "-n", &iterations, "-f"]);
            if test == "am_lat" {
                let (transport, device) = if posix { ("posix", "memory") } else { ("usb4", "usb4") };
                command.args(["-x", transport, "-d", device]);
            }
            command
        };
        let mut server = Family(side("0").stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        wait_for_listener(&port)?;
        let text = read(side("1").arg("127.0.0.1"))?;
        server.0.wait()?;
        // The last line: iterations, then latencies in microseconds: percentile, average, overall.
        let last = text.lines().rfind(|line| line.split_whitespace().count() >= 4).context("no result line")?;
        let numbers: Vec<f64> = last.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        numbers.get(3).copied().with_context(|| format!("ucx_perftest printed {last}"))
    }

    fn mpi(&self, posix: bool) -> anyhow::Result<f64> {
        let iterations = self.options.iterations.to_string();
        let mut command = self.command(workspace::open_mpi_mpirun(), posix);
        let bench = self.prefix.join("bin/osu-bench");
        command.args(["-n", "2", "--bind-to", "core"]).arg(bench);
        let text = read(command.args(["latency", "-m", "8:8", "-i", &iterations]))?;
        let row = text.lines().find(|line| line.starts_with('8')).context("osu-bench printed no row")?;
        Ok(row.split_whitespace().nth(1).context("no latency")?.parse()?)
    }

    /// A program with what `usb4ctl env` sets.
    fn command(&self, program: &str, posix: bool) -> Command {
        let mut command = Command::new(self.prefix.join("bin/usb4ctl"));
        command.stderr(Stdio::null());
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        command.env("UCX_USB4_LINKS", format!("sim:{}", self.options.profile));
        // Above UCT, pml/ucx wants an endpoint to itself.
        command.env("UCX_TLS", if posix { "posix,self" } else { "usb4" });
        command.args(["run", "--", program]);
        command
    }
}

/// Until a process listens on the port. ucx_perftest's server takes one connection, so it must not be tried by connecting, and its
/// client tries once.
fn wait_for_listener(port: &str) -> anyhow::Result<()> {
    const LISTENS: &str = "0A";
    let suffix = format!(":{:04X}", port.parse::<u16>()?);
    let is_ours = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).is_some_and(|local| local.ends_with(&suffix)) && fields.get(3) == Some(&LISTENS)
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
        if tables.concat().lines().any(is_ours) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("ucx_perftest does not listen on port {port}")
}

/// A process that does not outlive us.
struct Family(Child);

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(command: &mut Command) -> anyhow::Result<String> {
    let mut child = Family(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?);
    let mut text = String::new();
    for line in BufReader::new(child.0.stdout.take().context("a pipe was asked for")?).lines() {
        text += &line?;
        text.push('\n');
    }
    let status = child.0.wait()?;
    if !status.success() {
        bail!("{:?} ended with {status}: {text}", command.get_program());
    }
    Ok(text)
}
