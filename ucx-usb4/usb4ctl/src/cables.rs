//! Cables to other hosts as the kernel's Thunderbolt core shows them: what each trained at, and what it could.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::host::Host;
use crate::table;

/// Where the core shows routers, other hosts and their cables.
pub(crate) const DEVICES: &str = "/sys/bus/thunderbolt/devices";
/// What to do about a cable that trained at less than it could.
pub(crate) const TRAIN_AGAIN: &str =
    "unplug it at both ends and plug it in again; if that does not help, try another cable, of 40 Gb/s or more";
/// A cable that carries no more trained at a lower speed, or with fewer lanes, than any USB4 controller can.
const SLOW_GBPS: f64 = 20.0;

/// A cable to another host. What that host could is told by its own kernel only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TrainedCable {
    /// As the core calls the host at the other end: domain and route.
    pub(crate) name: String,
    /// From here.
    pub(crate) transmit: Training,
    /// To here.
    pub(crate) receive: Training,
    /// `usb4` or `tbt`; absent: the controller is older than USB4, or the kernel than 5.14.
    pub(crate) link: Option<String>,
    /// What the controller of this host could; absent: not known.
    pub(crate) controller_gbps: Option<f64>,
    /// What the cable says that it could (its e-marker); absent: not asked by this kernel, or a cable without one.
    pub(crate) cable_gbps: Option<f64>,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Training {
    /// Gb/s of each lane.
    pub(crate) lane_gbps: f64,
    pub(crate) lanes: u32,
}

impl Training {
    fn gbps(self) -> f64 {
        self.lane_gbps * f64::from(self.lanes)
    }

    fn describe(self) -> String {
        format!("{} Gb/s ({} x {})", self.gbps(), self.lanes, self.lane_gbps)
    }
}

impl TrainedCable {
    /// Its slower direction.
    fn gbps(&self) -> f64 {
        self.transmit.gbps().min(self.receive.gbps())
    }

    /// What this end allows, as far as is known.
    fn could_gbps(&self) -> Option<f64> {
        [self.controller_gbps, self.cable_gbps].into_iter().flatten().reduce(f64::min)
    }

    /// Whether it should be looked at.
    pub(crate) fn is_slow(&self) -> bool {
        self.gbps() <= SLOW_GBPS || self.could_gbps().is_some_and(|could| self.gbps() < could)
    }

    /// In a few words.
    pub(crate) fn describe(&self) -> String {
        let could = self.could_gbps().filter(|could| self.gbps() < *could);
        let could = could.map_or_else(String::new, |could| format!(" and could do {could} Gb/s"));
        format!("{} trained at {} Gb/s{could}", self.name, self.gbps())
    }
}

/// The cables to other hosts.
pub(crate) fn to_hosts(host: &dyn Host) -> Vec<TrainedCable> {
    let names = host.list(Path::new(DEVICES));
    names.into_iter().filter_map(|name| to_host(host, name)).collect()
}

fn to_host(host: &dyn Host, name: String) -> Option<TrainedCable> {
    let folder = Path::new(DEVICES).join(&name);
    let read = |path: PathBuf| host.read(&path).ok().map(|text| text.trim().to_owned());
    // Routers and docks look alike but for their type.
    if !read(folder.join("uevent"))?.lines().any(|line| line == "DEVTYPE=thunderbolt_xdomain") {
        return None;
    }
    let direction = |which: &str| {
        let speed = read(folder.join(format!("{which}_speed")))?;
        Some(Training {
            lane_gbps: speed.split_whitespace().next()?.parse().ok()?,
            lanes: read(folder.join(format!("{which}_lanes")))?.parse().ok()?,
        })
    };
    let (transmit, receive) = (direction("tx")?, direction("rx")?);
    let (router, port) = beginning(&name)?;
    Some(TrainedCable {
        transmit,
        receive,
        link: read(port.join("link")).filter(|link| link != "none"),
        controller_gbps: read(router.join("generation")).and_then(|text| of_generation(&text)),
        cable_gbps: of_marker(host, &port.join("connector")),
        name,
    })
}

/// The router and the port of this host where a route begins: `0-301` leaves by port 1 of `0-0`.
fn beginning(name: &str) -> Option<(PathBuf, PathBuf)> {
    let (domain, route) = name.split_once('-')?;
    let port = u64::from_str_radix(route, 16).ok()? & 0x3f;
    let router = Path::new(DEVICES).join(format!("{domain}-0"));
    let port = router.join(format!("usb4_port{port}"));
    Some((router, port))
}

/// Both lanes of a router of this Thunderbolt generation; 4 is USB4, of which the second version can do 80.
fn of_generation(text: &str) -> Option<f64> {
    match text {
        "1" => Some(10.0),
        "2" => Some(20.0),
        "3" | "4" => Some(40.0),
        _ => None,
    }
}

