//! Repeats one scene, for callgrind to count: `instructions SCENE TIMES`. `tests/cost.rs` runs it twice and takes
//! the difference, so that what only happens once falls out.

mod scenes;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (scene, times) = (arguments.next(), arguments.next());
    let (Some(scene), Some(times)) = (scene, times.and_then(|times| times.parse().ok())) else {
        println!(
            "usage: instructions SCENE TIMES\nscenes: {}",
            scenes::SCENES.join(" ")
        );
        return;
    };
    scenes::prepare(&scene)(times);
}
