//! What an origin accepted of the events that it was offered (`Content-Bytes-Accepted`).

use std::collections::VecDeque;

use super::Event;

/// What an origin took of the events that it was offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many events it took whole: they are gone. So many less have been offered of those that are left.
    pub events: usize,
    /// How many bytes of content it took.
    pub bytes: usize,
    /// How many bytes of content of the next request it was offered before (`Content-Bytes-Replayed`). A close does not
    /// count, for nothing follows it that could be told apart.
    pub replayed: usize,
}

/// Why an origin cannot have accepted that. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// More than it was offered.
    #[error("{accepted} bytes are accepted, {offered} were offered")]
    MoreThanOffered {
        /// Bytes of content in the request.
        offered: usize,
        /// What the answer says.
        accepted: u64,
    },
    /// All before a close, and not the close: accepting in part is for who waits for more, and nothing comes after it.
    #[error("all is accepted but the close")]
    CloseLeft,
}

/// Bytes of content of these events.
pub fn content_bytes<'a>(events: impl IntoIterator<Item = &'a Event>) -> usize {
    events.into_iter().map(Event::content_bytes).sum()
}

/// Drops from a queue what an origin accepted: so many bytes of content of the first `offered` events, all of them if
/// it does not say how many. What is left of a message is a message of that kind. An event without content is accepted
/// once everything before it is.
///
/// What came into the queue after the offer stays, whatever it is. (The reference proxy drops what has no content.)
///
/// ```
/// use std::collections::VecDeque;
/// use gripstack::grip::ws_events::{Event, drop_accepted};
///
/// let mut queue = VecDeque::from([Event::Text("abcdef".into())]);
/// let accepted = drop_accepted(&mut queue, 1, Some(2))?;
/// assert_eq!((accepted.events, accepted.bytes, accepted.replayed), (0, 2, 4));
/// queue.push_back(Event::Text("GH".into()));
/// assert_eq!(queue, [Event::Text("cdef".into()), Event::Text("GH".into())]);
/// # Ok::<(), gripstack::grip::ws_events::AcceptError>(())
/// ```
///
/// # Errors
///
/// When more is accepted than was offered, or all but a close. The queue is as it was.
pub fn drop_accepted(
    queue: &mut VecDeque<Event>,
    offered: usize,
    accepted: Option<u64>,
) -> Result<Accepted, AcceptError> {
    let offered = offered.min(queue.len());
    let offered_bytes = content_bytes(queue.range(..offered));
    let bytes = match accepted {
        None => offered_bytes,
        Some(accepted) => usize::try_from(accepted)
            .ok()
            .filter(|bytes| *bytes <= offered_bytes)
            .ok_or(AcceptError::MoreThanOffered {
                offered: offered_bytes,
                accepted,
            })?,
    };
    let mut left = bytes;
    let mut events = 0;
    for event in queue.range(..offered) {
        match left.checked_sub(event.content_bytes()) {
            Some(rest) => left = rest,
            None if matches!(event, Event::Close(_)) => return Err(AcceptError::CloseLeft),
            None => break,
        }
        events += 1;
    }
    queue.drain(..events);
    if left > 0 {
        // Only an event with more content than that ended the search.
        queue[0].skip_content(left);
    }
    let again = queue.range(..offered - events);
    let replayed = content_bytes(again.filter(|event| !matches!(event, Event::Close(_))));
    Ok(Accepted {
        events,
        bytes,
        replayed,
    })
}
