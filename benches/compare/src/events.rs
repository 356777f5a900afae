//! The messages that are published, and how a subscriber finds their numbers in what it reads.
//!
//! A message is a server-sent event `data: m<number> xxx…`, whatever other lines a server puts around it.

use memchr::memchr;

/// Bytes of a published event, in all.
const EVENT_BYTES: usize = 100;
const START: &[u8] = b"data: m";
const END: &[u8] = b"\n\n";

/// What follows `data: ` in the event of this number.
pub fn payload(number: u32) -> String {
    let mut text = format!("m{number} ");
    let wanted = EVENT_BYTES - (START.len() - 1) - END.len();
    text.extend(std::iter::repeat_n('x', wanted.saturating_sub(text.len())));
    text
}

/// Finds the numbers of messages in a stream that arrives in pieces.
#[derive(Default, Clone, Copy)]
pub struct Events(State);

#[derive(Clone, Copy)]
enum State {
    /// So many bytes of [`START`] were met at the start of this line.
    Start(u8),
    Number(u32),
    /// Until the line ends.
    Rest,
}

impl Default for State {
    fn default() -> Self {
        State::Start(0)
    }
}

impl Events {
    pub fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(u32)) {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            self.0 = match self.0 {
                State::Start(_) if byte == b'\n' => State::Start(0),
                State::Start(met) if byte == START[usize::from(met)] => {
                    if usize::from(met) + 1 == START.len() {
                        State::Number(0)
                    } else {
                        State::Start(met + 1)
                    }
                }
                State::Start(_) => State::Rest,
                State::Number(number) if byte.is_ascii_digit() => {
                    State::Number(number.wrapping_mul(10).wrapping_add(u32::from(byte - b'0')))
                }
                State::Number(number) => {
                    found(number);
                    if byte == b'\n' {
                        State::Start(0)
                    } else {
                        State::Rest
                    }
                }
                State::Rest => match memchr(b'\n', &bytes[at - 1..]) {
                    Some(after) => {
                        at += after;
                        State::Start(0)
                    }
                    None => return,
                },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_pieces_of_any_size() {
        let mut stream = b"data: open\n\n: hi\n\n".to_vec();
        for number in [1, 2, 40_000] {
            stream.extend(format!("id: 17:0\ndata: {}\n\n", payload(number)).bytes());
        }
        stream.extend(b"data: m7\ndata:m8\n xdata: m9\n\n");
        for size in 1..=stream.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for piece in stream.chunks(size) {
                events.feed(piece, |number| found.push(number));
            }
            assert_eq!(found, [1, 2, 40_000, 7], "in pieces of {size}");
        }
    }

    #[test]
    fn events_are_of_one_size() {
        for number in [1, 99, 123_456] {
            assert_eq!(format!("data: {}\n\n", payload(number)).len(), EVENT_BYTES);
        }
    }
}
