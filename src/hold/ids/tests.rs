mod body;
mod gap;
mod races;
mod random;
mod real;
mod steps;
mod told;

use super::*;
use crate::message::Channel;

fn channel(prev_id: Option<&str>) -> HoldChannel {
    let mut channel = HoldChannel::new(Channel::new("t").expect("a valid name"));
    channel.prev_id = prev_id.map(Into::into);
    channel
}

fn message(id: &str, prev_id: &str) -> Message {
    let mut message = Message::bytes(format!("{prev_id}>{id}"));
    message.id = (!id.is_empty()).then(|| id.into());
    message.prev_id = (!prev_id.is_empty()).then(|| prev_id.into());
    message
}

/// A hold on one channel, and what it gives out.
struct Hold {
    ids: Ids,
    now: Instant,
    count: u64,
}

impl Hold {
    fn new(prev_id: Option<&str>) -> Self {
        Self {
            ids: Ids::new(&[channel(prev_id)], HoldMode::Stream),
            now: Instant::now(),
            count: 0,
        }
    }

    fn offer(&mut self, message: Message) -> Vec<String> {
        self.count += 1;
        let placed = Placed {
            at: Position::new(self.count),
            late: false,
            anew: false,
            nth: 0,
            form: None,
            message: Arc::new(message),
        };
        let now = self.now;
        let first = self.ids.offer(0, placed, || now);
        self.drain(first)
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.ids.release_overdue(self.now);
        self.drain(None)
    }

    /// How many of what is withheld were looked at.
    fn looks(&self) -> usize {
        self.ids.channels[0].withheld.looks()
    }

    fn drain(&mut self, first: Option<Placed>) -> Vec<String> {
        let rest = std::iter::from_fn(|| self.ids.ready());
        let name = |placed: Placed| placed.message.id.as_deref().unwrap_or("-").to_owned();
        first.into_iter().chain(rest).map(name).collect()
    }
}

fn offer_all(hold: &mut Hold, messages: &[(&str, &str)]) -> Vec<String> {
    let offered = messages
        .iter()
        .flat_map(|(id, prev_id)| hold.offer(message(id, prev_id)));
    offered.collect()
}

/// What a hold gives out whose body names an id: of messages `id(prev-id)`, `-` if they have none, with `!` if they are
/// unordered; and of pauses `.` as long as its patience. It ends with one.
fn play(body: &str, script: &str) -> String {
    let mut hold = Hold::new(Some(body));
    let mut got = Vec::new();
    for word in script.split(' ').chain(["."]) {
        got.extend(match word.trim_end_matches([')', '!']).split_once('(') {
            Some((id, prev_id)) => hold.offer(Message {
                no_seq: word.ends_with('!'),
                ..message(id.trim_matches('-'), prev_id)
            }),
            None => hold.wait(STREAM_PATIENCE),
        });
    }
    assert_eq!(hold.ids.deadline(), None, "{script}");
    got.join(" ")
}

#[test]
fn s19_without_an_id_in_the_body_everything_goes_out_as_it_comes() {
    let mut hold = Hold::new(None);
    let got = offer_all(&mut hold, &[("7", "3"), ("2", "9"), ("", "x"), ("2", "")]);
    assert_eq!(got, ["7", "2", "-", "2"]);
    assert_eq!(hold.ids.deadline(), None);
}

#[test]
fn channels_do_not_wait_for_each_other() {
    let channels = [channel(Some("1")), channel(Some("1")), channel(None)];
    let mut ids = Ids::new(&channels, HoldMode::Stream);
    let now = Instant::now();
    let mut offer = |index, id, prev_id| {
        let placed = Placed {
            at: Position::new(7),
            late: false,
            anew: false,
            nth: 0,
            form: None,
            message: Arc::new(message(id, prev_id)),
        };
        ids.offer(index, placed, || now).is_some()
    };
    assert!(!offer(0, "3", "2"));
    assert!(offer(1, "2", "1"));
    assert!(offer(2, "5", "4"));
    assert_eq!(ids.last_withheld(), Some(Position::new(7)));
    let known: Vec<_> = ids.known().map(|(index, id)| (index, &**id)).collect();
    assert_eq!(known, [(0, "1"), (1, "2")]);
}
