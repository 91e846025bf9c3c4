//! Looking at fabrics from outside: counters that add up, statistics, holders, and what crashed jobs leave.

#![allow(missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;

use common::{Lab, RAIL, header, receive, send};
use usb4_link::sim::{ObserveError, RailSelector, Registry};
use usb4_link::{Address, Carrier, ConnectionState, ConnectionStats, LinkSpec, NodeId, OpenError, RailId};

fn registry(lab: &Lab) -> Registry {
    Registry::in_folder(lab.folder.path())
}

fn only_name(lab: &Lab) -> String {
    let list = registry(lab).list();
    assert_eq!(list.len(), 1);
    list[0].name.clone()
}

#[test]
fn counters_of_a_rail_are_kept_by_direction_and_outlive_their_channels() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = 2\n");
    let holder = registry(&lab).hold(&LinkSpec::SimFile(lab.folder.path().join("lab.toml"))).unwrap();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let (src, dst) = (left.address(), right.address());
    for _ in 0..3 {
        let frame = send(&mut left, RAIL, dst, 0, &[0; 100]).unwrap();
        let reaped = receive(&mut right);
        right.release(reaped.frame);
        left.free(frame);
    }
    send(&mut right, RailId::new(1).unwrap(), src, 0, &[0; 10]).unwrap();
    receive(&mut left);
    send(&mut left, RailId::LOOPBACK, src, 0, &[0; 10]).unwrap();
    let check = |channels: usize, holders: usize| {
        let view = registry(&lab).inspect(holder.name()).unwrap();
        assert_eq!((view.channels.len(), view.holders), (channels, holders));
        let [first, second] = &view.cables[0].rails[..] else { panic!("two rails") };
        assert!(first.up && second.up);
        let [away, back] = first.directions;
        assert_eq!((away.tx_frames, away.rx_frames, away.tx_bytes, away.rx_bytes), (3, 3, 420, 420));
        assert_eq!((back.tx_frames, back.rx_frames), (0, 0));
        let [away, back] = second.directions;
        assert_eq!((away.tx_frames, back.tx_frames, back.rx_frames), (0, 1, 1));
        assert_eq!((view.loopback[0].tx_frames, view.loopback[1].tx_frames), (1, 0));
    };
    check(2, 1);
    drop(left);
    check(1, 1);
    drop(right);
    check(0, 1);
    drop(holder);
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_channel_shows_its_process_and_its_connections() {
    let lab = Lab::ideal();
    let channel = lab.open(1);
    let stats = ConnectionStats {
        peer: Address::new(0, 7),
        state: ConnectionState::Ready,
        tx_frames: 1,
        tx_bytes: 2,
        rx_frames: 3,
        rx_bytes: 4,
        retransmissions: 5,
        timeouts: 6,
        duplicates: 7,
        reordered: 8,
        reorder_depth_max: 9,
        credit_stalls: 10,
        in_flight: 11,
        rtt_ns: 12,
    };
    channel.board().show(3, Some(&stats));
    channel.board().show(100_000, Some(&stats));
    let view = registry(&lab).inspect(&only_name(&lab)).unwrap();
    assert_eq!(view.id, channel.fabric());
    let [shown] = &view.channels[..] else { panic!("one channel") };
    assert_eq!((shown.address, shown.incarnation), (channel.address(), channel.incarnation()));
    assert_eq!((shown.pid, shown.transmit_frames, shown.is_sleeping), (std::process::id(), 64, false));
    assert_eq!(shown.connections, [stats]);
    channel.board().show(3, None);
    let view = registry(&lab).inspect(&only_name(&lab)).unwrap();
    assert_eq!(view.channels[0].connections, []);
}

#[test]
fn what_does_not_exist_is_said_with_what_does() {
    let lab = Lab::ideal();
    let error = registry(&lab).inspect("ideal").unwrap_err();
    assert!(matches!(&error, ObserveError::NoFabric { known, .. } if known.is_empty()));
    assert!(error.to_string().contains("start a job"), "{error}");
    let _channel = lab.open(0);
    let name = only_name(&lab);
    for wrong in ["strix-halo", "", "..", "../x"] {
        let error = registry(&lab).inspect(wrong).unwrap_err().to_string();
        assert!(error.contains(&name), "{error}");
    }
    let selector = RailSelector { cable: 0, rail: Some(5) };
    let error = registry(&lab).set_rail(&name, selector, false).unwrap_err().to_string();
    assert!(error.contains("rail 5 on cable 0") && error.contains("1 cables"), "{error}");
}

