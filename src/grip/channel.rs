//! The channels of a hold, as they are read or built.

use std::collections::HashMap;

use super::{HoldChannel, InstructError, MAX_FILTERS, MAX_ID_BYTES, syntax};
use crate::message::Channel;

/// Of so few channels one is found by a scan.
const FEW: usize = 16;

/// Distinct channels. A channel named again replaces the earlier one.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    pub(super) all: Vec<HoldChannel>,
    /// Where each is, of more than a [`FEW`].
    places: HashMap<Channel, usize>,
}

// === impl Channels ===

impl Channels {
    /// Checks the channel and adds it. Its index.
    pub(super) fn add(&mut self, channel: HoldChannel) -> Result<usize, InstructError> {
        check(&channel)?;
        if let Some(i) = self.place(&channel.name) {
            self.all[i] = channel;
            return Ok(i);
        }
        let i = self.all.len();
        self.all.push(channel);
        if self.all.len() > FEW {
            let known = self.places.len();
            let new = self.all.iter().enumerate().skip(known);
            self.places
                .extend(new.map(|(i, channel)| (channel.name.clone(), i)));
        }
        Ok(i)
    }

    fn place(&self, name: &Channel) -> Option<usize> {
        if self.places.is_empty() {
            return self.all.iter().position(|known| known.name == *name);
        }
        self.places.get(name).copied()
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
        assert_eq!(channels.add(parse(b"a; prev-id=1").unwrap()), Ok(0));
        assert_eq!(channels.add(parse(b"b").unwrap()), Ok(1));
        assert_eq!(channels.add(parse(b"a; prev-id=2").unwrap()), Ok(0));
        assert_eq!(channels.all.len(), 2);
        assert_eq!(channels.all[0].prev_id.as_deref(), Some("2"));
    }

    #[test]
    fn many_channels_are_distinct_as_well() {
        let mut channels = Channels::default();
        for round in 0..3 {
            for n in 0..1_000 {
                let channel = parse(format!("c{n}; prev-id={round}").as_bytes()).unwrap();
                assert_eq!(channels.add(channel), Ok(n));
            }
        }
        assert_eq!(channels.all.len(), 1_000);
        assert!(
            channels
                .all
                .iter()
                .all(|channel| channel.prev_id.as_deref() == Some("2"))
        );
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
