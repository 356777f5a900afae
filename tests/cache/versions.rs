//! An origin whose answers say what they are: their URL, their version, the fields that they depend on and, where they are
//! for one client, which. Random clients ask for them, while the origin is slow, fails, changes its mind of `Vary` and of who
//! may have an answer, and what changed is announced. Whatever a client gets says whether it may have it.

mod app;
mod client;
mod dice;
mod made;

use std::panic::{AssertUnwindSafe, catch_unwind};

use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::{Edge, EdgeBody, Message, PurgeMode, Target, Url};
use http::{Method, Request, Response};
use tokio::task::JoinHandle;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt, service_fn};

use self::app::{Manners, Shared, URLS, reply};
use self::client::{Asked, check};
use self::dice::Dice;
use crate::origin::{Origin, Refused};
use crate::world::{Ask, Got, HOST, ask, channel, ms, secs, settle};

/// Seeds that are tried: more with `GRIPSTACK_FULL=1`.
fn seeds() -> u64 {
    match std::env::var("GRIPSTACK_FULL") {
        Ok(is_full) if is_full == "1" => 5_000,
        _ => 150,
    }
}

/// A number that a variable says.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// An application, the cache in front of it, and what was announced.
struct Play {
    dice: Dice,
    manners: Manners,
    state: Shared,
    edge: Edge,
    service: BoxCloneService<Request<EdgeBody>, Response<EdgeBody>, Refused>,
}

// === impl Play ===

