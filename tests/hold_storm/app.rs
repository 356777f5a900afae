//! The application: what it answers, and what it does to its clients.

use super::*;

impl World {
    /// The application.
    pub async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let path = call.uri.path().to_owned();
        if call.method == Method::POST {
            self.pause(300).await;
            *self.state.lock().posted.entry(path).or_default() += 1;
            self.pause(300).await;
            return Ok(reply(200, &[], "done\n"));
        }
        let slow = [0, 0, 20, 300, 2_500][self.roll(5) as usize];
        self.pause(slow).await;
        let is_down = self.state.lock().down;
        if is_down || self.one_in(self.kind.fails) {
            match self.roll(5) {
                0 => return Err("down".into()),
                1 => return Ok(reply(503, &[("cache-control", "no-store")], "error\n")),
                2 => return Ok(reply(500, &[], "error\n")),
                3 => sleep(Duration::from_secs(20)).await,
                _ => return Ok(reply(502, &[("cache-control", "max-age=1")], "error\n")),
            }
        }
        let values = self.values(&path);
        let text = format!("{values:?}\n").replace(' ', "");
        let asks_stream = call.header("accept") == Some("text/event-stream");
        let mode = match &*path {
            "/s" => Some("stream"),
            "/p" => Some("response"),
            "/m" if asks_stream => Some("stream"),
            _ => None,
        };
        let named = |c: usize| match self.kind.ids {
            true => format!("{}; prev-id={}", CHANNELS[c], values[c]),
            false => CHANNELS[c].into(),
        };
        let channels = format!("{}, {}", named(0), named(1));
        let mut fields: Vec<(&str, String)> = vec![("cache-control", self.kind.policy.into())];
        let mut vary = Vec::new();
        if self.kind.varies {
            vary.push("x-v");
        }
        if path == "/m" {
            vary.push("accept");
        }
        if !vary.is_empty() {
            fields.push(("vary", vary.join(", ")));
        }
        let tag = match self.kind.tags {
            0 => None,
            1 => Some(format!("\"{}{}\"", text.trim(), mode.unwrap_or("page"))),
            _ => Some(format!("W/\"{}{}\"", text.trim(), mode.unwrap_or("page"))),
        };
        let unchanged = tag.is_some() && call.header("if-none-match") == tag.as_deref();
        if let Some(tag) = &tag {
            fields.push(("etag", tag.clone()));
        }
        if !unchanged || self.kind.talks {
            match mode {
                Some(mode) => {
                    fields.push(("grip-hold", mode.into()));
                    fields.push(("grip-channel", channels));
                    fields.push(("grip-timeout", "10".into()));
                }
                None if path == "/m" => {}
                None if self.kind.by_tag => fields.push(("surrogate-key", "k ch:t ch:u".into())),
                None => fields.push(("grip-channel", channels)),
            }
        }
        self.tell(format!("origin {path} {:?} {} {unchanged}", mode, text.trim()));
        let late = [0, 0, 20, 300, 2_500][self.roll(5) as usize];
        self.pause(late).await;
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        if unchanged {
            return Ok(reply(304, &fields, ""));
        }
        let mut response = reply(200, &fields, "");
        *response.body_mut() = if self.kind.slow_bodies {
            let (mut sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
            let world = self.clone();
            let breaks = self.one_in(self.kind.fails * 2);
            tokio::spawn(async move {
                let (one, two) = text.split_at(3);
                for part in [one.to_owned(), two.to_owned()] {
                    let slow = [0, 200, 3_000][world.roll(3) as usize];
                    world.pause(slow).await;
                    if breaks {
                        sender.abort("broken".into());
                        return;
                    }
                    if sender.send_data(part.into()).await.is_err() {
                        return;
                    }
                }
            });
            EdgeBody::new(body)
        } else {
            EdgeBody::from(text)
        };
        Ok(response)
    }

    /// Who changes things.
    pub async fn app(self: Arc<Self>, service: Service) {
        for _ in 0..self.roll(30) + 8 {
            let pause = [0, 5, 200, 1_500, 7_000][self.roll(5) as usize];
            self.pause(pause).await;
            if self.kind.fails < 100 && self.one_in(8) {
                let mut state = self.state.lock();
                state.down = !state.down;
            }
            match self.roll(10) {
                0 => self.purge().await,
                1 => {
                    let path = PATHS[self.roll(4) as usize];
                    let ask = request(Method::POST, path, &[("host", "h")]);
                    if ask_of(&service, ask)
                        .await
                        .is_ok_and(|response| response.status() == 200)
                    {
                        let mut state = self.state.lock();
                        let posted = state.posted.get(path).copied().unwrap_or_default();
                        state.posted_floor.insert(path.into(), posted);
                    }
                    self.tell(format!("posted {path}"));
                }
                2 if self.kind.acts => {
                    let c = self.roll(2) as usize;
                    let message = if self.one_in(2) {
                        Message::close()
                    } else {
                        Message::hint()
                    };
                    self.tell(format!("act {c} {:?}", message.stream));
                    publish_on(&self.edge, CHANNELS[c], message).await;
                }
                _ => self.publish().await,
            }
            if self.one_in(10) {
                self.settle().await;
            }
        }
        self.state.lock().down = false;
        self.settle().await;
    }

