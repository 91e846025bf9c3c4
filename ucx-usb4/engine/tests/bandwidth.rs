//! Striping, failover, fairness and loss, as bandwidth in virtual time: these figures depend on nothing but the code.

use usb4_engine::sim::{Cable, Incident, Plan, Report, Work, run};

/// Two nodes, two cables of two rails each at 13 Gb/s and 5.5 us, one process streaming long messages to the other.
fn strix_halo() -> Plan {
    Plan {
        cables: vec![Cable::uniform(0, 1, 2, 615, 5_500), Cable::uniform(0, 1, 2, 615, 5_500)],
        work: Work {
            messages: 400,
            message_len_min: 60_000,
            message_len_max: 60_000,
            operations: 0,
            operation_len_max: 0,
            workers: 1,
            peers: 1,
            pause_ns: 0,
        },
        ..Plan::pair(3, 1)
    }
}

/// So long that setting up and starting slowly do not count.
fn long(mut plan: Plan) -> Plan {
    plan.work.messages = 1200;
    plan
}

fn play(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|violation| panic!("{violation}"))
}

/// Bytes of messages per microsecond.
fn bandwidth(report: &Report) -> f64 {
    report.totals[0].bytes_sent as f64 * 1e3 / report.work_ns as f64
}

#[test]
fn a_stream_fills_all_rails_alike() {
    let report = play(&long(strix_halo()));
    let (most, least) = (report.rail_frames.iter().max(), report.rail_frames.iter().min());
    let (most, least) = (*most.expect("rails") as f64, *least.expect("rails") as f64);
    assert!(most <= 1.1 * least, "{:?}", report.rail_frames);
    // Four rails at 1/615 bytes per picosecond; 40 bytes in 4096 are header.
    let share = bandwidth(&report) / (4.0 * 1e6 / 615.0);
    assert!(share > 0.96, "{share:.3} of the rails' rate");
}

#[test]
fn rails_of_unequal_speed_add_up() {
    let mut plan = long(strix_halo());
    plan.cables[1].rails[1].ps_per_byte *= 2;
    let share = bandwidth(&play(&plan)) / (3.5 * 1e6 / 615.0);
    assert!(share > 0.95, "{share:.3} of the rails' rate");
}

#[test]
fn one_of_two_cables_is_half_the_bandwidth_until_it_is_back() {
    let whole = play(&strix_halo()).work_ns as f64;
    let half = Plan { incidents: vec![(100_000, Incident::Unplug { cable: 0 })], ..strix_halo() };
    let half = play(&half).work_ns as f64;
    assert!((1.8..2.1).contains(&(half / whole)), "{}", half / whole);
    // Without one cable for the time that the whole would have taken: half a transfer later.
    let back_ns = 100_000 + whole as u64;
    let incidents = vec![(100_000, Incident::Unplug { cable: 0 }), (back_ns, Incident::Replug { cable: 0 })];
    let back = play(&Plan { incidents, ..strix_halo() }).work_ns as f64;
    assert!((1.4..1.65).contains(&(back / whole)), "{}", back / whole);
}

#[test]
fn a_rail_that_swallows_everything_is_left() {
    let incident = Incident::BlackHole { cable: 0, rail: 0, duration_ns: 60_000_000_000 };
    let plan = Plan { incidents: vec![(50_000, incident)], ..strix_halo() };
    let report = play(&plan);
    assert!(report.totals[0].rail_failovers >= 1, "{report:?}");
    assert!(report.work_ns < 1_000_000_000, "{}", report.work_ns);
}

#[test]
fn one_lost_frame_in_a_thousand_costs_little() {
    let clean = bandwidth(&play(&strix_halo()));
    let mut plan = strix_halo();
    plan.faults.loss = 0.001;
    let lossy = bandwidth(&play(&plan));
    assert!(lossy > 0.9 * clean, "{lossy:.0} of {clean:.0}");
}

#[test]
fn processes_share_a_rail_fairly() {
    // Three processes on each of two nodes; those of node 0 stream to one other each over the same rail.
    let plan = Plan { processes_per_node: 3, cables: vec![Cable::uniform(0, 1, 1, 615, 5_500)], ..strix_halo() };
    let plan = Plan { work: Work { workers: 3, messages: 100, ..plan.work.clone() }, ..plan };
    let report = play(&plan);
    let sent: Vec<u64> = report.totals[..3].iter().map(|totals| totals.bytes_sent).collect();
    assert_eq!(sent, [6_000_000; 3]);
    assert_eq!(report.failed, 0);
}

#[test]
fn outages_within_patience_cost_only_time() {
    const SECOND: u64 = 1_000_000_000;
    let incidents = [
        vec![(500_000, Incident::Stop { process: 1, duration_ns: 20 * SECOND })],
        vec![(500_000, Incident::Stop { process: 0, duration_ns: 20 * SECOND })],
        vec![(500_000, Incident::Mute { process: 1, duration_ns: 20 * SECOND })],
        vec![(500_000, Incident::Partition { from_node: 1, duration_ns: 20 * SECOND })],
        vec![
            (500_000, Incident::Unplug { cable: 0 }),
            (500_000, Incident::Unplug { cable: 1 }),
            (9 * SECOND, Incident::Replug { cable: 1 }),
        ],
    ];
    for incidents in incidents {
        let report = play(&Plan { incidents: incidents.clone(), ..strix_halo() });
        assert_eq!((report.delivered, report.failed), (400, 0), "{incidents:?}");
        // Silence is not answered with a flood: timeouts back off to one frame a second.
        assert!(report.totals[0].timeouts < 60, "{incidents:?}: {:?}", report.totals[0]);
    }
}
