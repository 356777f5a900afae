//! What an answer does.

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

use super::answer::{self, Said};
use super::channels::published_name;
use super::end::SocketEnd;
use super::output::{AskKind, Output};
use super::quiet::Quiet;
use super::request::Request;
use super::session::{Client, Origin, Session};
use crate::grip::CloseFrame;
use crate::grip::ws_control::{Control, ControlError, Part, Verdict, judge};
use crate::grip::ws_events::Event;
use crate::message::SocketKind;
use crate::time::after;

/// A filter's name that is longer is none of those that there are, and is left out like any unknown one. So a
/// subscription has a size.
const MAX_FILTER_NAME_BYTES: usize = 64;

// === impl Session ===

impl Session {
    /// What the origin answered, with its whole body: as much of it as
    /// [`MAX_EVENTS_BYTES`](crate::grip::ws_events::MAX_EVENTS_BYTES) and one byte, if it is longer.
    pub(crate) fn answered(&mut self, response: Response<Bytes>, now: Instant) {
        let Request::Running { offered, is_all, .. } = self.request else {
            return;
        };
        self.request = Request::Idle;
        self.retries = 0;
        match self.origin {
            Origin::Opening => self.opened(response, now),
            Origin::Done => {}
            Origin::Open | Origin::Awaited { .. } | Origin::Last => {
                if let Err(end) = self.went_on(&response, offered as usize, is_all, now) {
                    self.fail(end);
                }
            }
        }
    }

    /// The answer to `OPEN`.
    fn opened(&mut self, response: Response<Bytes>, now: Instant) {
        if !answer::has_events(&response) {
            self.done();
            if self.client == Client::Pending {
                let refusal = Box::new(answer::refusal(response));
                self.outputs.push_back(Output::Refuse(refusal));
                self.client = Client::Gone;
            }
            return;
        }
        let said = match self.take_in(&response, 0) {
            Ok((said, _)) => said,
            Err(end) => return self.fail(end),
        };
        let mut events = said.events.into_iter();
        match (events.next(), self.interval) {
            (Some(Event::Open), _) => {}
            // It has not decided, and is asked again.
            (None, Some(interval)) if self.client == Client::Pending => {
                self.due = Some(after(now, interval));
                return;
            }
            (None, Some(_)) => return self.tell_last(Event::Disconnect),
            _ => return self.fail(SocketEnd::Open),
        }
        self.prefix = said.fields.prefix;
        self.origin = Origin::Open;
        if self.client == Client::Pending {
            let headers = answer::handshake(response.into_parts().0.headers);
            self.outputs.push_back(Output::Accept(headers));
            self.client = Client::Open;
            let config = self.config.clone();
            for channel in &config.implicit {
                self.join(channel.clone(), Vec::new());
            }
        } else {
            // It left meanwhile.
            self.tell_last(Event::Disconnect);
        }
        self.apply(events, now);
        self.wait_for_silence(now);
    }

    /// The answer to any later request, with so many events of the backlog.
    fn went_on(
        &mut self,
        response: &Response<Bytes>,
        offered: usize,
        is_all: bool,
        now: Instant,
    ) -> Result<(), SocketEnd> {
        let was_last = self.origin == Origin::Last;
        let is_told = offered == self.backlog.len();
        let (said, progress) = self.take_in(response, offered)?;
        // To accept nothing is to wait for more, which has come, or may come.
        let has_room = self.origin != Origin::Open || !self.backlog.is_full() || self.backlog.has_news();
        let can_grow = is_all && has_room;
        if !progress && !can_grow && !was_last {
            return Err(SocketEnd::Stuck);
        }
        self.apply(said.events.into_iter(), now);
        match self.origin {
            Origin::Last if was_last && is_told => self.done(),
            // Before the last event there is what will not be accepted.
            Origin::Last if was_last && !progress && !is_all => self.backlog.keep_last(),
            Origin::Awaited { .. } if !is_told => {}
            Origin::Awaited { .. } if progress && !self.backlog.is_empty() => self.want(AskKind::Events),
            Origin::Awaited { .. } => self.is_unanswered(now),
            Origin::Open if self.backlog.is_full() => self.want(AskKind::Events),
            Origin::Open | Origin::Opening | Origin::Last | Origin::Done => self.wait_for_silence(now),
        }
        Ok(())
    }