    pub async fn purge(&self) {
        let x = {
            let mut state = self.state.lock();
            state.stored[2] += 1;
            state.stored[2]
        };
        let mode = [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft][self.roll(3) as usize];
        self.pause(100).await;
        let order = Order::purge(Target::host("h"), mode);
        self.edge.submit(order).await.expect("accepted");
        self.tell(format!("purged {x} {mode:?}"));
        let mut state = self.state.lock();
        state.floor[2] = state.floor[2].max(x);
        if mode == PurgeMode::Hard {
            state.hard = state.hard.max(x);
        }
    }

    pub async fn publish(&self) {
        let mut items = Vec::new();
        let mut order = Order::default();
        for _ in 0..[1, 1, 1, 2, 3][self.roll(5) as usize] {
            let c = self.roll(2) as usize;
            let n = {
                let mut state = self.state.lock();
                state.stored[c] += 1;
                state.stored[c]
            };
            let (latest, form) = (
                self.kind.latest && self.one_in(2),
                if self.kind.forms { self.roll(4) } else { 3 },
            );
            let text = format!("{}{n}\n", CHANNELS[c]);
            let mut message = Message::default();
            if form != 0 {
                message = message.with_stream(StreamForm::Send(text.clone().into()));
            } else {
                self.state.lock().no_stream.push((c, n));
            }
            if form != 1 {
                message = message.with_response(PushedResponse::new(text).into());
            }
            if self.kind.ids {
                message = message.with_id(n.to_string()).with_prev_id((n - 1).to_string());
            }
            let mut publication = Publication::new(channel(CHANNELS[c]), message);
            if latest {
                self.state.lock().latest.push((c, n));
                publication = publication.latest();
            }
            order = order.and(publication);
            items.push((c, n, form != 1));
        }
        let with_purge = self.one_in(5);
        let x = with_purge.then(|| {
            let mut state = self.state.lock();
            state.stored[2] += 1;
            state.stored[2]
        });
        if with_purge {
            let mode = [PurgeMode::Hard, PurgeMode::SoftBlock][self.roll(2) as usize];
            order = order.and_purge(Target::host("h"), mode);
        }
        self.pause([0, 50, 400][self.roll(3) as usize]).await;
        let at = self.edge.submit(order).await.expect("accepted").get();
        self.tell(format!("published {items:?} at {at} {x:?}"));
        let mut state = self.state.lock();
        for (c, n, answers) in items {
            state.floor[c] = state.floor[c].max(n);
            if answers {
                state.answers.push((at, c, n));
            }
        }
        if let Some(x) = x {
            state.floor[2] = state.floor[2].max(x);
        }
    }

    /// After a while whoever is there has everything.
    pub async fn settle(&self) {
        let was_down = std::mem::take(&mut self.state.lock().down);
        sleep(Duration::from_secs(40)).await;
        let late = {
            let state = self.state.lock();
            let lacks =
                |c: usize, has: u64| (has + 1..=state.stored[c]).any(|n| !state.no_stream.contains(&(c, n)));
            let late: Vec<_> = (state.open.iter())
                .filter(|(_, has)| lacks(0, has[0]) || lacks(1, has[1]))
                .map(|(name, has)| format!("{name} stays on {has:?} of {:?}", state.stored))
                .collect();
            late
        };
        for late in late {
            self.wrong(late);
        }
        self.state.lock().down = was_down;
    }

    /// Checks a body that was asked for when this was announced.
    pub fn check(
        &self,
        name: &str,
        path: &str,
        values: Values,
        floor: Floor,
        is_marked: bool,
        replays: bool,
    ) {
        if values[2] < floor.hard {
            self.wrong(format!("{name} {path} got {values:?}, purged hard {floor:?}"));
        }
        if is_marked {
            return;
        }
        let old = (0..2).any(|c| values[c] < floor.values[c] && !replays)
            || values[2] < floor.values[2]
            || (values[3] < floor.posted && !replays);
        if old {
            self.wrong(format!("{name} {path} got {values:?}, not {floor:?}"));
        }
    }

    pub fn floor(&self, path: &str) -> Floor {
        let state = self.state.lock();
        let mut values = state.floor;
        if path == "/m" {
            values[..2].copy_from_slice(&state.told);
        }
        Floor {
            values,
            posted: state.posted_floor.get(path).copied().unwrap_or_default(),
            hard: state.hard,
        }
    }
}
