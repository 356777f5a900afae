//! Those who ask.

use super::*;

pub type Service = gripstack::hold::GripHold<Inner>;

pub fn ask(
    service: &Service,
    request: http::Request<gripstack::EdgeBody>,
) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
    Box::pin(service.clone().oneshot(request))
}

/// A stream's client: comes back when it ends.
pub async fn streamer(world: Arc<World>, service: Service, name: String) {
    loop {
        let Ok(Ok(response)) = tokio::time::timeout(
            Duration::from_secs(60),
            ask(&service, request(Method::GET, "/stream", &[("host", "h")])),
        )
        .await
        else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        let marked = is_gap(&response);
        if response.status() != 200 {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let mut body = response.into_body();
        let mut at: Option<[usize; 2]> = None;
        let mut seen = [0, 0];
        loop {
            // Not while it begins: what is gone then is forgiven.
            if world.kind.entries < 10 && seen != at.unwrap_or(seen) && world.one_in(4) {
                sleep(Duration::from_millis(world.roll(3_000))).await;
            }
            let Some(Ok(frame)) = body.frame().await else {
                break;
            };
            let data = frame.into_data().expect("no trailers");
            for line in std::str::from_utf8(&data)
                .expect("text")
                .lines()
                .filter(|line| !line.is_empty())
            {
                world.tell(format!("{name} {line}{}", if marked { " marked" } else { "" }));
                if line.starts_with('[') {
                    let named = numbers(line);
                    at = Some(named);
                    seen = named;
                    continue;
                }
                let (c, n) = item(line).expect("a message");
                let named = at.expect("after the body");
                if world.kind.ids {
                    let unsure = world.kind.latest || !world.kind.links || (world.kind.loses && named[c] > 0);
                    if n <= named[c] && !unsure {
                        world.wrong(format!("{name} got {line}, which its body contains"));
                    }
                    if n <= seen[c] && !(unsure && n <= named[c]) {
                        world.wrong(format!("{name} got {line} after {seen:?}"));
                    }
                }
                // What it has not had is lost, in another form, or an older state.
                let before = seen[c].max(named[c]);
                if n > before && !marked && world.kind.ids {
                    for missing in before + 1..n {
                        let other = world.change(c, missing);
                        if !other.lost && other.stream && !other.latest {
                            world.wrong(format!("{name} got {line} without {missing}"));
                        }
                    }
                }
                seen[c] = seen[c].max(n);
            }
        }
        sleep(Duration::from_millis(world.roll(700))).await;
    }
}

pub fn is_gap(response: &http::Response<gripstack::EdgeBody>) -> bool {
    let mut said = response.headers().get_all("cache-status").iter();
    said.any(|said| said.as_bytes().ends_with(b"detail=gap"))
}

/// A long poll's client with ids: it says what it has.
pub async fn poll_by_ids(world: Arc<World>, service: Service, name: String, has: Arc<Mutex<[usize; 2]>>) {
    loop {
        let since = *has.lock();
        let path = format!("/ids/{},{}", since[0], since[1]);
        let response = ask(&service, request(Method::GET, &path, &[("host", "h")])).await;
        let Ok(response) = response else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        if response.status() != 200 {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let marked = is_gap(&response);
        let text = text(response).await;
        world.tell(format!(
            "{name} since {since:?} got {}{}",
            text.trim(),
            if marked { " marked" } else { "" }
        ));
        match item(&text) {
            None => {
                let named = numbers(&text);
                let mut has = has.lock();
                *has = [has[0].max(named[0]), has[1].max(named[1])];
            }
            Some((c, n)) => {
                if n <= since[c] {
                    if world.kind.below == Below::Origin && !world.kind.latest && !world.kind.loses && !marked
                    {
                        world.wrong(format!("{name} got {} although it had {since:?}", text.trim()));
                    }
                    continue;
                }
                let change = world.change(c, n);
                for missing in since[c] + 1..n {
                    let other = world.change(c, missing);
                    if !marked && !other.lost && other.response && !other.latest && !change.latest {
                        world.wrong(format!(
                            "{name} since {since:?} got {} without {missing}",
                            text.trim()
                        ));
                    }
                }
                has.lock()[c] = n;
            }
        }
        sleep(Duration::from_millis(world.roll(500))).await;
    }
}

/// A long poll's client that says nothing: whatever comes while it waits answers it.
pub async fn poll_alone(world: Arc<World>, service: Service, name: String, method: Method) {
    loop {
        let arrived = world.edge.hub().now().get();
        let response = ask(&service, request(method.clone(), "/alone", &[("host", "h")])).await;
        let Ok(response) = response else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        let marked = is_gap(&response);
        if response.status() != 200 {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let text = text(response).await;
        let now = world.edge.hub().now().get();
        world.tell(format!(
            "{name} from {arrived} got {}{}",
            text.trim(),
            if marked { " marked" } else { "" }
        ));
        let answers = |after: u64, before: u64| {
            let mut found = None;
            for c in [0, 1] {
                for (n, change) in world.changes[c].lock().iter().enumerate() {
                    let at = change.at.unwrap_or(u64::MAX);
                    if change.response && at > after && at < before && !change.latest {
                        found = Some(format!("{}{}", CHANNELS[c], n + 1));
                    }
                }
            }
            found
        };
        match item(&text) {
            Some((c, n)) => {
                let at = world.change(c, n).at.unwrap_or(u64::MAX);
                if at <= arrived {
                    world.wrong(format!(
                        "{name} from {arrived} got the old {} of {at}",
                        text.trim()
                    ));
                }
                if let Some(missed) = answers(arrived, at)
                    && !marked
                    && !world.kind.ids
                {
                    world.wrong(format!(
                        "{name} from {arrived} got {} before {missed}",
                        text.trim()
                    ));
                }
            }
            None => {
                // With ids of which an origin says that its client has them, they are no news.
                let named = numbers(&text);
                let knows = world.kind.ids && (world.kind.below == Below::Origin || method == Method::POST);
                if let Some(missed) = answers(arrived, now + 1)
                    && !marked
                    && !knows
                {
                    world.wrong(format!(
                        "{name} from {arrived} to {now} got {} instead of {missed}",
                        text.trim()
                    ));
                }
                if !marked && method == Method::GET {
                    for c in [0, 1] {
                        for n in named[c] + 1..=world.stored(Instant::now())[c] {
                            let change = world.change(c, n);
                            if change.at.is_some_and(|at| at <= arrived) {
                                world.wrong(format!(
                                    "{name} from {arrived} got {} without {}{n}",
                                    text.trim(),
                                    CHANNELS[c]
                                ));
                            }
                        }
                    }
                }
            }
        }
        sleep(Duration::from_millis(world.roll(500))).await;
    }
}

/// Notes where each change was accepted.
pub async fn watch(world: Arc<World>) {
    use gripstack::hub::{Delivery, Wants};
    let names = CHANNELS.map(channel);
    let open = |wants| {
        let stamp = world.edge.hub().stamp_at(gripstack::Position::ZERO);
        world
            .edge
            .hub()
            .subscribe(&names, stamp, wants)
            .expect("at the beginning")
    };
    let (mut streams, mut polls) = (open(Wants::Stream), open(Wants::Response));
    loop {
        let delivery = tokio::select! {
            biased;
            delivery = streams.next() => delivery,
            delivery = polls.next() => delivery,
        };
        if let Delivery::Message { at, message, .. } = delivery {
            let stream = match &message.stream {
                Some(gripstack::message::StreamForm::Send(bytes)) => Some(bytes.clone()),
                _ => None,
            };
            let response = match &message.response {
                Some(gripstack::message::ResponseForm::Send(pushed)) => Some(pushed.body.clone()),
                _ => None,
            };
            if let Some(bytes) = stream.or(response)
                && let Some((c, n)) = item(std::str::from_utf8(&bytes).expect("text"))
            {
                world.note(c, n, at.get());
            }
        }
    }
}
