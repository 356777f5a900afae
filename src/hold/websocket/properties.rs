//! Properties: whatever comes in whatever order, nothing is lost, doubled or reordered, one request is under way, and
//! all ends.

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{Answers, Happens, Then, World};
use super::*;
use crate::message::SocketKind;

fn kind() -> impl Strategy<Value = SocketKind> {
    use SocketKind::{Binary, Ping, Pong, Text};
    prop::sample::select(vec![Text, Binary, Ping, Pong])
}

fn answers() -> impl Strategy<Value = Answers> {
    let then = prop_oneof![
        30 => Just(Then::Nothing),
        1 => Just(Then::Close),
        1 => Just(Then::Disconnect),
        1 => Just(Then::Detach),
        1 => Just(Then::Status),
    ];
    let accepts = prop_oneof![2 => Just(None), 1 => Just(Some(0)), 3 => any::<u8>().prop_map(Some)];
    let interval = prop_oneof![4 => Just(None), 1 => (0u8..40).prop_map(Some)];
    (accepts, 0usize..3, then, interval).prop_map(|(accepts, says, then, interval)| Answers {
        accepts,
        says,
        then,
        interval,
    })
}

fn happens() -> impl Strategy<Value = Happens> {
    use NoAnswer::{NotReached, SentInPart, SentWhole};
    prop_oneof![
        30 => (kind(), 0usize..6).prop_map(|(kind, len)| Happens::Says(kind, len)),
        2 => any::<bool>().prop_map(Happens::Closes),
        1 => Just(Happens::Lost),
        1 => Just(Happens::Fault),
        12 => Just(Happens::Publish),
        1 => Just(Happens::PublishClose),
        6 => Just(Happens::Refresh),
        1 => Just(Happens::Drain),
        12 => (0u64..40).prop_map(Happens::Passes),
        40 => answers().prop_map(Happens::Answer),
        8 => prop_oneof![4 => Just(NotReached), 4 => Just(SentInPart), 1 => Just(SentWhole)]
            .prop_map(Happens::Fails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        one_event: bool,
        undecided in 0usize..3,
        all in vec(happens(), 0..80),
    ) {
        let mut world = World::new(one_event);
        for _ in 0..undecided {
            world.happens(Happens::Answer(Answers {
                accepts: None, says: 0, then: Then::Nothing, interval: Some(20),
            }));
            world.happens(Happens::Passes(20));
        }
        for what in all {
            world.happens(what);
        }
        world.ends();
    }
}
