//! What a message costs as connections and ranks grow in number.

mod connections;
mod ranks;

use std::path::Path;

use anyhow::Context;
use plotters::prelude::*;
use xshell::Shell;

pub(super) use connections::check;

/// Options of `cargo xtask perf scale`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also run alltoall on 2, 4, 8 and so on up to this many ranks (64 take three minutes on two cores), beside tcp and posix
    #[arg(long, value_name = "MOST", value_parser = clap::value_parser!(u32).range(2..=128))]
    ranks: Option<u32>,
}

/// Counts, measures, prints and draws.
pub(super) fn run(shell: &Shell, options: &Options) -> anyhow::Result<()> {
    connections::update(shell)?;
    match options.ranks {
        Some(most) => ranks::run(shell, most),
        None => Ok(()),
    }
}

/// A line of a figure.
struct Line {
    label: String,
    points: Vec<(f64, f64)>,
}

/// What a figure shows.
struct Figure<'a> {
    caption: &'a str,
    across: &'a str,
    up: &'a str,
    /// Whether the upward axis is logarithmic, too.
    is_up_log: bool,
}

/// Draws lines over a logarithmic axis.
fn draw(path: &Path, figure: &Figure<'_>, lines: &[Line]) -> anyhow::Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = points().map(|point| point.0).fold(1.0, f64::max);
    let least = points().map(|point| point.0).fold(most, f64::min);
    let top = points().map(|point| point.1).fold(0.0, f64::max) * 1.1;
    let bottom = points().map(|point| point.1).fold(top, f64::min) / 2.0;
    let root = SVGBackend::new(path, (720, 400)).into_drawing_area();
    let attempt = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&root);
        builder.caption(figure.caption, ("sans-serif", 18)).margin(12).x_label_area_size(44).y_label_area_size(70);
        // The two kinds of axis are two types.
        macro_rules! draw_over {
            ($range:expr) => {{
                let mut chart = builder.build_cartesian_2d((least..most).log_scale(), $range)?;
                let mut mesh = chart.configure_mesh();
                mesh.x_desc(figure.across).y_desc(figure.up);
                mesh.x_label_formatter(&|value| format!("{value:.0}"))
                    .y_label_formatter(&|value| format!("{value:.0}"));
                mesh.draw()?;
                for (number, Line { label, points }) in lines.iter().enumerate() {
                    let style = Palette99::pick(number).stroke_width(2);
                    chart
                        .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
                        .label(label)
                        .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
                }
                chart
                    .configure_series_labels()
                    .position(SeriesLabelPosition::UpperLeft)
                    .background_style(WHITE.mix(0.8))
                    .border_style(BLACK)
                    .draw()?;
            }};
        }
        if figure.is_up_log {
            draw_over!((bottom..top).log_scale());
        } else {
            draw_over!(0.0..top);
        }
        Ok(root.present()?)
    };
    attempt().map_err(|error| anyhow::anyhow!("{error}")).with_context(|| format!("cannot draw {}", path.display()))
}
