//! Figures: the measured value against the message size, a line for each transport, dashed lines for what a profile
//! allows.
//!
//! Drawn as SVG, whose colours a style sheet inside replaces where the reader's screen is dark. The PNG is made from
//! the SVG.

use std::path::Path;

use anyhow::{Context as _, bail};
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};

use super::limit;
use super::results::Measured;
use super::variant::Variant;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 500;
/// The PNG has twice the pixels, for dense screens and print.
const PNG_SCALE: f32 = 2.0;
const FONT: &str = "sans-serif";
/// Lines of the grid and of the axes.
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const AXIS: RGBColor = RGBColor(0x66, 0x66, 0x66);
const INK: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);

/// Colours on white and on a dark ground that most colour-blind readers tell apart (after Okabe and Ito).
const SERIES: [(RGBColor, RGBColor); 6] = [
    (RGBColor(0x00, 0x72, 0xb2), RGBColor(0x4d, 0xb3, 0xee)),
    (RGBColor(0xd5, 0x5e, 0x00), RGBColor(0xff, 0x8c, 0x3a)),
    (RGBColor(0x00, 0x9e, 0x73), RGBColor(0x2f, 0xcc, 0x9d)),
    (RGBColor(0xb8, 0x4f, 0x8e), RGBColor(0xe0, 0x8c, 0xbf)),
    (RGBColor(0xa8, 0x7a, 0x00), RGBColor(0xe6, 0xb4, 0x22)),
    (RGBColor(0x55, 0x55, 0xbb), RGBColor(0xa0, 0xa0, 0xff)),
];

/// Greys and their counterparts on a dark ground.
const GREYS: [(RGBColor, RGBColor); 4] = [
    (RGBColor(0xff, 0xff, 0xff), RGBColor(0x16, 0x1a, 0x20)),
    (GRID, RGBColor(0x33, 0x3a, 0x44)),
    (AXIS, RGBColor(0x9a, 0xa4, 0xb2)),
    (INK, RGBColor(0xe6, 0xe9, 0xee)),
];

/// A line of a figure: points as size in bytes and value.
struct Line {
    label: String,
    points: Vec<(f64, f64)>,
    /// What the profile allows at all sizes, if it is known.
    limit: Option<f64>,
}

/// The figure of one benchmark; none if it has no message sizes.
///
/// # Errors
/// If drawing fails.
pub(super) fn svg(measured: &Measured, variants: &[Variant]) -> anyhow::Result<Option<String>> {
    let lines = lines(measured, variants);
    let sizes = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
    let (smallest, largest) = sizes.fold((f64::MAX, 0.0_f64), |(low, high), size| (low.min(size), high.max(size)));
    if smallest >= largest {
        return Ok(None);
    }
    let mut text = String::new();
    draw(&mut text, measured, &lines, (smallest, largest)).context("the figure could not be drawn")?;
    Ok(Some(with_style(&text)))
}

/// Writes `svg` as a PNG.
///
/// # Errors
/// If no font is installed, or the file cannot be written.
pub(super) fn write_png(svg: &str, path: &Path) -> anyhow::Result<()> {
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_system_fonts();
    let Some(family) = any_family(&options.fontdb) else {
        bail!("no font is installed, and a PNG without its labels is of no use; apt-get install fonts-dejavu-core");
    };
    options.fontdb_mut().set_sans_serif_family(family);
    let tree = usvg::Tree::from_str(svg, &options).context("the figure does not parse")?;
    let (width, height) = (WIDTH as f32 * PNG_SCALE, HEIGHT as f32 * PNG_SCALE);
    let mut pixels = tiny_skia::Pixmap::new(width as u32, height as u32).context("the figure has no size")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE), &mut pixels.as_mut());
    pixels.save_png(path).with_context(|| format!("{} cannot be written", path.display()))
}

/// A font that reads well, or else any.
fn any_family(fonts: &usvg::fontdb::Database) -> Option<String> {
    let families: Vec<&str> =
        fonts.faces().flat_map(|face| face.families.iter().map(|(name, _)| name.as_str())).collect();
    let preferred = ["DejaVu Sans", "Liberation Sans", "Noto Sans", "Cantarell"];
    preferred.into_iter().find(|name| families.contains(name)).or(families.first().copied()).map(str::to_owned)
}

fn lines(measured: &Measured, variants: &[Variant]) -> Vec<Line> {
    let line = |(at, variant): (usize, &Variant)| Line {
        label: variant.label.clone(),
        // A logarithmic axis has no place for size 0.
        points: measured
            .sizes
            .keys()
            .filter_map(|&size| Some((size.filter(|&bytes| bytes > 0)? as f64, measured.summary(size, at)?.median)))
            .filter(|(_, value)| *value > 0.0)
            .collect(),
        limit: limit::of(measured, variant),
    };
    variants.iter().enumerate().map(line).collect()
}

fn draw(text: &mut String, measured: &Measured, lines: &[Line], (smallest, largest): (f64, f64)) -> anyhow::Result<()> {
    let root = SVGBackend::with_string(text, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let values = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1).chain(line.limit));
    let (low, high) = values().fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let title = format!("{}: {}", measured.benchmark.name, measured.heading);
    let mut builder = ChartBuilder::on(&root);
    builder
        .caption(title, (FONT, 19).into_font().color(&INK))
        .margin(14)
        .margin_right(34)
        .x_label_area_size(46)
        .y_label_area_size(72);
    // Sizes double, so their logarithm is the axis; a latency spans decades, a bandwidth is read against its limit.
    let x = smallest.log2()..largest.log2();
    if measured.higher_is_better {
        let chart = builder.build_cartesian_2d(x, 0.0..high * 1.08)?;
        finish(chart, measured, lines)?;
    } else {
        let chart = builder.build_cartesian_2d(x, (low / 1.3..high * 1.3).log_scale())?;
        finish(chart, measured, lines)?;
    }
    root.present()?;
    Ok(())
}

