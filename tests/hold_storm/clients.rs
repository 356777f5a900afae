//! Those who ask.

use super::*;

pub type Service = gripstack::hold::GripHold<Inner>;

pub fn ask_of(service: &Service, request: Request<EdgeBody>) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
    Box::pin(service.clone().oneshot(request))
}

pub fn is_marked_by<B>(response: &Response<B>) -> bool {
    let marks = ["outage", "paced", "swr", "gap", "foreign-age"];
    let said = response.headers().get_all("cache-status");
    { said }.iter().any(|said| {
        let said = said.to_str().expect("text");
        marks.iter().any(|mark| said.contains(&format!("detail={mark}")))
    })
}

pub fn values(line: &str) -> Option<Values> {
    let inner = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut all = inner.split(',').map(|part| part.parse().expect("a number"));
    Some(std::array::from_fn(|_| all.next().expect("four")))
}

pub fn item(text: &str) -> Option<(usize, u64)> {
    let text = text.trim();
    let c = CHANNELS.iter().position(|name| text.starts_with(name))?;
    Some((c, text[1..].parse().expect("a number")))
}

pub async fn collected(response: Response<EdgeBody>) -> Option<String> {
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some(String::from_utf8(body.to_vec()).expect("text"))
}

pub async fn reader(world: Arc<World>, service: Service, name: String) {
    loop {
        world.pause([50, 800, 4_000][world.roll(3) as usize]).await;
        let path = ["/j", "/m"][world.roll(2) as usize];
        let v = ["a", "b"][world.roll(2) as usize];
        let floor = world.floor(path);
        let ask = request(
            Method::GET,
            path,
            &[("host", "h"), ("x-v", v), ("accept", "application/json")],
        );
        let Ok(response) = ask_of(&service, ask).await else {
            continue;
        };
        let is_marked = is_marked_by(&response);
        let (status, said) = (
            response.status(),
            format!("{:?}", response.headers().get_all("cache-status")),
        );
        let Some(text) = collected(response).await else {
            continue;
        };
        world.tell(format!("{name} {path} {status} {} {said}", text.trim()));
        if let Some(values) = values(&text) {
            world.check(&name, path, values, floor, is_marked, false);
        }
    }
}

pub async fn poller(world: Arc<World>, service: Service, name: String, conditional: bool) {
    let mut known: Option<(String, Values)> = None;
    loop {
        world.pause([5, 300, 3_000][world.roll(3) as usize]).await;
        let floor = world.floor("/p");
        let arrived = world.edge.hub().now().get();
        let mut fields = vec![("host", "h"), ("x-v", "a")];
        let sent = known.clone().filter(|_| conditional);
        if let Some((tag, _)) = &sent {
            fields.push(("if-none-match", tag));
        }
        let Ok(response) = ask_of(&service, request(Method::GET, "/p", &fields)).await else {
            continue;
        };
        let is_marked = is_marked_by(&response);
        let status = response.status().as_u16();
        let said = format!("{:?}", response.headers().get_all("cache-status"));
        let Some(text) = collected(response).await else {
            continue;
        };
        let now = world.edge.hub().now().get();
        world.tell(format!(
            "{name} from {arrived} {sent:?} {status} {} {said}",
            text.trim()
        ));
        if status >= 500 {
            continue;
        }
        // What was accepted while it waited.
        let first = |upto: u64| {
            let state = world.state.lock();
            let came = |(at, c, n): &&(u64, usize, u64)| {
                *at > arrived && *at < upto && !state.latest.contains(&(*c, *n))
            };
            state.answers.iter().find(came).copied()
        };
        // An origin that is asked in its name says what it has.
        let knows = world.kind.ids
            && (world.kind.policy == "no-store" || (world.kind.policy == "no-cache" && world.kind.tags == 0));
        let contained = sent.as_ref().map(|(_, values)| *values);
        if let Some((c, n)) = item(&text) {
            // When it is answered at once, its publisher does not know yet where it was accepted.
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(1)).await;
            let at = {
                world
                    .state
                    .lock()
                    .answers
                    .iter()
                    .find(|(_, oc, on)| (*oc, *on) == (c, n))
                    .copied()
            };
            if let Some((at, ..)) = at {
                if at <= arrived {
                    world.wrong(format!("{name} from {arrived} got the old {}", text.trim()));
                }
                // With ids each channel has an order of its own.
                if let Some(missed) = first(at)
                    && !is_marked
                    && !knows
                    && (missed.1 == c || !world.kind.ids)
                    && contained.is_none_or(|values| missed.2 > values[missed.1])
                {
                    world.wrong(format!(
                        "{name} from {arrived} got {} before {missed:?}",
                        text.trim()
                    ));
                }
            }
            if contained.is_some_and(|values| n <= values[c])
                && world.kind.ids
                && !world.kind.latest
                && !is_marked
            {
                world.wrong(format!("{name} got {} which it had: {contained:?}", text.trim()));
            }
            known = None;
            continue;
        }
        let got = match status {
            304 => contained.expect("it was asked with a condition"),
            _ => values(&text).expect("a body"),
        };
        world.check(&name, "/p", got, floor, is_marked, false);
        // A 304 of the origin's without instructions is no hold.
        if let Some(missed) = first(now + 1)
            && !is_marked
            && !knows
            && (status != 304 || world.kind.talks)
            && got[missed.1] < missed.2
        {
            world.wrong(format!("{name} from {arrived} got {got:?} without {missed:?}"));
        }
        let tag = match world.kind.tags {
            0 => None,
            1 => Some("\""),
            _ => Some("W/\""),
        };
        known = tag.map(|open| {
            (
                format!("{open}{}response\"", format!("{got:?}").replace(' ', "")),
                got,
            )
        });
    }
}

