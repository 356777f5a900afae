//! What a load is told, line by line. Its end is the load's end, so that no load outlives who started it.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use mio::Waker;

/// Reads standard input beside; `waker` is called for each line.
pub fn listen(waker: Option<Waker>) -> Receiver<String> {
    let (sender, orders) = mpsc::channel();
    let waker = waker.map(Arc::new);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
            if let Some(waker) = &waker {
                let _ = waker.wake();
            }
        }
        std::process::exit(0);
    });
    orders
}
