//! The curves as a picture.

use plotters::prelude::*;

use super::Chart;
use crate::Fallible;

const SIZE: (u32, u32) = (1_200, 560);

/// Both scales are logarithmic: what costs the same whatever there is, is flat.
pub fn svg(charts: &[Chart]) -> Fallible<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        for (chart, area) in charts.iter().zip(root.split_evenly((1, charts.len()))) {
            draw(chart, &area)?;
        }
        root.present()?;
    }
    Ok(text)
}

fn draw(chart: &Chart, area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Fallible<()> {
    let points = || chart.curves.iter().flat_map(|curve| &curve.points);
    let most = points().map(|(size, _)| *size).max().unwrap_or(1).max(2) as f64;
    let costs = || points().map(|(_, cost)| cost.max(0.01));
    let (least, dearest) = (costs().fold(f64::MAX, f64::min), costs().fold(0.0, f64::max));
    let mut picture = ChartBuilder::on(area)
        .caption(format!("{}, µs", chart.title), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(65)
        // Room above for the names.
        .build_cartesian_2d(
            (1.0..most).log_scale(),
            (least / 3.0..dearest * 100.0).log_scale(),
        )?;
    picture.configure_mesh().x_desc(chart.by).draw()?;
    for (number, curve) in chart.curves.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        let line = curve
            .points
            .iter()
            .map(|&(size, cost)| (size as f64, cost.max(0.01)));
        picture
            .draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        picture.draw_series(line.map(|point| Circle::new(point, 3, color.filled())))?;
    }
    picture
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}