type Chart<'b, Y> = ChartContext<'b, SVGBackend<'b>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>;

fn finish<'b, Y>(mut chart: Chart<'b, Y>, measured: &Measured, lines: &[Line]) -> anyhow::Result<()>
where
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc("message size")
        .y_desc(measured.heading.as_str())
        .x_labels(24)
        .y_labels(10)
        .x_label_formatter(&|exponent| size_label(*exponent))
        .y_label_formatter(&|value| value_label(*value))
        .axis_style(AXIS)
        .bold_line_style(GRID)
        .light_line_style(WHITE.mix(0.0))
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .draw()?;
    for (at, line) in lines.iter().enumerate() {
        let color = SERIES[at % SERIES.len()].0;
        let points = line.points.iter().map(|&(size, value)| (size.log2(), value));
        chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
        // Shapes tell the lines apart where colours do not.
        let label = line.label.clone();
        let dash = move |x: i32, y: i32| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(2));
        match at % 3 {
            0 => chart.draw_series(points.map(|point| Circle::new(point, 4, color.filled())))?.label(label).legend(
                move |(x, y)| EmptyElement::at((0, 0)) + dash(x, y) + Circle::new((x + 11, y), 4, color.filled()),
            ),
            1 => chart
                .draw_series(points.map(|point| TriangleMarker::new(point, 6, color.filled())))?
                .label(label)
                .legend(move |(x, y)| {
                    EmptyElement::at((0, 0)) + dash(x, y) + TriangleMarker::new((x + 11, y), 6, color.filled())
                }),
            _ => chart
                .draw_series(points.map(|point| Cross::new(point, 5, color.stroke_width(2))))?
                .label(label)
                .legend(move |(x, y)| {
                    EmptyElement::at((0, 0)) + dash(x, y) + Cross::new((x + 11, y), 5, color.stroke_width(2))
                }),
        };
        if let Some(limit) = line.limit {
            let (first, last) = (line.points.first(), line.points.last());
            let ends = first.into_iter().chain(last).map(|point| (point.0.log2(), limit));
            chart
                .draw_series(DashedLineSeries::new(ends, 7, 5, color.stroke_width(1)))?
                .label(format!("limit of {}", line.label))
                .legend(move |(x, y)| {
                    plotters::element::DashedPathElement::new([(x, y), (x + 22, y)], 5, 3, color.stroke_width(1))
                });
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font((FONT, 14).into_font().color(&INK))
        .draw()?;
    Ok(())
}

fn size_label(exponent: f64) -> String {
    if (exponent - exponent.round()).abs() > 1e-6 {
        return String::new();
    }
    let bytes = exponent.exp2().round() as u64;
    match bytes {
        0..1024 => bytes.to_string(),
        1024..1_048_576 => format!("{}K", bytes >> 10),
        _ => format!("{}M", bytes >> 20),
    }
}

fn value_label(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Puts a style sheet into the figure: on a dark screen it replaces each colour of the light one.
fn with_style(svg: &str) -> String {
    let hex = |color: RGBColor| format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2);
    let rules: String = GREYS
        .iter()
        .chain(&SERIES)
        .map(|&(light, dark)| {
            let (light, dark) = (hex(light), hex(dark));
            format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
        })
        .collect();
    let style = format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>");
    match svg.find('>').map(|at| at + 1) {
        // The first element is <svg>; a declaration ahead of it would be `<?xml`.
        Some(at) if svg.starts_with("<svg") => format!("{}{style}{}", &svg[..at], &svg[at..]),
        _ => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::results::Results;
    use super::super::variant;
    use super::*;
    use crate::bench;

    fn measured(name: &str, key: &str) -> (Results, Vec<Variant>) {
        let benchmark = bench::find(name).expect("it exists");
        let variants = variant::from_lists(&["tcp".into(), "posix".into()], &[], &[]).expect("no usb4 is needed");
        let mut results = Results::new(&[benchmark]);
        for variant in 0..2 {
            let rows: Vec<_> =
                (0..6).map(|at| json!({ "size_bytes": 1 << at, key: f64::from(at + 1 + variant) })).collect();
            let document = json!({ "tables": [{ "columns": [{ "key": key, "heading": "Value" }], "rows": rows }] });
            results.add(0, variant as usize, &document).expect("it is a result");
        }
        (results, variants)
    }

    #[test]
    fn a_figure_names_its_lines_and_has_a_dark_side() {
        for (name, key) in [("latency", "latency_us"), ("bw", "bandwidth_mb_s")] {
            let (results, variants) = measured(name, key);
            let svg = svg(&results.benchmarks()[0], &variants).expect("it draws").expect("it has sizes");
            for part in ["tcp", "posix", "message size", "prefers-color-scheme:dark", "#0072B2"] {
                assert!(svg.contains(part), "{name} lacks {part}");
            }
        }
    }

    #[test]
    fn sizes_are_labelled_in_binary_units() {
        assert_eq!([0.0, 10.0, 16.0, 22.0].map(size_label), ["1", "1K", "64K", "4M"]);
        assert_eq!(size_label(0.5), "");
    }
}
