//! What a load asks for, in which order.

use std::str::FromStr;

use crate::publish::Form;

#[derive(Clone, Debug)]
pub struct Plan {
    kind: Kind,
    /// How many there were so far.
    asked: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    /// One object again and again.
    Same { path: String },
    /// Few objects often, most of them seldom.
    Zipf { path: String, sums: Vec<f64> },
    /// Each of so many objects once.
    Each { path: String, count: u64 },
    /// One object, once from each connection.
    Once { path: String },
    /// Messages to channels `u0`, `u1` and so on, each of which belongs to one connection: so they stay in order.
    Publish {
        form: Form,
        channels: usize,
        turns: Vec<usize>,
    },
}

/// What was written.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A request of a plan that has no end of its own.
    UntilTime,
    /// One of a plan that has.
    Asked,
    Nothing,
}

impl Plan {
    /// Writes the next request of a connection, one of `of`.
    pub fn next(&mut self, connection: usize, of: usize, out: &mut Vec<u8>) -> Next {
        let number = self.asked;
        self.asked += 1;
        match &mut self.kind {
            Kind::Same { path } => get(path, 0, out),
            Kind::Zipf { path, sums } => {
                let chosen = fastrand::f64() * sums.last().copied().unwrap_or(0.0);
                let rank = sums.partition_point(|&sum| sum < chosen);
                get(path, rank.min(sums.len() - 1) as u64, out);
            }
            Kind::Each { path, count } => {
                if number >= *count {
                    return Next::Nothing;
                }
                get(path, number, out);
                return Next::Asked;
            }
            Kind::Once { path } => {
                if number >= of as u64 {
                    return Next::Nothing;
                }
                get(path, 0, out);
                return Next::Asked;
            }
            Kind::Publish {
                form,
                channels,
                turns,
            } => {
                turns.resize(of.max(turns.len()), 0);
                let own = channels.saturating_sub(connection).div_ceil(of);
                if own == 0 {
                    return Next::Nothing;
                }
                let (round, place) = (turns[connection] / own, turns[connection] % own);
                turns[connection] += 1;
                let channel = format!("u{}", connection + place * of);
                out.extend_from_slice(&form.request(&channel, round as u32 + 1));
            }
        }
        Next::UntilTime
    }
}

fn get(path: &str, number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"GET ");
    match path.split_once("{}") {
        Some((before, after)) => {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(number.to_string().as_bytes());
            out.extend_from_slice(after.as_bytes());
        }
        None => out.extend_from_slice(path.as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a plan: {text}");
        let (word, rest) = text.split_once(':').ok_or_else(wrong)?;
        let path = rest.to_owned();
        let counted = || {
            let (count, path) = rest.split_once(':')?;
            Some((count.parse().ok()?, path.to_owned()))
        };
        let kind = match word {
            "same" => Kind::Same { path },
            "once" => Kind::Once { path },
            "each" => {
                let (count, path) = counted().ok_or_else(wrong)?;
                Kind::Each { path, count }
            }
            "zipf" => {
                let (count, path) = counted().ok_or_else(wrong)?;
                let sums = zipf(count);
                Kind::Zipf { path, sums }
            }
            "publish" => {
                let (form, channels) = rest.split_once(':').ok_or_else(wrong)?;
                Kind::Publish {
                    form: clap::ValueEnum::from_str(form, false)?,
                    channels: channels.parse().map_err(|_| wrong())?,
                    turns: Vec::new(),
                }
            }
            _ => return Err(wrong()),
        };
        Ok(Self { kind, asked: 0 })
    }
}

/// The sums of 1, 1/2, 1/3 and so on.
fn zipf(count: u64) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=count)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Plan {
        text.parse().unwrap()
    }

    fn first_line(plan: &mut Plan, connection: usize, of: usize) -> Option<String> {
        let mut out = Vec::new();
        (plan.next(connection, of, &mut out) != Next::Nothing)
            .then(|| String::from_utf8(out).unwrap().lines().next().unwrap().to_owned())
    }

    #[test]
    fn each_is_asked_for_once() {
        let mut plan = plan("each:3:/object/1/{}");
        let lines: Vec<_> = std::iter::from_fn(|| first_line(&mut plan, 0, 2)).collect();
        assert_eq!(
            lines,
            [
                "GET /object/1/0 HTTP/1.1",
                "GET /object/1/1 HTTP/1.1",
                "GET /object/1/2 HTTP/1.1"
            ]
        );
    }

    #[test]
    fn a_channel_belongs_to_one_connection_and_counts_from_one() {
        let mut plan = plan("publish:raw:5");
        let mut seen = vec![0; 5];
        for turn in 0..60 {
            let mut out = Vec::new();
            plan.next(turn % 2, 2, &mut out);
            let text = String::from_utf8(out).unwrap();
            let channel: usize = text["POST /pub/u".len()..]
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(channel % 2, turn % 2);
            seen[channel] += 1;
            assert!(text.contains(&format!("\r\n\r\nm{} ", seen[channel])), "{text}");
        }
        assert!(seen.iter().all(|&count| count >= 10), "{seen:?}");
    }

    #[test]
    fn the_first_of_a_zipf_is_the_most_frequent() {
        let mut plan = plan("zipf:1000:/{}");
        let mut first = 0;
        for _ in 0..10_000 {
            first += usize::from(first_line(&mut plan, 0, 1).unwrap() == "GET /0 HTTP/1.1");
        }
        // 1 of 7.49, the sum of 1 to 1/1000.
        assert!((1_000..1_700).contains(&first), "{first}");
    }
}
