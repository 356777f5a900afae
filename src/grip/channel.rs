//! The channels of a hold, as they are read or built.

use super::{HoldChannel, InstructError, MAX_CHANNELS, MAX_FILTERS, MAX_ID_BYTES, syntax};
use crate::message::Channel;

/// The first [`MAX_CHANNELS`] distinct channels. A channel named again replaces the earlier one.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    pub(super) kept: Vec<HoldChannel>,
    pub(super) dropped: usize,
}

// === impl Channels ===

impl Channels {
    /// Checks the channel and adds it. Its index, or `None` if it was dropped.
    pub(super) fn add(&mut self, channel: HoldChannel) -> Result<Option<usize>, InstructError> {
        check(&channel)?;
        // The list is short, so a scan beats a map.
        if let Some(i) = self.kept.iter().position(|kept| kept.name == channel.name) {
            self.kept[i] = channel;
            return Ok(Some(i));
        }
        if self.kept.len() == MAX_CHANNELS {
            self.dropped += 1;
            return Ok(None);
        }
        self.kept.push(channel);
        Ok(Some(self.kept.len() - 1))
    }
}

/// Refuses what is beyond the limits.
pub(super) fn check(channel: &HoldChannel) -> Result<(), InstructError> {
    if channel.filters.len() > MAX_FILTERS {
        return Err(InstructError::TooManyFilters(channel.name.clone()));
    }
    if channel.prev_id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
        return Err(InstructError::PrevIdTooLong(channel.name.clone()));
    }
    Ok(())
}

/// Reads one element of a `Grip-Channel`: `name[; prev-id=ID][; filter=F]...`.
pub(super) fn parse(element: &[u8]) -> Result<HoldChannel, InstructError> {
    let (name, params) = syntax::first_and_params(element);
    let mut channel = HoldChannel::new(Channel::new(text(name)?)?);
    for (name, value) in params {
        let Some(value) = value else { continue };
        if name.eq_ignore_ascii_case(b"prev-id") {
            channel.prev_id = Some(text(&value)?.into());
        } else if name == b"filter" {
            if channel.filters.len() == MAX_FILTERS {
                return Err(InstructError::TooManyFilters(channel.name));
            }
            channel.filters.push(text(&value)?.into());
        }
    }
    Ok(channel)
}

fn text(bytes: &[u8]) -> Result<&str, InstructError> {
    std::str::from_utf8(bytes).map_err(|_| InstructError::NotUtf8("Grip-Channel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_with_an_id_and_filters() {
        let channel = parse(br#"a b; Prev-Id="1;2"; filter=x; filter="y"; FILTER=z; other=1"#).unwrap();
        assert_eq!(channel.name.as_str(), "a b");
        assert_eq!(channel.prev_id.as_deref(), Some("1;2"));
        assert_eq!(channel.filters, ["x".into(), "y".into()]);
    }

    #[test]
    fn an_empty_id_counts_and_a_bare_one_does_not() {
        assert_eq!(parse(b"a; prev-id=").unwrap().prev_id.as_deref(), Some(""));
        assert_eq!(parse(b"a; prev-id").unwrap().prev_id, None);
    }

    #[test]
    fn a_channel_named_again_replaces_the_earlier_one() {
        let mut channels = Channels::default();
        assert_eq!(channels.add(parse(b"a; prev-id=1").unwrap()), Ok(Some(0)));
        assert_eq!(channels.add(parse(b"b").unwrap()), Ok(Some(1)));
        assert_eq!(channels.add(parse(b"a; prev-id=2").unwrap()), Ok(Some(0)));
        assert_eq!(channels.kept.len(), 2);
        assert_eq!(channels.kept[0].prev_id.as_deref(), Some("2"));
    }

    #[test]
    fn an_id_has_a_longest_length() {
        let mut channels = Channels::default();
        let longest = format!("a; prev-id={}", "x".repeat(MAX_ID_BYTES));
        assert!(channels.add(parse(longest.as_bytes()).unwrap()).is_ok());
        let error = channels
            .add(parse(format!("{longest}x").as_bytes()).unwrap())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the prev-id of channel 'a' has more than 1024 bytes"
        );
    }
}
