//! Whether an answer may be held from: one rule, of the first answer to a request and of each younger one.

use std::ops::Deref;

use http::{Response, StatusCode};

use super::answer::Answer;
use super::client_request::{ClientRequest, Turn};
use super::failure::HoldError;
use super::original::Again;
use crate::below::Below;
use crate::body::EdgeBody;
use crate::grip::HoldMode;
use crate::hub::Fetch;
use crate::position::Position;

/// An answer that may be held from. Holds are made of nothing else, and it is made only here.
pub(super) struct Holdable {
    answer: Answer,
    mode: HoldMode,
}

/// What an answer is good for.
pub(super) enum Judged {
    Holdable(Holdable),
    Not(NotHeld),
}

/// An answer that is not held.
pub(super) enum NotHeld {
    /// It goes out as it is.
    Plain(Answer),
    /// It goes out as it is, unless there is a whole one to be held from.
    Part(Answer),
    /// It asks for what is not to be had.
    Refused(HoldError),
}

// === impl Holdable ===

impl Holdable {
    /// How it is to be held.
    pub(super) fn mode(&self) -> HoldMode {
        self.mode
    }

    pub(super) fn into_answer(self) -> Answer {
        self.answer
    }
}

impl Deref for Holdable {
    type Target = Answer;

    fn deref(&self) -> &Answer {
        &self.answer
    }
}

// === impl Judged ===

impl Judged {
    fn is_part(&self) -> bool {
        matches!(self, Self::Not(NotHeld::Part(_)))
    }

    /// Whether a long poll that waits has no answer by it: it is held once more, or not to be had.
    pub(super) fn leaves_waiting(&self) -> bool {
        match self {
            Self::Holdable(answer) => answer.mode == HoldMode::Response,
            Self::Not(not) => matches!(not, NotHeld::Refused(_)),
        }
    }
}

// === impl ClientRequest ===

impl<S: Below> ClientRequest<S> {
    /// Whether an answer may be held from.
    pub(super) fn judge(&self, mut answer: Answer) -> Judged {
        let Some(hold) = &answer.instruct.hold else {
            return Judged::Not(NotHeld::Plain(answer));
        };
        let mode = hold.mode;
        let (named, allowed) = (hold.channels.len(), self.shared.options.max_channels);
        if named == 0 {
            self.shared.warn_of_deaf(self.original.describe().1);
        }
        let is_stream = mode == HoldMode::Stream;
        let not = if named > allowed {
            NotHeld::Refused(HoldError::TooManyChannels { named, allowed })
        } else if self.original.is_head() || (is_stream && !answer.has_body()) {
            Answer::stream_head(&mut answer.parts);
            NotHeld::Plain(answer)
        } else if answer.parts.status == StatusCode::PARTIAL_CONTENT {
            NotHeld::Part(answer)
        } else if let Some(coding) = answer.coding().filter(|_| is_stream) {
            NotHeld::Refused(HoldError::Coded(coding))
        } else {
            return Judged::Holdable(Holdable { answer, mode });
        };
        Judged::Not(not)
    }

    /// The first answer, or the whole of which it is a part.
    pub(super) async fn first(&mut self, answer: Answer, fetch: Fetch, from: Position) -> Turn {
        self.note_what_it_has(&answer);
        let judged = self.judge(answer);
        if judged.is_part()
            && let Ok((whole, its_fetch)) = self.ask(Again::default()).await
        {
            self.note_what_it_has(&whole);
            let whole = self.judge(whole);
            if !whole.is_part() {
                return self.anew(whole, its_fetch, Some(from));
            }
        }
        self.anew(judged, fetch, Some(from))
    }

    /// A younger answer, if it is to be held in the same way; whatever else it is, it begins anew.
    #[expect(clippy::result_large_err, reason = "it is moved once, on the way out")]
    pub(super) fn still(
        &self,
        mode: HoldMode,
        judged: Judged,
        fetch: Fetch,
        from: Option<Position>,
    ) -> Result<(Holdable, Fetch), Turn> {
        match judged {
            Judged::Holdable(answer) if answer.mode == mode => Ok((answer, fetch)),
            judged => Err(self.anew(judged, fetch, from)),
        }
    }

    /// A hold of its own, or what the client gets instead.
    pub(super) fn anew(&self, judged: Judged, fetch: Fetch, from: Option<Position>) -> Turn {
        match judged {
            Judged::Holdable(answer) => Turn::Hold { answer, fetch, from },
            Judged::Not(not) => Turn::Done(self.not_held(not)),
        }
    }

    /// What the client gets of an answer that is not held.
    fn not_held(&self, not: NotHeld) -> Response<EdgeBody> {
        match not {
            NotHeld::Plain(answer) | NotHeld::Part(answer) => answer.into_plain(),
            NotHeld::Refused(error) => self.refuse(error),
        }
    }
}
