//! The table: figures of all peers, and how the first compares with each other in the same round.

use std::fmt::Write;

use crate::figures::{Better, Figure, Measured};
use crate::stats::Spread;

/// A Markdown table: a line for each figure, in the order in which they were first measured.
pub fn markdown(measured: &[Measured], peers: &[&str]) -> String {
    let mut out = String::from("| figure |");
    let (first, others) = peers
        .split_first()
        .map_or(("", peers), |(first, others)| (*first, others));
    for peer in peers {
        let _ = write!(out, " {peer} |");
    }
    for other in others {
        let _ = write!(out, " {first} : {other} |");
    }
    let _ = writeln!(out, "\n|---|{}", "---:|".repeat(peers.len() + others.len()));
    for figure in order(measured) {
        let better = match figure.better {
            Better::Less => "less",
            Better::More => "more",
        };
        let unit = if figure.unit.is_empty() {
            String::new()
        } else {
            format!(", {}", figure.unit)
        };
        let _ = write!(out, "| {}{unit} ({better} is better) |", figure.title);
        for peer in peers {
            let values: Vec<f64> = of(measured, figure, peer).map(|(_, value)| value).collect();
            let _ = write!(out, " {} |", spread(Spread::of(&values), number));
        }
        for other in others {
            let ratios: Vec<f64> = of(measured, figure, first)
                .filter_map(|(round, value)| {
                    let (_, beside) = of(measured, figure, other).find(|(at, _)| *at == round)?;
                    Some(value / beside)
                })
                .filter(|ratio| ratio.is_finite())
                .collect();
            let _ = write!(
                out,
                " {} |",
                spread(Spread::of(&ratios), |ratio| format!("{ratio:.2}"))
            );
        }
        out.push('\n');
    }
    out
}

fn order(measured: &[Measured]) -> Vec<&'static Figure> {
    let mut figures: Vec<&'static Figure> = Vec::new();
    for one in measured {
        if !figures.contains(&one.figure) {
            figures.push(one.figure);
        }
    }
    figures
}

fn of<'a>(
    measured: &'a [Measured],
    figure: &'a Figure,
    peer: &'a str,
) -> impl Iterator<Item = (usize, f64)> + 'a {
    measured
        .iter()
        .filter(move |one| one.figure == figure && one.peer == peer)
        .map(|one| (one.round, one.value))
}

/// The median, and in brackets the least and the most where there are several.
fn spread(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    match spread {
        None => "-".to_owned(),
        Some(Spread { min, median, max }) if min == max => show(median),
        Some(Spread { min, median, max }) => format!("{} ({}..{})", show(median), show(min), show(max)),
    }
}

/// With three digits at least, and thousands apart.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digit != '-' && (digits.len() - index).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{FLAT_OUT, LAST_P50};

    fn one(figure: &'static Figure, peer: &'static str, round: usize, value: f64) -> Measured {
        Measured {
            figure,
            peer,
            round,
            value,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let measured = [
            one(&LAST_P50, "a", 0, 10.0),
            one(&LAST_P50, "b", 0, 5.0),
            one(&LAST_P50, "b", 1, 20.0),
            one(&LAST_P50, "a", 1, 20.0),
            one(&FLAT_OUT, "a", 0, 1_234_567.0),
        ];
        assert_eq!(
            markdown(&measured, &["a", "b"]),
            "| figure | a | b | a : b |\n\
             |---|---:|---:|---:|\n\
             | last receipt, p50, ms (less is better) | 15.0 (10.0..20.0) | 12.5 (5.00..20.0) | 1.50 (1.00..2.00) |\n\
             | deliveries flat out, /s (more is better) | 1,234,567 | - | - |\n"
        );
    }

    #[test]
    fn numbers_have_three_digits_and_thousands_apart() {
        let shown = [0.0, 1.234, 12.34, 123.4, 1_234.0, 100_000.0, -1_234.0, -123.0].map(number);
        assert_eq!(
            shown,
            [
                "0.00", "1.23", "12.3", "123", "1,234", "100,000", "-1,234", "-123"
            ]
        );
    }
}