pub async fn streamer(world: Arc<World>, service: Service, name: String) {
    loop {
        world.pause([5, 500, 3_000][world.roll(3) as usize]).await;
        let path = ["/s", "/m"][world.roll(2) as usize];
        let v = ["a", "b"][world.roll(2) as usize];
        let floor = world.floor(path);
        let ask = request(
            Method::GET,
            path,
            &[("host", "h"), ("x-v", v), ("accept", "text/event-stream")],
        );
        let Ok(response) = ask_of(&service, ask).await else {
            continue;
        };
        let is_marked = is_marked_by(&response);
        let said = format!("{:?}", response.headers().get_all("cache-status"));
        world.tell(format!("{name} {path} {} {said}", response.status()));
        if response.status() != 200 {
            continue;
        }
        let is_slow = world.one_in(4);
        let leaves = world.one_in(3).then(|| world.roll(8));
        let mut body = response.into_body();
        let (mut text, mut named, mut has) = (String::new(), None::<Values>, [0, 0]);
        let mut count = 0;
        loop {
            if is_slow {
                world.pause(4_000).await;
            }
            let Some(Ok(frame)) = body.frame().await else {
                break;
            };
            let frame = frame.into_data().expect("no trailers");
            text.push_str(std::str::from_utf8(&frame).expect("text"));
            while let Some(end) = text.find('\n') {
                let line: String = text.drain(..=end).collect();
                world.tell(format!("{name} {}", line.trim()));
                let Some(body) = named else {
                    let got = values(&line).expect("the body comes first");
                    world.check(&name, path, got, floor, is_marked, true);
                    named = Some(got);
                    has = [got[0], got[1]];
                    if !is_marked && !is_slow {
                        world.state.lock().open.insert(name.clone(), has);
                    }
                    continue;
                };
                let (c, n) = item(&line).expect("a message");
                count += 1;
                let unsure = world.kind.latest;
                if n <= body[c] && world.kind.ids && !unsure {
                    world.wrong(format!("{name} got {} which its body has: {body:?}", line.trim()));
                }
                if n <= has[c] && (world.kind.ids || has[c] > body[c]) && !(unsure && n <= body[c]) {
                    world.wrong(format!("{name} got {} after {has:?}", line.trim()));
                }
                let missing = {
                    let state = world.state.lock();
                    let is_excused =
                        |n: &u64| state.latest.contains(&(c, *n)) || state.no_stream.contains(&(c, *n));
                    (has[c] + 1..n).find(|n| !is_excused(n))
                };
                // Who reads too slowly is cut off; what is gone while the body comes is forgiven (rule D3).
                let begins = world.kind.slow_bodies && has[c] == body[c];
                if let Some(missing) = missing
                    && !is_marked
                    && !((is_slow || begins) && world.kind.entries < 10)
                {
                    world.wrong(format!("{name} got {} without {missing}", line.trim()));
                }
                has[c] = has[c].max(n);
                let mut state = world.state.lock();
                // Whoever asks now gets nothing older.
                state.floor[c] = state.floor[c].max(n);
                if path == "/m" {
                    state.told[c] = state.told[c].max(n);
                }
                if let Some(open) = state.open.get_mut(&name) {
                    *open = has;
                }
            }
            if leaves.is_some_and(|most| count > most) {
                break;
            }
        }
        world.tell(format!("{name} ended"));
        world.state.lock().open.remove(&name);
    }
}
