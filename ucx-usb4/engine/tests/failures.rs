//! What happens at each bound, and that it happens once.

mod common;

use common::{Duo, Open, RAIL, SECOND, engine, peer};
use usb4_engine::{Event, Failure, Message, OpFailure, Refused, Released, Transfer};
use usb4_wire::extension::{OpErrorReason, Put};

const MILLISECOND: u64 = 1_000_000;

#[test]
fn a_silent_peer_fails_once_after_the_configured_time() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.carries[1] = false;
    duo.send(0, conns[0]).expect("open");
    duo.pass(29 * SECOND);
    assert_eq!(duo.events[0], []);
    duo.pass(40 * SECOND);
    assert_eq!(duo.events[0], [Event::Failed(conns[0], Failure::PeerTimeout)]);
    assert_eq!(duo.released[0], [Released::Abandoned(peer(1).address)]);
    assert_eq!(duo.send(0, conns[0]), Err(Refused::Failed(Failure::PeerTimeout)));
    // The waits double up to a second: a silent peer is not flooded.
    assert!(duo.sent[0] < 100, "{} frames", duo.sent[0]);
}

#[test]
fn a_peer_that_was_stopped_goes_on_where_it_was() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.carries = [false; 2];
    for _ in 0..10 {
        duo.send(0, conns[0]).expect("open");
    }
    duo.pass(25 * SECOND);
    duo.carries = [true; 2];
    duo.pass(2 * SECOND);
    assert_eq!(duo.delivered[1].len(), 10);
    assert_eq!(duo.released[0], [Released::Acked; 10]);
    assert_eq!(duo.events[0], []);
}

#[test]
fn the_own_absence_is_not_the_peers_silence() {
    for connected in [true, false] {
        let (mut duo, conn) = if connected {
            let (duo, conns) = Duo::connected(|_| {});
            (duo, conns[0])
        } else {
            let mut duo = Duo::new(|_| {});
            let conn = duo.connect(0);
            (duo, conn)
        };
        // Nothing gets through, and then nobody calls either engine for longer than a silent peer is waited for.
        duo.carries = [false; 2];
        duo.send(0, conn).expect("room");
        duo.settle();
        duo.now_ns += 100 * SECOND;
        duo.settle();
        duo.carries = [true; 2];
        duo.pass(2 * SECOND);
        assert_eq!(duo.released[0], [Released::Acked], "connected: {connected}");
        // Silence while it is called still counts.
        duo.carries = [false; 2];
        duo.send(0, conn).expect("room");
        duo.pass(40 * SECOND);
        assert_eq!(duo.events[0].last(), Some(&Event::Failed(conn, Failure::PeerTimeout)));
    }
}

#[test]
fn without_rails_a_connection_waits_for_the_replug_and_then_fails_once() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.engines[0].handle_rail_down(0, RAIL);
    assert_eq!(duo.send(0, conns[0]), Err(Refused::Rails));
    duo.pass(9 * SECOND);
    assert_eq!(duo.events[0], []);
    duo.engines[0].handle_rail_up(duo.now_ns, RAIL);
    duo.settle();
    assert_eq!(duo.events[0], [Event::Unblocked(conns[0])]);
    duo.send(0, conns[0]).expect("the rail is back");
    duo.engines[0].handle_rail_down(duo.now_ns, RAIL);
    duo.pass(11 * SECOND);
    assert_eq!(duo.events[0][1..], [Event::Failed(conns[0], Failure::RailsDown)]);
}

#[test]
fn a_restarted_peer_is_another_one() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.engines[1] = engine(1, |config| config.incarnation = 7);
    duo.send(0, conns[0]).expect("nothing is known yet");
    duo.settle();
    assert_eq!(duo.events[0], [Event::Failed(conns[0], Failure::PeerRestarted)]);
    // Its old name is refused, its new one works.
    let old = duo.engines[0].connect(duo.now_ns, peer(1), usb4_wire::RailSet::only(RAIL)).expect("room");
    duo.settle();
    assert!(duo.events[0].contains(&Event::Failed(old, Failure::PeerRestarted)));
    let new = usb4_engine::Peer { incarnation: 7, ..peer(1) };
    let new = duo.engines[0].connect(duo.now_ns, new, usb4_wire::RailSet::only(RAIL)).expect("room");
    duo.engines[0].attach(new);
    duo.settle();
    duo.send(0, new).expect("it is connected");
    duo.settle();
    assert_eq!(duo.delivered[1].len(), 1);
}

#[test]
fn a_peer_that_closes_is_no_failure_until_it_is_wanted() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.send(0, conns[0]).expect("open");
    duo.settle();
    duo.engines[1].close(duo.now_ns);
    duo.pass(SECOND);
    assert!(duo.engines[1].is_closed());
    assert_eq!(duo.events[0], []);
    assert_eq!(duo.send(0, conns[0]), Err(Refused::Failed(Failure::PeerClosed)));
    assert_eq!(duo.send(0, conns[0]), Err(Refused::Failed(Failure::PeerClosed)));
    duo.settle();
    assert_eq!(duo.events[0], [Event::Failed(conns[0], Failure::PeerClosed)]);
    duo.engines[0].detach(duo.now_ns, conns[0]);
    assert!(duo.engines[0].is_closed());
}

