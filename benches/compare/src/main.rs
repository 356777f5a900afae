//! The edge beside its peers: `benches/compare/run`. See `docs/performance.md`.

mod certificate;
mod child;
mod client;
mod events;
mod figures;
mod growth;
mod http1;
mod load;
mod peers;
mod plan;
mod publish;
mod rounds;
mod rows;
mod servers;
mod stats;
mod table;
mod usage;

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::{Args, Parser};

use crate::servers::{floor, origin, plain};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs the edge server beside its peers.
#[derive(Parser)]
enum Command {
    /// Measures, and writes a table.
    Run(rounds::Options),
    /// Curves of what something costs while something else grows.
    Growth(growth::Options),
    /// The application behind all peers.
    Origin(Listen),
    /// The push server that does the least.
    Floor(Listen),
    /// A server of objects on plain hyper.
    Hyper(Listen),
    /// Holds many streams.
    Subscribe(load::subscribe::Options),
    /// Asks again and again.
    Request(load::request::Options),
}

#[derive(Args)]
struct Listen {
    #[arg(long)]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let ended = match Command::parse() {
        Command::Run(options) => rounds::run(&options),
        Command::Growth(options) => growth::run(&options),
        Command::Origin(listen) => listen.listener().and_then(|listener| Ok(origin::run(listener)?)),
        Command::Floor(listen) => listen.listener().and_then(|listener| Ok(floor::run(listener)?)),
        Command::Hyper(listen) => listen.listener().and_then(|listener| Ok(plain::run(listener)?)),
        Command::Subscribe(options) => load::subscribe::run(options).map_err(Into::into),
        Command::Request(options) => load::request::run(options).map_err(Into::into),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Listen {
    fn listener(&self) -> Fallible<TcpListener> {
        Ok(TcpListener::bind(self.listen)?)
    }
}
