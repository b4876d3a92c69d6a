//! One curve as an SVG, both axes logarithmic: what grows linearly is a line of slope one.

use plotters::prelude::*;
use std::path::Path;

/// How a price grows.
pub struct Curve {
    /// File name without ending.
    pub file: &'static str,
    /// What is measured.
    pub name: &'static str,
    /// What grows.
    pub across: &'static str,
    /// Of the price.
    pub unit: &'static str,
    /// Sorted by what grows.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// Of the logarithms, over the last half of the points, by least squares: 0 = constant, 1 = linear.
    pub fn slope(&self) -> f64 {
        let last: Vec<(f64, f64)> =
            self.points[self.points.len() / 2..].iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        let n = last.len() as f64;
        let (x, y) = (last.iter().map(|p| p.0).sum::<f64>() / n, last.iter().map(|p| p.1).sum::<f64>() / n);
        let covariance: f64 = last.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
        covariance / last.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
    }

    /// The word for it.
    pub fn class(&self) -> &'static str {
        match self.slope() {
            slope if slope < 0.15 => "constant or logarithmic",
            slope if slope <= 1.1 => "at most linear",
            _ => "worse than linear",
        }
    }
}

/// Writes the picture.
pub fn draw(curve: &Curve, file: &Path) -> anyhow::Result<()> {
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let x = bounds(&mut curve.points.iter().map(|point| point.0));
    let y = bounds(&mut curve.points.iter().map(|point| point.1));
    let root = SVGBackend::new(file, (640, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(curve.name, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d((x.0..x.1).log_scale(), (y.0 / 2.0..y.1 * 2.0).log_scale())?;
    chart.configure_mesh().x_desc(curve.across).y_desc(curve.unit).light_line_style(WHITE).draw()?;
    chart.draw_series(LineSeries::new(curve.points.iter().copied(), &BLUE))?;
    chart.draw_series(curve.points.iter().map(|point| Circle::new(*point, 3, BLUE.filled())))?;
    root.present()?;
    Ok(())
}