#[test]
fn who_asks_whether_a_peer_lives_learns_that_it_has_closed() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.carries[0] = false;
    duo.engines[0].request_ack(duo.now_ns, conns[0]);
    duo.settle();
    duo.engines[1].close(duo.now_ns);
    duo.settle();
    assert_eq!(duo.events[0], [Event::Failed(conns[0], Failure::PeerClosed)]);
}

#[test]
fn closing_without_an_answer_is_short_unless_frames_are_unacknowledged() {
    let (mut duo, _) = Duo::connected(|_| {});
    duo.carries = [false; 2];
    duo.engines[0].close(duo.now_ns);
    duo.pass(25 * MILLISECOND);
    assert!(duo.engines[0].is_closed());

    let (mut duo, conns) = Duo::connected(|_| {});
    duo.carries = [false; 2];
    duo.send(0, conns[0]).expect("open");
    duo.engines[0].close(duo.now_ns);
    duo.pass(900 * MILLISECOND);
    assert!(!duo.engines[0].is_closed());
    duo.engines[0].handle_peer_gone(duo.now_ns, peer(1).address);
    assert!(duo.engines[0].is_closed());
}

#[test]
fn the_last_word_may_be_lost() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.engines[0].detach(duo.now_ns, conns[0]);
    duo.settle();
    // The other side still uses it, and may send.
    duo.send(1, conns[1]).expect("half closed is open");
    duo.settle();
    assert_eq!(duo.delivered[0].len(), 1);
    // Now it is done as well; the answer to its Close is lost at first.
    duo.carries[0] = false;
    duo.engines[1].detach(duo.now_ns, conns[1]);
    duo.settle();
    duo.carries[0] = true;
    duo.pass(SECOND);
    assert_eq!(duo.events, [vec![Event::Closed(conns[0])], vec![Event::Closed(conns[1])]]);
    assert!(duo.engines[0].is_closed() && duo.engines[1].is_closed());
}

#[test]
fn keepalive_finds_a_dead_peer_and_is_silent_otherwise() {
    let (mut duo, conns) = Duo::connected(|config| config.timeouts.keepalive_ns = Some(SECOND));
    duo.pass(10 * SECOND);
    assert_eq!(duo.events, [vec![], vec![]]);
    duo.carries[1] = false;
    duo.pass(40 * SECOND);
    assert_eq!(duo.events[0], [Event::Failed(conns[0], Failure::PeerTimeout)]);
    let (mut duo, _) = Duo::connected(|_| {});
    duo.pass(SECOND);
    let before = duo.sent;
    duo.pass(1000 * SECOND);
    assert_eq!(duo.sent, before, "an idle connection speaks only if asked to");
}

#[test]
fn strangers_are_refused_at_a_bounded_rate() {
    let (mut duo, conns) = Duo::connected(|_| {});
    duo.engines[1] = engine(1, |_| {});
    duo.carries[1] = false;
    for _ in 0..16 {
        duo.send(0, conns[0]).expect("the least window is open");
    }
    duo.pass(MILLISECOND);
    let refusals = duo.sent[1];
    assert!((1..=26).contains(&refusals), "{refusals} refusals");
}

#[test]
fn a_refused_put_without_a_number_is_an_event() {
    let (mut duo, conns) = Duo::connected(|_| {});
    let put = Put { key: 1, remote_addr: 2, op: 0 }.emit();
    duo.engines[0].admit(conns[0], 1, &Open).expect("open");
    let message = Message::put(put.len() + 5).expect("it fits");
    let transmit = duo.engines[0].commit(duo.now_ns, conns[0], message, 0, &Open).expect("open");
    duo.carry(0, &transmit, &put);
    duo.engines[1].reject(conns[1], 0, OpErrorReason::BadKey);
    duo.settle();
    assert_eq!(duo.events[0], [Event::Refused { conn: conns[0], reason: OpErrorReason::BadKey }]);
    assert_eq!(duo.released[0], [Released::Acked]);
}

#[test]
fn operations_beyond_the_bound_are_refused_and_all_end_with_the_connection() {
    let (mut duo, conns) = Duo::connected(|config| config.ops_max = 3);
    let transfer = |cookie| Transfer { cookie, local_addr: 0, remote_addr: 0, len: 8, key: 1 };
    for cookie in 0..3 {
        duo.engines[0].put(conns[0], transfer(cookie)).expect("below the bound");
    }
    assert_eq!(duo.engines[0].get(conns[0], transfer(3)), Err(Refused::Ops));
    assert_eq!(duo.engines[0].outstanding_ops(conns[0]), 3);
    duo.engines[0].handle_peer_gone(duo.now_ns, peer(1).address);
    duo.settle();
    let result = Err(OpFailure::Connection(Failure::PeerGone));
    let completed = |cookie| Event::Completed { conn: conns[0], cookie, result };
    assert_eq!(duo.events[0], [completed(0), completed(1), completed(2), Event::Failed(conns[0], Failure::PeerGone)]);
}

#[test]
fn frames_given_before_the_connection_is_open_arrive_in_order() {
    let mut duo = Duo::new(|_| {});
    let conn = duo.connect(0);
    for _ in 0..16 {
        duo.send(0, conn).expect("a least window is taken");
    }
    assert_eq!(duo.send(0, conn), Err(Refused::NotReady));
    duo.settle();
    assert_eq!(duo.delivered[1].len(), 16);
    assert_eq!(duo.events[0], [Event::Connected(conn), Event::Unblocked(conn)]);
}
