//! What a server uses: processor time and memory of its process and all below it, as Linux tells.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

/// Processor time that some processes have used since they began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Of whole processes, also of threads that have ended; in ticks of [`TICK`].
    ticks: u64,
    /// Of each thread that there is, exactly: by process and thread.
    threads: BTreeMap<(u32, u32), u64>,
    processes: u32,
}

/// What Linux counts processor time in, for whoever asks (`USER_HZ`), on all machines of today.
const TICK: Duration = Duration::from_millis(10);

/// A process and all that descend from it.
pub fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // One that has ended meanwhile is none of them.
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat"))
            && let Some(stat) = Stat::parse(&text)
        {
            parents.push((pid, stat.parent));
        }
    }
    Ok(descendants(root, &parents))
}

fn descendants(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found
}

/// Memory of their own that the processes have: what they wrote to, and what they share, once. In bytes.
pub fn memory(pids: &[u32]) -> io::Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        for name in ["Pss_Anon", "Pss_Shmem"] {
            sum += kilobytes(&text, name)
                .ok_or_else(|| io::Error::other(format!("{name} of {pid} is missing")))?
                * 1024;
        }
    }
    Ok(sum)
}

/// A number of `smaps_rollup`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == name)
            .then(|| value.trim().strip_suffix(" kB")?.trim().parse().ok())
            .flatten()
    })
}

/// What is of use in `/proc/<pid>/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// In user space and in the kernel.
    ticks: u64,
}

// === impl Stat ===

impl Stat {
    /// The name of the program is in brackets and may have brackets and spaces.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: number(1)? as u32,
            ticks: number(11)? + number(12)?,
        })
    }
}

// === impl Cpu ===

impl Cpu {
    pub fn of(pids: &[u32]) -> io::Result<Self> {
        let mut cpu = Self::default();
        for &pid in pids {
            cpu.processes += 1;
            let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            cpu.ticks += Stat::parse(&text)
                .ok_or_else(|| io::Error::other("/proc/<pid>/stat is strange"))?
                .ticks;
            for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                let thread = entry?.file_name();
                let Some(thread) = thread.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                    continue;
                };
                let path = format!("/proc/{pid}/task/{thread}/schedstat");
                let nanos = fs::read_to_string(path)
                    .ok()
                    .and_then(|text| text.split(' ').next()?.parse().ok());
                if let Some(nanos) = nanos {
                    cpu.threads.insert((pid, thread), nanos);
                }
            }
        }
        Ok(cpu)
    }

    /// What was used since then. Exact, unless a thread ended, which takes its account with it.
    pub fn since(&self, then: &Cpu) -> Duration {
        let ticks = TICK * u32::try_from(self.ticks.saturating_sub(then.ticks)).unwrap_or(u32::MAX);
        let mut nanos = 0;
        for (thread, now) in &self.threads {
            nanos += now.saturating_sub(then.threads.get(thread).copied().unwrap_or(0));
        }
        let exact = Duration::from_nanos(nanos);
        let has_ended = then
            .threads
            .keys()
            .any(|thread| !self.threads.contains_key(thread));
        // More than ticks can be off by: a thread came and went.
        let is_short = ticks > exact + 2 * TICK * self.processes;
        if has_ended || is_short { ticks } else { exact }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_past_a_strange_name() {
        let text = "17 (a) (b c) S 4 17 17 0 -1 4194304 90 0 0 0 250 31 0 0 20 0 3 0 5 6 7";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                parent: 4,
                ticks: 281
            })
        );
        assert_eq!(Stat::parse("17 (a"), None);
    }

    #[test]
    fn a_tree_has_all_below() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 9)];
        assert_eq!(descendants(2, &parents), [2, 3, 4]);
        assert_eq!(descendants(1, &parents), [1, 2, 5, 3, 4]);
    }

    #[test]
    fn kilobytes_are_those_of_the_whole_name() {
        let text = "Pss:   9 kB\nPss_Anon:             112 kB\nPss_Shmem:              0 kB\n";
        assert_eq!(kilobytes(text, "Pss_Anon"), Some(112));
        assert_eq!(kilobytes(text, "Pss_Shmem"), Some(0));
        assert_eq!(kilobytes(text, "Pss_File"), None);
    }

    fn cpu(ticks: u64, threads: &[(u32, u64)]) -> Cpu {
        Cpu {
            ticks,
            threads: threads
                .iter()
                .map(|&(thread, millis)| ((1, thread), millis * 1_000_000))
                .collect(),
            processes: 1,
        }
    }

    #[test]
    fn time_is_exact_while_all_threads_live() {
        let then = cpu(10, &[(1, 60), (2, 43)]);
        assert_eq!(
            cpu(12, &[(1, 70), (2, 47), (3, 2)]).since(&then),
            Duration::from_millis(16)
        );
        assert_eq!(
            cpu(14, &[(1, 70)]).since(&then),
            Duration::from_millis(40),
            "thread 2 ended"
        );
        assert_eq!(
            cpu(30, &[(1, 60), (2, 43)]).since(&then),
            Duration::from_millis(200),
            "one came and went"
        );
    }

    #[test]
    fn this_process_uses_something() {
        let pids = tree(std::process::id()).unwrap();
        assert!(pids.contains(&std::process::id()));
        assert!(memory(&pids[..1]).unwrap() > 0);
        Cpu::of(&pids[..1]).unwrap();
    }
}