impl Play {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let manners = Manners::of(&dice);
        let state = Shared::default();
        let origin: Origin = {
            let (dice, state, manners) = (dice.clone(), state.clone(), manners.clone());
            Origin::new(move |call| reply(call, &dice, &state, &manners))
        };
        let way = dice.clone();
        let below = service_fn(move |request: Request<EdgeBody>| {
            let mut origin = origin.clone();
            let takes = ms(*way.of(&[0, 0, 0, 50, 1_000]));
            async move {
                tokio::time::sleep(takes).await;
                origin.call(request).await
            }
        });
        let edge = Edge::builder().cache(Self::config(&dice, &manners)).build();
        let service = BoxCloneService::new(edge.cache_layer().layer(below));
        Self {
            dice,
            manners,
            state,
            edge,
            service,
        }
    }

    fn config(dice: &Dice, manners: &Manners) -> CacheConfig {
        let mut config = CacheConfig::new()
            .interval(ms(*dice.of(&[0, 200, 1_000])))
            .paced_reads(*dice.of(&[PacedReads::Wait, PacedReads::Stale]));
        if manners.keeps_good {
            return config;
        }
        if dice.one_in(3) {
            config = config.capacity_bytes(12 << 10).max_object_bytes(1 << 10);
        }
        if dice.one_in(4) {
            config = config.max_object_bytes(40);
        }
        if dice.one_in(4) {
            config = config.flight_budget_bytes(*dice.of(&[1, 200, 500]));
        }
        config
    }

    /// Sends a request, and looks at what comes.
    fn send(&self, (ask, asked): (Ask, Asked)) -> JoinHandle<()> {
        let (service, state, manners) = (self.service.clone(), self.state.clone(), self.manners.clone());
        let pause = ms(*self.dice.of(&[0, 0, 0, 0, 10, 3_000, 40_000]));
        tokio::spawn(async move {
            let answer = tokio::time::timeout(secs(400), async {
                let response = service.oneshot(ask.into_request()).await.ok()?;
                // It reads when it likes.
                tokio::time::sleep(pause).await;
                Some(Got::of(response).await)
            });
            match answer.await.expect("it does not hang") {
                None => assert!(!asked.expects_good, "it had a good copy: {asked:?}"),
                Some(got) => {
                    let check = || check(&asked, &got, &mut state.lock(), &manners);
                    assert!(
                        catch_unwind(AssertUnwindSafe(check)).is_ok(),
                        "{asked:#?}\n{got:#?}"
                    );
                }
            }
        })
    }

    /// A change by an unsafe method. Whoever comes after its answer is bound by it.
    fn post(&self) -> JoinHandle<()> {
        let url = self.dice.roll(2) as usize;
        let (service, state) = (self.service.clone(), self.state.clone());
        tokio::spawn(async move {
            let post = ask(Method::POST, URLS[url]).into_request();
            if let Ok(response) = service.oneshot(post).await {
                let version = Got::of(response).await.body.parse().expect("a number");
                state.lock().announced(url, version, false);
            }
        })
    }

    async fn purge(&self, target: Target, mode: PurgeMode) {
        self.edge.purge(target, mode).await.expect("accepted");
    }

    async fn publish(&self, name: &str) -> u64 {
        let accepted = self.edge.publish(channel(name), Message::bytes("new")).await;
        accepted.expect("accepted").get()
    }

    /// A change that is announced, in that order.
    async fn change(&self) {
        let Self {
            dice, manners, state, ..
        } = self;
        let url = dice.roll(2) as usize;
        let version = state.lock().change(url);
        if dice.one_in(2) {
            tokio::task::yield_now().await;
        }
        if manners.has_channels && dice.one_in(3) {
            let at = self.publish(&format!("c{url}")).await;
            state.lock().urls[url].messages.push((at, version));
            state.lock().announced(url, version, false);
            return;
        }
        let target = match dice.roll(4) {
            0 => Target::Key(format!("k{url}").into()),
            1 if manners.has_channels => Target::channel(&channel(&format!("c{url}"))),
            _ => Target::Url(Url::new(HOST, URLS[url])),
        };
        let soft = [PurgeMode::Soft, PurgeMode::SoftBlock];
        let mode = match manners.keeps_good || dice.one_in(2) {
            true => *dice.of(&soft),
            false => PurgeMode::Hard,
        };
        // What is below is purged first.
        state.lock().urls[url].foreign = None;
        self.purge(target, mode).await;
        state.lock().announced(url, version, mode == PurgeMode::Hard);
    }

    /// A purge of all there is.
    async fn purge_all(&self) {
        let Self {
            dice, manners, state, ..
        } = self;
        let target = dice.of(&[Target::Everything, Target::host(HOST)]).clone();
        let modes = [PurgeMode::Soft, PurgeMode::SoftBlock, PurgeMode::Hard];
        let mode = *dice.of(&modes[..if manners.keeps_good { 2 } else { 3 }]);
        for url in &mut state.lock().urls {
            url.foreign = None;
        }
        self.purge(target, mode).await;
        let mut state = state.lock();
        for url in 0..URLS.len() {
            let version = state.urls[url].version;
            state.announced(url, version, mode == PurgeMode::Hard);
        }
    }

    async fn run(self, steps: usize) {
        let dice = &self.dice;
        let mut clients = Vec::new();
        for _ in 0..steps {
            match dice.roll(13) {
                0..7 => {
                    let request = Asked::any(dice, &self.manners, &mut self.state.lock());
                    clients.push(self.send(request));
                    if dice.one_in(2) {
                        tokio::task::yield_now().await;
                    }
                }
                7 if !clients.is_empty() && dice.one_in(4) => {
                    let gone = clients.swap_remove(dice.roll(clients.len() as u64) as usize);
                    match gone.is_finished() {
                        true => gone.await.expect("it got what it may have"),
                        false => gone.abort(),
                    }
                }
                8 | 9 => self.change().await,
                // A foreign cache does not see it.
                10 if !self.manners.is_foreign => clients.push(self.post()),
                11 => match dice.roll(4) {
                    0 if self.manners.has_channels => {
                        self.publish(&format!("d{}", dice.roll(3))).await;
                    }
                    1 => self.purge_all().await,
                    _ => tokio::task::yield_now().await,
                },
                _ => tokio::time::sleep(ms(*dice.of(&[1, 1, 20, 300, 1_100, 6_000, 21_000]))).await,
            }
        }
        for client in clients {
            client.await.expect("it got what it may have");
        }
        settle().await;
    }
}

/// `GRIPSTACK_SEED` repeats one, `GRIPSTACK_FIRST` says with which to begin.
#[test]
fn c4_c5_no_client_gets_what_is_not_for_it() {
    let only = number("GRIPSTACK_SEED");
    let first = only.or(number("GRIPSTACK_FIRST")).unwrap_or_default();
    let seeds = only.map_or_else(|| number("GRIPSTACK_SEEDS").unwrap_or_else(seeds), |_| 1);
    for seed in first..first + seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let played = catch_unwind(|| runtime.block_on(async { Play::new(seed).run(80).await }));
        assert!(played.is_ok(), "seed {seed}");
    }
}
