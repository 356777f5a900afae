//! Append-only logs, and cursors that read them.
//!
//! A cached body is a log of chunks that ends; a channel is a log of messages that does not (`hub::topic`). A reader is a
//! cursor and a waker. Memory is the log's, never the reader's: a reader whose entries are gone has *lagged*.
//!
//! A reader goes to sleep with what it has seen of the log's changes, and looks again if there was another one meanwhile,
//! so no append falls between the two. Entries and wakers are their users': under a lock they are moved, never dropped,
//! woken or (wakers) cloned, for that may call back.

#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
mod body;
#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
mod cursor;
pub(crate) mod readers;

#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
pub(crate) use self::body::{End, Log};
#[cfg(any(feature = "cache", all(test, gripstack_shuttle)))]
pub(crate) use self::cursor::{Cursor, Next};
