//! Writes `docs/engine-loss.txt` and `docs/engine-loss.svg`, in the root of the repository, from the simulator.
//!
//!     cargo run -p usb4-engine --example loss_table

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use usb4_engine::sim::loss::{self, LOSSES, Row};

fn main() -> Result<(), Box<dyn Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::create_dir_all(&docs)?;
    let rows = loss::table()?;
    std::fs::write(docs.join("engine-loss.txt"), loss::text(&rows))?;
    draw(&docs.join("engine-loss.svg"), &rows)?;
    print!("{}", loss::text(&rows));
    Ok(())
}

fn draw(path: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (720, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Bandwidth under loss (simulated, four rails at 13 Gb/s)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(0f64..4f64, 0f64..105f64)?;
    chart
        .configure_mesh()
        .x_desc("frames lost")
        .y_desc("share of the loss-free bandwidth, %")
        .x_labels(LOSSES.len())
        .x_label_formatter(&|place| format!("{} %", LOSSES[place.round() as usize % LOSSES.len()] * 100.0))
        .draw()?;
    for (index, row) in rows.iter().enumerate() {
        let color = Palette99::pick(index).stroke_width(2);
        let share = |bandwidth: &f64| 100.0 * bandwidth / row.bandwidth[0];
        let points: Vec<(f64, f64)> =
            row.bandwidth.iter().enumerate().map(|(place, bandwidth)| (place as f64, share(bandwidth))).collect();
        chart
            .draw_series(LineSeries::new(points, color))?
            .label(format!("{} bytes", row.len_bytes))
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}
