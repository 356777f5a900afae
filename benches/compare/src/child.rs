//! Processes that are started here, and ended by their ids: servers, and helpers that are told by lines.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::usage;

/// A server of any kind. Ends with its value.
pub struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

/// A load or another helper that says lines and is told lines. Ends with its value.
pub struct Helper {
    child: Child,
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
    name: String,
}

/// An address of the loopback that is free, below those that connections get.
pub fn free_addr() -> Fallible<SocketAddr> {
    for _ in 0..1000 {
        let addr = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(20_000..32_000)));
        if TcpListener::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    Err("no port is free".into())
}

/// A command of this very program.
pub fn own(subcommand: &str) -> Fallible<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(subcommand);
    Ok(command)
}

// === impl Server ===

impl Server {
    /// Starts it, and waits until something accepts at all of `addrs`. What it says is in a file of `dir`.
    pub fn start(name: &str, dir: &Path, command: &Command, addrs: &[SocketAddr]) -> Fallible<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log)?;
        // It is told to end when we do, however that may be.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .map_err(|error| format!("cannot start setpriv for {name}: {error}"))?;
        let mut server = Self {
            child,
            name: name.to_owned(),
            log,
        };
        let until = Instant::now() + Duration::from_secs(15);
        for addr in addrs {
            while TcpStream::connect(addr).is_err() {
                if server.child.try_wait()?.is_some() || Instant::now() > until {
                    return Err(server.fault("does not accept connections"));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(server)
    }

    /// All its processes.
    pub fn pids(&self) -> Fallible<Vec<u32>> {
        Ok(usage::tree(self.child.id())?)
    }

    /// A fault, with the last that it said.
    pub fn fault(&self, what: &str) -> Box<dyn std::error::Error> {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("{} {what}; it said: {}", self.name, last.join("\n")).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pids = self.pids().unwrap_or_default();
        signal("-TERM", [self.child.id()]);
        let until = Instant::now() + Duration::from_secs(10);
        let is_there = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
        while Instant::now() < until {
            let _ = self.child.try_wait();
            if !pids.iter().any(is_there) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        signal("-KILL", pids);
        let _ = self.child.wait();
    }
}

fn signal(which: &str, pids: impl IntoIterator<Item = u32>) {
    let _ = Command::new("kill")
        .arg(which)
        .args(pids.into_iter().map(|pid| pid.to_string()))
        .status();
}

// === impl Helper ===

impl Helper {
    /// Starts this program with a subcommand.
    pub fn start<S: AsRef<OsStr>>(subcommand: &str, args: impl IntoIterator<Item = S>) -> Fallible<Self> {
        let mut child = own(subcommand)?
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let orders = child.stdin.take();
        let out = child.stdout.take().ok_or("a helper has no output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            orders,
            lines,
            name: subcommand.to_owned(),
        })
    }

    pub fn tell(&mut self, order: &str) -> Fallible<()> {
        let orders = self.orders.as_mut().ok_or("a helper has no input")?;
        Ok(writeln!(orders, "{order}")?)
    }

    /// Whether it has told no fault so far.
    pub fn blameless(&self) -> Fallible<()> {
        match self.lines.try_iter().find(|line| line.starts_with("fault ")) {
            Some(fault) => Err(format!("{}: {fault}", self.name).into()),
            None => Ok(()),
        }
    }

    /// The numbers of the next line that begins with this word; others before it are dropped. A fault that it tells
    /// is ours.
    pub fn wait(&self, word: &str, patience: Duration) -> Fallible<Vec<u64>> {
        let until = Instant::now() + patience;
        loop {
            let line = match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{}: no `{word}` within {patience:?}", self.name).into());
                }
                Err(RecvTimeoutError::Disconnected) => return Err(format!("{} has ended", self.name).into()),
            };
            let (found, rest) = line.split_once(' ').unwrap_or((&line, ""));
            if found == "fault" {
                return Err(format!("{}: {rest}", self.name).into());
            }
            if found == word {
                return Ok(rest
                    .split(' ')
                    .filter(|text| !text.is_empty())
                    .map(str::parse)
                    .collect::<Result<_, _>>()?);
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It ends when it has nobody to listen to.
        self.orders = None;
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