    /// What an answer says, and whether it accepted anything of the first so many events.
    fn take_in(&mut self, response: &Response<Bytes>, offered: usize) -> Result<(Said, bool), SocketEnd> {
        let said = answer::read(response)?;
        self.meta
            .apply(response.headers())
            .map_err(|_| SocketEnd::Fields)?;
        let progress = self.backlog.accept(offered, said.fields.accepted);
        let progress = progress.map_err(|_| SocketEnd::Accepted)?;
        self.interval = said.fields.keep_alive.after(self.interval);
        Ok((said, progress))
    }

    fn wait_for_silence(&mut self, now: Instant) {
        if self.origin == Origin::Open {
            self.due = self.interval.map(|interval| after(now, interval));
        }
    }

    /// Does what the events say, up to the one that ends the connection.
    fn apply(&mut self, events: impl Iterator<Item = Event>, now: Instant) {
        for event in events {
            if let Some((kind, content)) = event.as_message() {
                self.origin_says(kind, content, now);
                continue;
            }
            match event {
                Event::Open => self.fail(SocketEnd::Open),
                Event::Close(frame) => self.origin_closes(frame, now),
                _ => self.origin_disconnects(),
            }
            break;
        }
    }

    fn origin_says(&mut self, kind: SocketKind, content: &Bytes, now: Instant) {
        if self.client != Client::Open {
            return;
        }
        match judge(self.prefix.as_ref(), kind, Part::Whole, content) {
            Verdict::Pass(content) => self.say(kind, content, now),
            Verdict::Drop(reason) => {
                let reason = reason.as_str();
                tracing::debug!(target: "gripstack::hold", reason, "an origin's message is dropped");
            }
            Verdict::Control(json) => match Control::from_json(json) {
                Ok(control) => self.control(control, now),
                Err(ControlError::TooManyFilters(_)) => {
                    let frame = CloseFrame::new(1011, "").expect("a code of RFC 6455");
                    self.close(frame, SocketEnd::Filters, now);
                }
                Err(_) => {
                    tracing::debug!(target: "gripstack::hold", "an origin's control message is malformed");
                }
            },
        }
    }

    fn control(&mut self, control: Control, now: Instant) {
        match control {
            Control::Subscribe { channel, filters } => {
                if let Some(channel) = published_name(&self.config.channel_prefix, &channel) {
                    self.join(channel, filters);
                }
            }
            Control::Unsubscribe { channel } => {
                let channel = published_name(&self.config.channel_prefix, &channel);
                let channel = channel.filter(|channel| !self.config.implicit.contains(channel));
                if let Some(channel) = channel.filter(|channel| self.channels.leave(channel)) {
                    self.outputs.push_back(Output::Leave(channel));
                }
            }
            Control::Detach => {
                if self.origin == Origin::Open {
                    self.tell_last(Event::Close(None));
                }
            }
            Control::SetMeta { name, value } => {
                self.filter_meta.get_or_insert_default().set(name, value);
            }
            Control::KeepAlive(asked) => {
                self.quiet().keep_alive(asked, now);
                self.forget_quiet();
            }
            Control::SendDelayed(message) => {
                if let Some((kind, content)) = self.quiet().delay(message, now) {
                    self.say(kind, content, now);
                }
            }
            Control::FlushDelayed => {
                if let Some((kind, content)) = self.quiet.as_mut().and_then(|quiet| quiet.flush()) {
                    self.say(kind, content, now);
                }
                self.forget_quiet();
            }
            // There is no state service.
            Control::Session { .. } => {}
        }
    }

    fn join(&mut self, channel: crate::message::Channel, mut filters: Vec<Box<str>>) {
        if self.channels.join(&channel) {
            filters.retain(|name| name.len() <= MAX_FILTER_NAME_BYTES);
            self.outputs.push_back(Output::Join { channel, filters });
        }
    }

    fn quiet(&mut self) -> &mut Quiet {
        self.quiet.get_or_insert_default()
    }

    /// Lets go of what waits for nothing.
    pub(super) fn forget_quiet(&mut self) {
        self.quiet.take_if(|quiet| quiet.is_idle());
    }
}
