//! Curves as SVG files.

use std::path::{Path, PathBuf};

use plotters::prelude::{
    BLACK, ChartBuilder, Circle, EmptyElement, IntoDrawingArea, LineSeries, Palette, Palette99, PathElement,
    PointSeries, SVGBackend, WHITE,
};
use plotters::style::Color;

use super::{curves::Points, month::Day};
use crate::cli::failure::{Failure, Kind};

const SIZE: (u32, u32) = (760, 420);

/// What one picture shows.
struct Picture<'a> {
    name: &'a str,
    title: &'a str,
    x: &'a str,
    y: &'a str,
    curves: &'a [(&'a str, Points)],
}

/// Reads by workspace.
///
/// # Errors
/// The file cannot be written.
pub fn workspace(folder: &Path, points: &Points) -> Result<PathBuf, Failure> {
    Picture {
        name: "workspace.svg",
        title: "Device reads for a random read of 4 KiB",
        x: "workspace, KiB",
        y: "reads",
        curves: &[("reads, data included", points.clone())],
    }
    .draw(folder)
}

/// Reads by depth, which goes up in powers of ten.
///
/// # Errors
/// The file cannot be written.
pub fn depth(folder: &Path, points: &Points) -> Result<PathBuf, Failure> {
    Picture {
        name: "depth.svg",
        title: "Device reads for a random read of 4 KiB",
        x: "snapshots, powers of ten",
        y: "reads",
        curves: &[("reads, data included", points.iter().map(|(depth, reads)| (depth.log10(), *reads)).collect())],
    }
    .draw(folder)
}

/// A month of churn.
///
/// # Errors
/// The file cannot be written.
pub fn month(folder: &Path, days: &[Day]) -> Result<PathBuf, Failure> {
    let curve = |of: fn(&Day) -> f64| -> Points { (0_u32..).map(f64::from).zip(days.iter().map(of)).collect() };
    Picture {
        name: "month.svg",
        title: "A snapshot every 20 minutes, kept for a day, and random writes",
        x: "days",
        y: "each in its unit",
        curves: &[
            ("bytes written per byte", curve(|day| day.amplification)),
            ("device operations per write", curve(|day| day.operations)),
            ("blocks in use, ten thousands", curve(|day| day.used as f64 / 10_000.0)),
            ("blocks merge has still to do, thousands", curve(|day| day.debt as f64 / 1000.0)),
            ("device reads per MiB in order, hundreds", curve(|day| day.scattered / 100.0)),
        ],
    }
    .draw(folder)
}

impl Picture<'_> {
    fn draw(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let path = folder.join(self.name);
        let drawn = self.draw_in(&path);
        drawn.map_err(|error| Failure::new(Kind::Other, format!("cannot draw {}: {error}", path.display())))?;
        Ok(path)
    }

    fn draw_in(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.curves.iter().flat_map(|(_, points)| points);
        let left = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let right = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max).max(left + 1.0);
        let top = points().map(|point| point.1).fold(0.0, f64::max) * 1.1 + 0.1;
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(38)
            .y_label_area_size(52)
            .build_cartesian_2d(left..right, 0.0..top)?;
        chart.configure_mesh().x_desc(self.x).y_desc(self.y).light_line_style(WHITE).draw()?;
        for (number, (name, points)) in self.curves.iter().enumerate() {
            let color = Palette99::pick(number).stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
            let dot = |place: (f64, f64), size, style| EmptyElement::at(place) + Circle::new((0, 0), size, style);
            chart.draw_series(PointSeries::of_element(points.iter().copied(), 2, color.filled(), &dot))?;
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
        area.present()?;
        Ok(())
    }
}
