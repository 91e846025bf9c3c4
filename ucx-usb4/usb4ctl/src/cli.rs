//! The command line and its help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::{Kind, Size, Token};

/// Set up, run, watch and diagnose MPI over USB4 cables.
///
/// usb4ctl comes with the UCX transport `usb4`, which carries MPI (Open MPI, MPICH) and everything else on UCX over the
/// DMA rings of USB4 cables, or over a simulated cable when there is no hardware.
#[derive(Debug, Parser)]
#[command(
    name = "usb4ctl",
    version,
    max_term_width = 100,
    after_long_help = "\
Try it without hardware:
  UCX_USB4_LINKS=sim:strix-halo usb4ctl run --stats -- mpirun -n 2 ./app

Find out why a job does not use usb4:
  usb4ctl doctor

Settings of the transport (UCX_USB4_LINKS and others) are UCX settings: with the variables of
`usb4ctl env`, `ucx_info -cf | grep -B15 ^UCX_USB4_` shows them with their help."
)]
pub(crate) struct Cli {
    /// Folder with libuct_usb4.so.0 and libucx_usb4_preload.so [default: found from where usb4ctl is installed]
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "USB4CTL_LIBDIR",
        help_heading = "Options of all commands"
    )]
    pub(crate) libdir: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the variables that make MPI use usb4
    ///
    /// Load them into a shell with `eval "$(usb4ctl env)"`, or copy them into a job script or a module file. Then a plain
    /// `mpirun` runs over usb4. UCX_TLS is set only when you have not set it; LD_PRELOAD keeps what it holds.
    ///
    /// Open MPI's mpirun gives the variables to ranks on other hosts: 4.1 those named in
    /// OMPI_MCA_mca_base_env_list_internal (set UCX_* variables before you run `usb4ctl env`, or pass later ones with -x),
    /// 5.x all that PMIX_MCA_pmdl_ompi_include_envars matches. MPICH's passes its whole environment.
    Env(EnvArgs),

    /// Run a command with the variables of `usb4ctl env`
    ///
    /// Replaces itself with the command. With --stats it stays, passes signals on, and prints at the end, to standard error,
    /// what went over each rail of the simulated cable meanwhile: the proof that usb4 carried it.
    ///
    /// The exit code is the command's (128 + n if signal n ended it), 127 if it does not exist, 2 if the set-up is wrong.
    Run(RunArgs),

    /// Show nodes, cables, rails, rates, state and counters
    ///
    /// Lists what the machine has: the kernel module's links, and every simulated fabric that runs or that UCX_USB4_LINKS
    /// names.
    Status(StatusArgs),

    /// Check everything that a job needs, and say what to do about what is missing
    ///
    /// Checks the job that you would start from this shell: the kernel module, links, cables, memory, the UCX found, whether
    /// the transport loads in it, UCX_TLS, and the Open MPI settings that exclude UCX; with --hosts, other hosts of the job.
    /// One line per check, and below it what to do. The exit code is 1 if a check fails; warnings do not count.
    Doctor(DoctorArgs),

    /// Measure the cables and the protocol on them, without MPI and without UCX
    ///
    /// Half of a round trip, bandwidth one way and both ways by size, what each rail carried, what had to be sent again, and how
    /// much of what the rails can do that is. Takes about ten seconds. The receiver looks at the first bytes of a message and does
    /// not copy the rest out of the rings.
    ///
    /// Between two hosts: `usb4ctl bench --host lab2` starts the other side there through ssh. Without ssh: run
    /// `usb4ctl bench --listen` there, and here what it prints. Over a simulated cable the other side is started on its other end:
    /// `UCX_USB4_LINKS=sim:strix-halo usb4ctl bench`.
    ///
    /// The exit code is 2 if the other side is lost or was never there, 130 after Ctrl-C, with what was measured until then.
    Bench(BenchArgs),

    /// Show frames that a job has recorded
    ///
    /// UCX_USB4_TRACE=/tmp/job makes each process of a job record what it sends and receives, into files of its own
    /// (/tmp/job.PID-CHANNEL.pcap): each frame's header and the first 64 bytes of its payload. This prints them, one line for
    /// each frame; several files are put in the order of time.
    ///
    /// Wireshark and tshark read the files, too, with the dissector that comes with ucx-usb4:
    /// tshark -X lua_script:/usr/share/ucx-usb4/usb4.lua -r FILE
    ///
    /// The files hold the secrets that keep other processes out of the connections; share them only after the job has ended.
    Trace(TraceArgs),

    /// Manage simulated cables
    #[command(subcommand)]
    Sim(SimCommand),

    /// Print completions for a shell
    ///
    /// Packages install them. By hand: usb4ctl completions bash > ~/.local/share/bash-completion/completions/usb4ctl
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Write the man pages, for packages
    #[command(hide = true)]
    Man {
        /// Where to
        folder: PathBuf,
    },
}