/// Both lanes of the cable at a Type-C port, from the product VDO of its e-marker (USB PD 3.1, 6.4.4.3.1.6: bits 2..0).
fn of_marker(host: &dyn Host, connector: &Path) -> Option<f64> {
    let cable = host.list(connector).into_iter().find(|name| name.ends_with("-cable"))?;
    let text = host.read(&connector.join(cable).join("identity/product_type_vdo1")).ok()?;
    let vdo = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()?;
    match vdo & 0b111 {
        1 => Some(10.0),
        2 => Some(20.0),
        3 => Some(40.0),
        4 => Some(80.0),
        _ => None,
    }
}

/// Writes them for people.
pub(crate) fn describe(text: &mut String, cables: &[TrainedCable]) -> std::fmt::Result {
    if cables.is_empty() {
        return Ok(());
    }
    let gbps = |could: Option<f64>| could.map_or_else(|| "unknown".to_owned(), |gbps| table::rate(Some(gbps)));
    let mut table = table::new(["cable", "sends", "receives", "link", "this host could", "the cable could"]);
    for cable in cables {
        table.add_row([
            cable.name.clone(),
            cable.transmit.describe(),
            cable.receive.describe(),
            cable.link.clone().unwrap_or_else(|| "unknown".to_owned()),
            gbps(cable.controller_gbps),
            gbps(cable.cable_gbps),
        ]);
    }
    writeln!(text, "{}", table.trim_fmt())?;
    for cable in cables.iter().filter(|cable| cable.is_slow()) {
        writeln!(text, "  {}: {TRAIN_AGAIN}", cable.describe())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::Fake;

    fn file(path: &str) -> String {
        format!("{DEVICES}/{path}")
    }

    /// A USB4 host with a cable whose e-marker says what it could.
    fn machine(speed: &str, lanes: &str, marker: &str) -> Fake {
        Fake::new()
            .cable("0-3", speed, lanes)
            .file(&file("0-0/generation"), Ok("4\n"))
            .file(&file("0-0/usb4_port3/link"), Ok("usb4\n"))
            .file(&file("0-0/usb4_port3/connector/port1-cable/identity/product_type_vdo1"), Ok(marker))
    }

    fn text(cables: &[TrainedCable]) -> String {
        let mut text = String::new();
        describe(&mut text, cables).unwrap();
        text
    }

    #[test]
    fn a_cable_shows_what_it_trained_at_and_what_it_could() {
        let cables = to_hosts(&machine("20.0 Gb/s\n", "2\n", "0x000a2643\n"));
        let training = Training { lane_gbps: 20.0, lanes: 2 };
        let expected = TrainedCable {
            name: "0-3".to_owned(),
            transmit: training,
            receive: training,
            link: Some("usb4".to_owned()),
            controller_gbps: Some(40.0),
            cable_gbps: Some(40.0),
        };
        assert_eq!(cables, [expected]);
        assert!(text(&cables).contains("40 Gb/s (2 x 20)"));
        assert!(!text(&cables).contains("plug it in again"));
    }

    #[test]
    fn a_cable_that_trained_below_what_it_could_is_named() {
        let slow = to_hosts(&machine("20.0 Gb/s\n", "1\n", "0x000a2643\n"));
        assert!(text(&slow).contains("0-3 trained at 20 Gb/s and could do 40 Gb/s: unplug it"), "{}", text(&slow));
        // As fast as the cable can: nothing would come of plugging it in again, but for another cable.
        let poor = to_hosts(&machine("10.0 Gb/s\n", "2\n", "0x000a2642\n"));
        assert!(text(&poor).contains("0-3 trained at 20 Gb/s: "), "{}", text(&poor));
    }

    #[test]
    fn what_is_not_known_is_said_to_be() {
        let bare = Fake::new().cable("1-1", "20.0 Gb/s\n", "2\n");
        let cables = to_hosts(&bare);
        assert_eq!((cables[0].controller_gbps, cables[0].cable_gbps, &cables[0].link), (None, None, &None));
        assert!(text(&cables).contains("unknown"));
    }

    #[test]
    fn docks_and_services_are_no_hosts() {
        let dock = Fake::new()
            .file(&file("0-1/uevent"), Ok("DEVTYPE=thunderbolt_device\n"))
            .file(&file("0-1/rx_speed"), Ok("20.0 Gb/s\n"))
            .file(&file("0-1.0/uevent"), Ok("DEVTYPE=thunderbolt_service\n"));
        assert_eq!(to_hosts(&dock), []);
    }

    #[test]
    fn a_route_begins_at_the_port_of_its_lowest_digits() {
        let (router, port) = beginning("0-301").unwrap();
        assert_eq!((router, port), (file("0-0").into(), file("0-0/usb4_port1").into()));
    }
}
