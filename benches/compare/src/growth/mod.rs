//! Curves: what something costs while something else grows. `benches/compare/run growth`.

mod crowds;
mod inside;
mod plot;

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::Fallible;

#[derive(Args)]
pub struct Options {
    /// Only to a hundredth of the size: shows that it works; its figures say nothing.
    #[arg(long)]
    quick: bool,
    /// Each point so often: it is the median.
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// Where the table, the curves and what servers said is written.
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
}

/// What one thing costs, by how much there is of another.
pub struct Curve {
    pub name: &'static str,
    /// How many there are, and what it costs then, in microseconds.
    pub points: Vec<(usize, f64)>,
}

/// Curves of one cost.
pub struct Chart {
    pub title: &'static str,
    /// What grows.
    pub by: &'static str,
    pub curves: Vec<Curve>,
}

pub fn run(options: &Options) -> Fallible<()> {
    let out = std::path::absolute(&options.out)?;
    fs::create_dir_all(&out)?;
    let upto = |most: usize| if options.quick { most / 100 } else { most };
    let charts = [
        Chart {
            title: "CPU of the server",
            by: "subscribers of the channel, on sockets",
            curves: crowds::curves(upto(18_000), options.rounds, &out)?,
        },
        Chart {
            title: "in process, without sockets",
            by: "how many there are",
            curves: inside::curves(upto(1_000_000), options.rounds)?,
        },
    ];
    fs::write(out.join("growth.svg"), plot::svg(&charts)?)?;
    let text: String = charts.iter().map(Chart::table).collect();
    fs::write(out.join("growth.md"), &text)?;
    print!("{text}");
    Ok(())
}

/// 1 and each decade, up to the most.
fn sizes(most: usize) -> Vec<usize> {
    let decades = std::iter::successors(Some(1), |size| Some(size * 10));
    decades.take_while(|size| *size < most).chain([most]).collect()
}

/// So often a cost at each of these sizes: the medians.
fn measure(
    name: &'static str,
    sizes: &[usize],
    rounds: usize,
    mut cost: impl FnMut(usize) -> Fallible<f64>,
) -> Fallible<Curve> {
    let mut points = Vec::new();
    for &size in sizes {
        let mut costs = Vec::new();
        for _ in 0..rounds.max(1) {
            costs.push(cost(size)?);
        }
        costs.sort_unstable_by(f64::total_cmp);
        let median = costs[costs.len() / 2];
        eprintln!("{name}, {size}: {median:.2} us");
        points.push((size, median));
    }
    Ok(Curve { name, points })
}

// === impl Chart ===

impl Chart {
    fn table(&self) -> String {
        let mut text = format!("## {}, us\n\n", self.title);
        for Curve { name, points } in &self.curves {
            let sizes: Vec<String> = points.iter().map(|(size, _)| size.to_string()).collect();
            let costs: Vec<String> = points.iter().map(|(_, cost)| format!("{cost:.2}")).collect();
            text += &format!("| {} | {} |\n", self.by, sizes.join(" | "));
            text += &format!("|---|{}\n", "---|".repeat(points.len()));
            text += &format!("| {name} | {} |\n\n", costs.join(" | "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decades_and_the_most() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(1_000), [1, 10, 100, 1_000]);
        assert_eq!(sizes(1_800), [1, 10, 100, 1_000, 1_800]);
    }
}
