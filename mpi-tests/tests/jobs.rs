//! The examples, which check their own results, over usb4: under both MPIs, on two and three nodes.

use mpi_tests::{Fabric, Job, Mpi, Prefix, under_each_mpi};

under_each_mpi!(
    two_ranks_on_two_nodes,
    four_ranks_two_on_each_node,
    three_ranks_on_three_nodes_each_joined_with_each,
    usb4_beside_shared_memory,
    the_bytes_go_over_the_cables_and_over_all_rails,
    ranks_of_one_node_reach_each_other_within_it,
);

/// The examples, with arguments that keep them short.
const EXAMPLES: [(&str, &[&str]); 8] = [
    ("halo", &[]),
    ("ring", &[]),
    ("point_to_point", &["60"]),
    ("collectives", &["1000", "6"]),
    ("one_sided", &["300"]),
    ("conjugate_gradient", &["64"]),
    ("sample_sort", &["100000"]),
    ("tp_infer", &["--tokens", "60"]),
];

/// Runs all examples over usb4 alone, and checks that all nodes of the fabric sent over cables.
fn over_usb4_alone(mpi: Mpi, fabric: impl Fn() -> Fabric, ranks: u32, nodes: &[u32]) {
    let prefix = Prefix::staged();
    for (program, arguments) in EXAMPLES {
        let outcome = Job::example(mpi, &prefix, &fabric(), ranks, program).args(arguments).run();
        outcome.assert_pass();
        assert_eq!(outcome.traffic.sending_nodes(), nodes, "{mpi:?} {program}: {:?}", outcome.traffic);
    }
}

fn two_ranks_on_two_nodes(mpi: Mpi) {
    over_usb4_alone(mpi, || Fabric::strix_halo(0.0), 2, &[0, 1]);
}

fn four_ranks_two_on_each_node(mpi: Mpi) {
    over_usb4_alone(mpi, || Fabric::strix_halo(0.0), 4, &[0, 1]);
}

fn three_ranks_on_three_nodes_each_joined_with_each(mpi: Mpi) {
    over_usb4_alone(mpi, Fabric::triangle, 3, &[0, 1, 2]);
}

fn usb4_beside_shared_memory(mpi: Mpi) {
    let prefix = Prefix::staged();
    for ranks in [2, 4] {
        let fabric = Fabric::strix_halo(0.0);
        for program in ["halo", "ring"] {
            Job::example(mpi, &prefix, &fabric, ranks, program).env("UCX_TLS", "usb4,self,sm").run().assert_pass();
        }
    }
    let fabric = Fabric::triangle();
    Job::example(mpi, &prefix, &fabric, 3, "halo").env("UCX_TLS", "usb4,self,sm").run().assert_pass();
}

fn the_bytes_go_over_the_cables_and_over_all_rails(mpi: Mpi) {
    const BLOCK_BYTES: u64 = 4 << 20;
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let outcome = Job::example(mpi, &prefix, &fabric, 2, "ring").arg(BLOCK_BYTES.to_string()).arg("3").run();
    outcome.assert_pass();
    // Two ranks, three rounds, two hops each.
    let expected = 2 * 3 * 2 * BLOCK_BYTES;
    let moved = outcome.traffic.cable_bytes();
    assert!(moved >= expected && moved < expected * 2, "{moved} of {expected}");
    assert_eq!(outcome.traffic.rails_used(), 4, "{:?}", outcome.traffic);
    assert_eq!(outcome.traffic.lost(), 0);
}

fn ranks_of_one_node_reach_each_other_within_it(mpi: Mpi) {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let outcome = Job::example(mpi, &prefix, &fabric, 2, "ring").env("UCX_USB4_SIM_NODE", "1").run();
    outcome.assert_pass();
    assert!(outcome.traffic.sent_bytes() > (2 * 3 * 2) << 20, "{:?}", outcome.traffic);
    assert_eq!(outcome.traffic.cable_bytes(), 0, "{:?}", outcome.traffic);
}