/// Options of `usb4ctl env`.
#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// Print `export NAME='value'` lines for a POSIX shell (the default)
    #[arg(long, conflicts_with = "json")]
    pub(crate) shell: bool,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `usb4ctl run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Print the traffic of the command per rail when it has ended
    #[arg(long)]
    pub(crate) stats: bool,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// Options of `usb4ctl status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print JSON, with the statistics of each connection
    #[arg(long)]
    pub(crate) json: bool,

    /// Print it again every so many seconds (1 if no number is given), until Ctrl-C; with --json, one line each time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = interval)]
    pub(crate) watch: Option<f64>,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds, such as 0.5".to_owned())?;
    if (0.05..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("give 0.05 to 3600 seconds".to_owned()) }
}

/// Options of `usb4ctl doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also ask these hosts, through ssh, whether they have the same libraries
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    pub(crate) hosts: Vec<String>,

    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `usb4ctl bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The address that `usb4ctl bench --listen` printed on the other host
    #[arg(value_name = "ADDRESS", conflicts_with_all = ["listen", "host"])]
    pub(crate) peer: Option<Token>,

    /// Wait for the other side, and print what to type there
    #[arg(long, conflicts_with_all = ["host", "json", "report"])]
    pub(crate) listen: bool,

    /// Start the other side on this host, through ssh
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,

    /// Which cables, as UCX_USB4_LINKS has them
    #[arg(long, value_name = "LINKS", env = "UCX_USB4_LINKS", default_value = "auto")]
    pub(crate) links: String,

    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND", default_value = "ping,one-way,both-ways")]
    pub(crate) measure: Vec<Kind>,

    /// Bytes of a message: 8 to 64M
    #[arg(long, value_delimiter = ',', value_name = "BYTES", default_value = "8,512,4K,64K,1M")]
    pub(crate) sizes: Vec<Size>,

    /// How long each size is measured each way
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = interval)]
    pub(crate) seconds: f64,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Also write the figures into a file to share, with a description of the machine: processor, kernel, IOMMU, cables,
    /// versions, settings; no names of hosts or users
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Print the bare address, and end when standard input does
    #[arg(long, hide = true, requires = "listen")]
    pub(crate) attached: bool,
}

/// Options of `usb4ctl trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// What UCX_USB4_TRACE made
    #[arg(required_unless_present = "pid", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The files that these running processes record into, instead of FILE (`usb4ctl status` lists the processes)
    #[arg(long, value_delimiter = ',', value_name = "PID", conflicts_with = "files")]
    pub(crate) pid: Vec<u32>,

    /// Print what is added to the files, too, until Ctrl-C
    #[arg(long, conflicts_with = "pcap")]
    pub(crate) follow: bool,

    /// Print one JSON object for each frame
    #[arg(long, conflicts_with = "pcap")]
    pub(crate) json: bool,

    /// Write all files into one capture, in the order of time, and print nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}

/// The commands under `usb4ctl sim`.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// List the simulated fabrics of this machine
    List,

    /// Remove what crashed jobs left in shared memory
    ///
    /// Running jobs are not touched. A job cleans up after earlier ones when it starts, so this is needed only to get the
    /// memory back before.
    Clean,

    /// List the built-in fabrics, or print one as a TOML file to start from
    ///
    /// UCX_USB4_LINKS=sim:NAME takes a built-in fabric, UCX_USB4_LINKS=sim:/path/to/fabric.toml one of your own.
    Profiles {
        /// Print the description of this one
        #[arg(value_name = "NAME", conflicts_with = "json")]
        name: Option<String>,

        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },

    /// Pull a cable, or stop one rail of it, while jobs run
    Unplug(RailArgs),

    /// Put a cable or a rail back
    Replug(RailArgs),
}

/// Which rails `unplug` and `replug` change.
#[derive(Debug, Args)]
pub(crate) struct RailArgs {
    /// The fabric, as `usb4ctl sim list` names it [default: the only one in use]
    #[arg(long, value_name = "NAME")]
    pub(crate) fabric: Option<String>,

    /// A cable (0), or one of its rails (0.1), as `usb4ctl status` numbers them
    #[arg(value_name = "CABLE[.RAIL]")]
    pub(crate) rail: String,
}
