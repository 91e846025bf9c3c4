//! Reads a fabric description (TOML; its form is in the module's documentation). Errors carry the line, the column and
//! what was expected.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use super::profile::{CableConfig, ConfigError, FabricConfig, NODE_RAILS_MAX, NODES_MAX, RailConfig, Unplug};
use crate::NodeId;

impl FabricConfig {
    /// Parses a description; `file` names it in errors.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of the first mistake and what was expected there.
    pub fn parse(file: &str, text: &str) -> Result<FabricConfig, ConfigError> {
        let place = |span: Option<Range<usize>>, message: String| {
            let (line, column) = line_and_column(text, span.map_or(0, |span| span.start));
            ConfigError { file: file.to_owned(), line, column, message }
        };
        let raw: RawFabric =
            toml::from_str(text).map_err(|error| place(error.span(), error.message().replace('\n', ", ")))?;
        check(&raw).map_err(|(span, message)| place(Some(span), message))
    }

    /// The rails of all cables with their cable, in the fabric's order.
    pub fn rails(&self) -> impl Iterator<Item = (usize, &CableConfig, usize, &RailConfig)> {
        self.cables.iter().enumerate().flat_map(|(number, cable)| {
            cable.rails.iter().enumerate().map(move |(index, rail)| (number, cable, index, rail))
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFabric {
    nodes: Spanned<u32>,
    seed: Option<u64>,
    #[serde(default)]
    cables: Vec<RawCable>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCable {
    between: Spanned<[u32; 2]>,
    #[serde(default = "one_rail")]
    rails: Spanned<u32>,
    rate_gbps: Option<Spanned<PerRail>>,
    latency_us: Option<Spanned<PerRail>>,
    loss: Option<Spanned<PerRail>>,
    duplicate: Option<Spanned<PerRail>>,
    reorder_us: Option<Spanned<PerRail>>,
    #[serde(default)]
    unplug: Vec<Spanned<RawUnplug>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnplug {
    at_ms: f64,
    for_ms: Option<f64>,
}

/// One number for all rails of a cable, or one for each.
enum PerRail {
    All(f64),
    Each(Vec<f64>),
}

fn one_rail() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

type Mistake = (Range<usize>, String);

fn check(raw: &RawFabric) -> Result<FabricConfig, Mistake> {
    let nodes = *raw.nodes.get_ref();
    if nodes == 0 || nodes > NODES_MAX {
        return Err((raw.nodes.span(), format!("nodes = {nodes}: expected 1 to {NODES_MAX}")));
    }
    let mut rails_of = vec![0; nodes as usize];
    let cables = raw.cables.iter().map(|cable| check_cable(cable, nodes, &mut rails_of)).collect::<Result<_, _>>()?;
    Ok(FabricConfig { nodes, seed: raw.seed, cables })
}

fn check_cable(raw: &RawCable, nodes: u32, rails_of: &mut [usize]) -> Result<CableConfig, Mistake> {
    let [left, right] = *raw.between.get_ref();
    if left == right || left >= nodes || right >= nodes {
        let message =
            format!("between = [{left}, {right}]: expected two different nodes out of 0 to {last}", last = nodes - 1);
        return Err((raw.between.span(), message));
    }
    let count = *raw.rails.get_ref() as usize;
    if count == 0 || count > NODE_RAILS_MAX {
        return Err((raw.rails.span(), format!("rails = {count}: expected 1 to {NODE_RAILS_MAX}")));
    }
    for node in [left, right] {
        rails_of[node as usize] += count;
        if rails_of[node as usize] > NODE_RAILS_MAX {
            let message = format!("node {node} has more than {NODE_RAILS_MAX} rails: expected fewer cables or rails");
            return Err((raw.between.span(), message));
        }
    }
    let rails = (0..count)
        .map(|rail| {
            Ok(RailConfig {
                rate_bits_per_s: pick("rate_gbps", &raw.rate_gbps, rail, count, 0.000_001, 1e4, "Gb/s")?
                    .map(|gbps| (gbps * 1e9).round() as u64),
                latency_ns: nanoseconds("latency_us", &raw.latency_us, rail, count)?,
                loss: probability("loss", &raw.loss, rail, count)?,
                duplicate: probability("duplicate", &raw.duplicate, rail, count)?,
                reorder_ns: nanoseconds("reorder_us", &raw.reorder_us, rail, count)?,
            })
        })
        .collect::<Result<_, _>>()?;
    let unplug = raw.unplug.iter().map(check_unplug).collect::<Result<_, _>>()?;
    Ok(CableConfig { between: [NodeId(left), NodeId(right)], rails, unplug })
}

fn check_unplug(raw: &Spanned<RawUnplug>) -> Result<Unplug, Mistake> {
    let RawUnplug { at_ms, for_ms } = *raw.get_ref();
    let ok = |ms: f64| (0.0..=1e12).contains(&ms);
    if !ok(at_ms) || for_ms.is_some_and(|ms| !ok(ms)) {
        return Err((raw.span(), "unplug: expected at_ms and for_ms in milliseconds, 0 or more".to_owned()));
    }
    let to_ns = |ms: f64| (ms * 1e6).round() as u64;
    Ok(Unplug { at_ns: to_ns(at_ms), for_ns: for_ms.map(to_ns) })
}

fn nanoseconds(name: &str, value: &Option<Spanned<PerRail>>, rail: usize, count: usize) -> Result<u64, Mistake> {
    Ok((pick(name, value, rail, count, 0.0, 1e9, "microseconds")?.unwrap_or(0.0) * 1e3).round() as u64)
}

fn probability(name: &str, value: &Option<Spanned<PerRail>>, rail: usize, count: usize) -> Result<f64, Mistake> {
    Ok(pick(name, value, rail, count, 0.0, 1.0, "(a probability)")?.unwrap_or(0.0))
}

fn pick(
    name: &str,
    value: &Option<Spanned<PerRail>>,
    rail: usize,
    count: usize,
    low: f64,
    high: f64,
    unit: &str,
) -> Result<Option<f64>, Mistake> {
    let Some(value) = value else { return Ok(None) };
    let number = match value.get_ref() {
        PerRail::All(number) => *number,
        PerRail::Each(numbers) if numbers.len() == count => numbers[rail],
        PerRail::Each(numbers) => {
            let message =
                format!("{name} has {} numbers: expected one for all rails or one for each of {count}", numbers.len());
            return Err((value.span(), message));
        }
    };
    if (low..=high).contains(&number) {
        Ok(Some(number))
    } else {
        Err((value.span(), format!("{name} = {number}: expected {low} to {high} {unit}")))
    }
}

impl<'de> Deserialize<'de> for PerRail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PerRailVisitor(PhantomData))
    }
}

/// serde's untagged enums would say only that no variant fits; this says what was expected.
struct PerRailVisitor(PhantomData<()>);

impl<'de> Visitor<'de> for PerRailVisitor {
    type Value = PerRail;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers, one per rail")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<PerRail, E> {
        Ok(PerRail::All(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<PerRail, E> {
        Ok(PerRail::All(value as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PerRail, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element::<f64>()? {
            numbers.push(number);
        }
        Ok(PerRail::Each(numbers))
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> ConfigError {
        FabricConfig::parse("fabric.toml", text).unwrap_err()
    }

    #[test]
    fn a_full_description_is_read() {
        let text = "nodes = 3\nseed = 7\n[[cables]]\nbetween = [0, 2]\nrails = 2\nrate_gbps = [13.0, 6.5]\n\
                    latency_us = 5.5\nloss = 0.01\nreorder_us = 2\nunplug = [{ at_ms = 500.0, for_ms = 200.0 }]\n";
        let config = FabricConfig::parse("fabric.toml", text).unwrap();
        assert_eq!((config.nodes, config.seed, config.cables.len()), (3, Some(7), 1));
        let cable = &config.cables[0];
        assert_eq!(cable.between, [NodeId(0), NodeId(2)]);
        assert_eq!(cable.unplug, [Unplug { at_ns: 500_000_000, for_ns: Some(200_000_000) }]);
        let rates: Vec<_> = cable.rails.iter().map(|rail| rail.rate_bits_per_s).collect();
        assert_eq!(rates, [Some(13_000_000_000), Some(6_500_000_000)]);
        assert_eq!((cable.rails[1].latency_ns, cable.rails[1].reorder_ns, cable.rails[1].loss), (5500, 2000, 0.01));
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        let error = error("nodes = 2\n[[cables]\nbetween = [0, 1]\n");
        assert_eq!((error.line, error.column), (2, 10), "{error}");
        assert!(error.to_string().starts_with("fabric.toml:2:10: "), "{error}");
    }

    #[test]
    fn a_wrong_type_says_what_was_expected() {
        let error = error("nodes = 2\n[[cables]]\nbetween = [0, 1]\nloss = \"much\"\n");
        assert_eq!((error.line, error.column), (4, 8), "{error}");
        assert!(error.message.contains("one per rail"), "{error}");
    }

    #[test]
    fn an_unknown_word_gets_the_known_ones() {
        let error = error("nodes = 2\n[[cables]]\nbetween = [0, 1]\nlatency = 5\n");
        assert_eq!(error.line, 4, "{error}");
        assert!(error.message.contains("latency_us"), "{error}");
    }

    #[test]
    fn values_out_of_range_name_the_range_and_the_place() {
        for (text, line, expected) in [
            ("nodes = 0", 1, "1 to 256"),
            ("nodes = 2\n[[cables]]\nbetween = [0, 2]", 3, "0 to 1"),
            ("nodes = 2\n[[cables]]\nbetween = [1, 1]", 3, "different"),
            ("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = 32", 4, "1 to 31"),
            ("nodes = 2\n[[cables]]\nbetween = [0, 1]\nloss = 1.5", 4, "probability"),
            ("nodes = 2\n[[cables]]\nbetween = [0, 1]\nloss = nan", 4, "probability"),
            ("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = 2\nrate_gbps = [1.0]", 5, "each of 2"),
            ("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrate_gbps = 0", 4, "Gb/s"),
            ("nodes = 2\n[[cables]]\nbetween = [0, 1]\nunplug = [{ at_ms = -1.0 }]", 4, "at_ms"),
        ] {
            let error = error(text);
            assert_eq!(error.line, line, "{error}");
            assert!(error.message.contains(expected), "{error}");
        }
    }

    #[test]
    fn too_many_rails_of_one_node_are_refused() {
        let cable = "[[cables]]\nbetween = [0, 1]\nrails = 16\n";
        let error = error(&format!("nodes = 2\n{cable}{cable}"));
        assert_eq!(error.line, 6, "{error}");
    }
}
