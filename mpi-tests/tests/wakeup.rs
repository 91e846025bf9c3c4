//! Processes that sleep instead of polling.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use mpi_tests::{Fabric, Job, Prefix, cpu_time};

/// Far beyond the two seconds that the messages take.
const HANG_GUARD: Duration = Duration::from_secs(60);

#[test]
fn ucx_perftest_sleeps_between_messages() {
    const MESSAGES: u32 = 200;
    let prefix = Prefix::staged();
    // A cable so slow that nearly all the time is waiting: 5 ms each way.
    let fabric = Fabric::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nlatency_us = 5000.0\n");
    let port = free_port().to_string();
    // Where it was built with MPI, it takes the other process for a rank unless it is told not to.
    let help = Job::command(&prefix, &fabric, "ucx_perftest").arg("-h").run();
    let alone: &[&str] = if help.stdout.contains("-P <0|1>") { &["-P", "0"] } else { &[] };
    let perftest = |node: &str| {
        Job::command(&prefix, &fabric, "ucx_perftest").env("UCX_USB4_SIM_NODE", node).args(alone).args([
            "-p",
            &port,
            "-t",
            "tag_lat",
            "-E",
            "sleep",
            "-s",
            "8",
            "-w",
            "5",
            "-n",
            &MESSAGES.to_string(),
        ])
    };
    let mut server = perftest("0").start();
    wait_for_listener(&port);
    let started = Instant::now();
    let mut client = perftest("1").arg("127.0.0.1").start();
    // The last look at the clocks of both while they run.
    let mut used = [Duration::ZERO; 2];
    let mut elapsed = Duration::ZERO;
    while client.is_running() && server.is_running() {
        used = [cpu_time(server.pid()), cpu_time(client.pid())];
        elapsed = started.elapsed();
        assert!(elapsed < HANG_GUARD, "no end after {elapsed:?}; processor time {used:?}");
        thread::sleep(Duration::from_millis(20));
    }
    let (server, client) = (server.finish(), client.finish());
    assert!(client.status.success() && server.status.success(), "{client:?}\n{server:?}");
    assert!(client.traffic.cable_bytes() > 0, "usb4 carried nothing: {client:?}");
    // Who polls uses all of a processor; who sleeps, for these messages, next to nothing.
    for used in used {
        assert!(used < elapsed / 4, "{used:?} of processor time in {elapsed:?}");
    }
    assert!(client.traffic.sleeps() >= u64::from(MESSAGES) / 2, "{:?}", client.traffic);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// ucx_perftest's server takes one connection, so it must not be tried by connecting.
fn wait_for_listener(port: &str) {
    let suffix = format!(":{:04X}", port.parse::<u16>().expect("a port"));
    let deadline = Instant::now() + Duration::from_secs(30);
    let listens = || {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
        tables.concat().lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(1).is_some_and(|local| local.ends_with(&suffix)) && fields.get(3) == Some(&"0A")
        })
    };
    while !listens() {
        assert!(Instant::now() < deadline, "ucx_perftest does not listen");
        thread::sleep(Duration::from_millis(20));
    }
}
