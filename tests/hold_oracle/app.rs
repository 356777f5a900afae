//! The origin, and the application that publishes.

use super::*;

impl World {
    /// The origin; and where that is meant the foreign cache before it, which keeps answers for some seconds.
    pub async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let before = self.roll(3) * self.roll(800);
        sleep(Duration::from_millis(before)).await;
        if *self.down.lock() {
            return Err("down".into());
        }
        let revalidates = call
            .headers
            .get("cache-control")
            .is_some_and(|value| value == "no-cache");
        let age = match self.kind.below == Below::Foreign && !revalidates {
            true => self.roll(4),
            false => 0,
        };
        let now = Instant::now();
        let made = now
            .checked_sub(Duration::from_millis(age * 1_000))
            .map_or(self.begun, |made| made.max(self.begun));
        let stored = self.stored(made);
        let path = call.uri.path().to_owned();
        let mut response = if let Some(since) = path.strip_prefix("/ids/") {
            let since = numbers(since);
            // Whoever asks with what it has is asking the origin, or a copy made for who has the same.
            if stored[0] > since[0] || stored[1] > since[1] {
                reply(
                    200,
                    &[("cache-control", "no-store")],
                    format!("[{},{}]\n", stored[0], stored[1]),
                )
            } else {
                self.hold("response", [since[0].max(stored[0]), since[1].max(stored[1])])
            }
        } else {
            self.hold(if path == "/stream" { "stream" } else { "response" }, stored)
        };
        if self.kind.below == Below::Foreign {
            response.headers_mut().insert("age", age.into());
        }
        let after = self.roll(3) * self.roll(800);
        self.tell(format!("origin {path} {stored:?} age {age} in {after} ms"));
        sleep(Duration::from_millis(after)).await;
        Ok(response)
    }

    /// Stores changes, and publishes them.
    pub async fn app(self: Arc<Self>) {
        // So that each channel knows a last id.
        for c in [0, 1] {
            let (now, both) = (Instant::now(), true);
            let first = Change {
                stored: now,
                lost: false,
                latest: false,
                stream: both,
                response: both,
                at: None,
            };
            self.changes[c].lock().push(first);
            let text = format!("{}1\n", CHANNELS[c]);
            let mut message = bytes(&text).with_response(PushedResponse::new(text).into());
            if self.kind.ids {
                message = identified(message, "1", "0");
            }
            publish_on(&self.edge, CHANNELS[c], message).await;
        }
        for _ in 0..self.roll(25) + 5 {
            let pause = match self.roll(6) {
                0 => 0,
                1 => 6_000 + self.roll(9_000),
                _ => self.roll(900),
            };
            sleep(Duration::from_millis(pause)).await;
            if self.kind.fails && self.one_in(6) {
                let down = !*self.down.lock();
                *self.down.lock() = down;
                self.tell(format!("down {down}"));
            }
            let mut order = Vec::new();
            for _ in 0..[1, 1, 1, 2, 3][self.roll(5) as usize] {
                let c = self.roll(2) as usize;
                if self.kind.acts && self.one_in(6) {
                    let message = match self.roll(3) {
                        0 => Message::close(),
                        1 => Message::hint(),
                        _ => bytes("\n"),
                    };
                    self.tell(format!("act {} {:?}", CHANNELS[c], message.stream));
                    order.push(Publication::new(channel(CHANNELS[c]), message));
                    continue;
                }
                let form = if self.kind.forms { self.roll(4) } else { 3 };
                let change = Change {
                    stored: Instant::now(),
                    lost: self.kind.loses && self.one_in(5),
                    latest: self.kind.latest && self.one_in(2),
                    stream: form != 0,
                    response: form != 1,
                    at: None,
                };
                let n = {
                    let mut changes = self.changes[c].lock();
                    changes.push(change);
                    changes.len()
                };
                self.tell(format!(
                    "store {}{n} {}{}{}{}",
                    CHANNELS[c],
                    if change.lost { "lost " } else { "" },
                    if change.latest { "latest " } else { "" },
                    if change.stream { "" } else { "no stream " },
                    if change.response { "" } else { "no response " },
                ));
                if change.lost {
                    continue;
                }
                let text = format!("{}{n}\n", CHANNELS[c]);
                let mut message = Message::default();
                if change.stream {
                    message = message.with_stream(gripstack::message::StreamForm::Send(text.clone().into()));
                }
                if change.response {
                    message = message.with_response(PushedResponse::new(text).into());
                }
                if self.kind.ids {
                    message = message.with_id(n.to_string());
                    if self.kind.links {
                        message = message.with_prev_id((n - 1).to_string());
                    }
                }
                let mut publication = Publication::new(channel(CHANNELS[c]), message);
                if change.latest {
                    publication = publication.latest();
                }
                order.push(publication);
            }
            let late = match self.kind.reorders {
                true => self.roll(3) * self.roll(1_200),
                false => 0,
            };
            let world = self.clone();
            let publish = async move {
                sleep(Duration::from_millis(late)).await;
                for publication in &order {
                    world.tell(format!(
                        "publish {} {:?}",
                        publication.channel, publication.message.id
                    ));
                }
                world
                    .edge
                    .submit(order.into_iter().collect::<Order>())
                    .await
                    .expect("accepted");
            };
            if late > 0 {
                tokio::spawn(publish);
            } else if self.kind.ids {
                // Those that wait delay no later one.
                let mut publish = Box::pin(publish);
                let done = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(std::future::Future::poll(publish.as_mut(), cx).is_ready())
                });
                if !done.await {
                    tokio::spawn(publish);
                }
            } else {
                publish.await;
            }
        }
        *self.down.lock() = false;
    }

    /// Where a change was accepted.
    pub fn note(&self, c: usize, n: usize, at: u64) {
        self.tell(format!("accepted {}{n} at {at}", CHANNELS[c]));
        self.changes[c].lock()[n - 1].at = Some(at);
    }
}
