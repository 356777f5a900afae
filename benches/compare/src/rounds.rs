//! Rounds: each row of each peer once a round, in one order and then in the other, so that what the machine does
//! beside falls on all of them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::Fallible;
use crate::certificate::Certificate;
use crate::figures::Measured;
use crate::peers::Kind;
use crate::rows::{Figures, Row, Scene, Sizes, Wire, with_peer};
use crate::table;

#[derive(Args)]
pub struct Options {
    /// What is measured; all rows without any.
    rows: Vec<Row>,
    /// Small and short: shows that it works; its figures say nothing.
    #[arg(long)]
    quick: bool,
    /// Those that are compared; all that a row knows without it. The first is compared with each other.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Kind>,
    /// [default: 3, quick: 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Subscribers of one channel [default: 10000, with TLS 5000; quick: 2000, 1000]. A multiple of 50
    #[arg(long)]
    holds: Option<usize>,
    /// Where the table and what the servers said is written.
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
}

pub fn run(options: &Options) -> Fallible<()> {
    let mut sizes = if options.quick {
        Sizes::quick()
    } else {
        Sizes::full()
    };
    sizes.holds = options.holds.unwrap_or(sizes.holds);
    sizes.tls_holds = options.holds.unwrap_or(sizes.tls_holds);
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let rows = if options.rows.is_empty() {
        Row::ALL.to_vec()
    } else {
        options.rows.clone()
    };
    let out = std::path::absolute(&options.out)?;
    fs::create_dir_all(&out)?;

    let mut text = String::new();
    for row in rows {
        let peers: Vec<Kind> = match &options.peers[..] {
            [] => row.peers().to_vec(),
            chosen => chosen
                .iter()
                .copied()
                .filter(|peer| row.peers().contains(peer))
                .collect(),
        };
        if peers.is_empty() {
            return Err(format!("{} is about none of the chosen peers", row.name()).into());
        }
        let missing: Vec<String> = peers.iter().filter_map(|peer| peer.missing()).collect();
        if !missing.is_empty() {
            return Err(missing.join("\n").into());
        }
        let mut measured = Vec::new();
        let done = measure(row, &peers, rounds, &sizes, &out, &mut measured);
        let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
        text += &format!(
            "## {}\n\n{}\n",
            row.title(&sizes),
            table::markdown(&measured, &names)
        );
        fs::write(out.join("table.md"), &text)?;
        if done.is_err() {
            // What there is of it is shown all the same.
            print!("{text}");
            return done;
        }
    }
    print!("{text}");
    Ok(())
}

/// All rounds of a row.
fn measure(
    row: Row,
    peers: &[Kind],
    rounds: usize,
    sizes: &Sizes,
    out: &Path,
    measured: &mut Vec<Measured>,
) -> Fallible<()> {
    for round in 0..rounds {
        let mut order = peers.to_vec();
        if round % 2 == 1 {
            order.reverse();
        }
        for kind in order {
            let peer = kind.name();
            eprintln!("{} of {peer}, round {} of {rounds}", row.name(), round + 1);
            let figures =
                once(row, kind, sizes, out).map_err(|error| format!("{} of {peer}: {error}", row.name()))?;
            for (figure, value) in figures {
                eprintln!("  {}: {value:.2} {}", figure.title, figure.unit);
                measured.push(Measured {
                    figure,
                    peer,
                    round,
                    value,
                });
            }
        }
    }
    Ok(())
}

/// A row with an origin and a server of its own.
fn once(row: Row, kind: Kind, sizes: &Sizes, out: &Path) -> Fallible<Figures> {
    let dir = out.join(kind.name());
    fs::create_dir_all(&dir)?;
    let certificate = row.is_tls().then(|| Certificate::make(&dir)).transpose()?;
    with_peer(kind, certificate.as_ref(), &dir, |peer, origin| {
        row.run(&Scene {
            kind,
            peer,
            origin,
            sizes,
            holds: if row.is_tls() {
                sizes.tls_holds
            } else {
                sizes.holds
            },
            wire: Wire {
                certificate: certificate.as_ref(),
                streams: row.streams(),
            },
        })
    })
}
