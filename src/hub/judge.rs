//! What happened to a stored answer's targets and channels since its stamp.

use super::Hub;
use crate::marks::Standing;
use crate::message::Channel;
use crate::order::TargetKey;
use crate::position::Position;

/// What happened since a stamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judgement {
    /// To the targets.
    pub(crate) standing: Standing,
    /// The last mark of the targets.
    pub(crate) last_mark: Position,
    /// The last message of the channels.
    pub(crate) last_message: Position,
}

// === impl Hub ===

impl Hub {
    /// What happened to these targets and channels since the stamp.
    pub(crate) fn judge(&self, keys: &[&[TargetKey]], channels: &[Channel], stamp: Position) -> Judgement {
        if stamp >= self.now() {
            return Judgement {
                standing: Standing::Clean,
                last_mark: Position::ZERO,
                last_message: Position::ZERO,
            };
        }
        let state = self.0.state.read();
        let last_mark = state.marks.last(keys);
        Judgement {
            standing: if last_mark > stamp {
                state.marks.standing(keys, stamp)
            } else {
                Standing::Clean
            },
            last_mark,
            last_message: channels
                .iter()
                .map(|c| state.registry.last(c))
                .max()
                .unwrap_or_default(),
        }
    }
}