#[test]
fn a_pulled_cable_is_shown_and_refuses_frames() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\n[[cables]]\nbetween = [0, 1]\nrails = 2\n");
    let (mut left, right) = (lab.open(0), lab.open(1));
    let (name, dst) = (only_name(&lab), right.address());
    let up = || {
        let view = registry(&lab).inspect(&name).unwrap();
        view.cables.iter().flat_map(|cable| cable.rails.iter().map(|rail| rail.up)).collect::<Vec<_>>()
    };
    assert_eq!(registry(&lab).set_rail(&name, "1".parse().unwrap(), false).unwrap(), 2);
    assert_eq!(up(), [true, false, false]);
    assert_eq!(registry(&lab).set_rail(&name, "1.1".parse().unwrap(), true).unwrap(), 1);
    assert_eq!(up(), [true, false, true]);
    let sent: Vec<_> =
        left.rails_to(NodeId(1)).iter().map(|rail| send(&mut left, rail, dst, 0, &[1]).is_ok()).collect();
    assert_eq!(sent, up());
}

/// A fabric whose members are dead: the files are there, and nobody holds their locks.
fn crash(lab: &Lab) -> String {
    let channel = lab.open(0);
    let name = only_name(lab);
    let (folder, copy) = (lab.folder.path().join(registry_folder(lab)).join(&name), lab.folder.path().join("copy"));
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    drop(channel);
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::rename(copy, folder).unwrap();
    name
}

fn registry_folder(lab: &Lab) -> String {
    lab.leftovers()
        .into_iter()
        .find(|name| name.starts_with("ucx-usb4-"))
        .unwrap_or_else(|| format!("ucx-usb4-{}", rustix::process::geteuid().as_raw()))
}

#[test]
fn what_a_crash_left_is_listed_as_unused_and_cleaned() {
    let lab = Lab::ideal();
    let name = crash(&lab);
    let list = registry(&lab).list();
    assert_eq!((list[0].name.as_str(), list[0].users), (name.as_str(), 0));
    assert!(list[0].size_bytes > 64 * 4096);
    assert_eq!(registry(&lab).clean(), [name]);
    assert_eq!(lab.leftovers(), [""; 0]);
    assert_eq!(registry(&lab).clean(), [""; 0]);
}

#[test]
fn cleaning_leaves_living_fabrics_alone() {
    let lab = Lab::ideal();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    assert_eq!(registry(&lab).clean(), [""; 0]);
    send(&mut left, RAIL, right.address(), 9, &[1; 99]).unwrap();
    assert_eq!(receive(&mut right).header, header(9));
}

#[test]
fn a_fabric_of_another_version_in_use_is_refused_and_a_dead_one_replaced() {
    let lab = Lab::ideal();
    let channel = lab.open(0);
    let name = only_name(&lab);
    let path = lab.folder.path().join(registry_folder(&lab)).join(&name).join("fabric");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&99_u64.to_ne_bytes(), 8).unwrap();
    let error = lab.options(1).open().unwrap_err();
    assert!(matches!(error, OpenError::Version { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("same release"), "{error}");
    drop(channel);
    assert_eq!(lab.leftovers(), [""; 0]);

    crash(&lab);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&99_u64.to_ne_bytes(), 8).unwrap();
    drop(lab.open(1));
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn another_users_folder_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::ideal();
    let folder = lab.folder.path().join(registry_folder(&lab));
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(12345), None).unwrap();
    let error = lab.options(0).open().unwrap_err();
    assert!(matches!(error, OpenError::ForeignOwner { owner: 12345, .. }), "{error}");
}

#[test]
fn half_made_files_of_the_killed_are_removed() {
    let lab = Lab::ideal();
    let folder = lab.folder.path().join(registry_folder(&lab)).join("half");
    fs::create_dir_all(&folder).unwrap();
    for name in ["fabric", ".new.fabric", ".new.n0.c3", "n1.c1", "hold.12", "strange"] {
        fs::write(folder.join(name), "half").unwrap();
    }
    // Opening any fabric sweeps the others.
    drop(lab.open(0));
    assert_eq!(lab.leftovers(), [""; 0]);
}
