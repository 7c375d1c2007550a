use kernel::{
    clock::Clock,
    inbox::{Entry, Tally},
    testing::World,
};
use schemas::Position;
use tokio::task::LocalSet;

use super::*;
use crate::{
    outbox::Limits,
    protocol::Form,
    sim::{Node, Pipe},
};

fn news(user: &str, offset: u64) -> (UserId, News) {
    let tally = Tally { offset: Position::new(offset), read_up_to: Position::START, unread: 1, mentions: 0 };
    (user.parse().unwrap(), News::Entry(Entry { conversation: "tea".parse().unwrap(), tally }))
}

fn written(pipe: &Pipe) -> String {
    String::from_utf8_lossy(&std::mem::take(&mut *pipe.bytes.borrow_mut())).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_no_room_is_told_that_its_inbox_ended_and_the_others_are_told_the_news() {
    let test = async {
        let world = World::new(1);
        let node = Node::start(&world).await;
        let bob: UserId = "bob".parse().unwrap();
        let session = |name: &str, room, limits| {
            let pipe = Rc::new(Pipe::default());
            pipe.room.set(room);
            let wire = Box::new(Rc::clone(&pipe));
            (Session::new(name.parse().unwrap(), Form::Json, wire, limits, world.clock.now()), pipe)
        };
        let (slow, slow_pipe) = session("slow", 0, Limits { bytes_max: 250, bytes_low: 10 });
        let (fast, fast_pipe) = session("fast", 1 << 20, Limits::default());
        for session in [&slow, &fast] {
            let opened = node.shard.around.inboxes.open(&bob).await.unwrap();
            node.shard.open_inbox(session, &bob, opened);
        }
        node.shard.tell_news(&[news("bob", 1), news("eve", 2), news("bob", 3), news("bob", 4)]);
        let told = written(&fast_pipe);
        assert_eq!(told.matches(r#""conversation":"tea""#).count(), 3, "{told}");
        assert!(!told.contains("unsubscribe"), "{told}");
        slow_pipe.room.set(1 << 20);
        slow.unblocked();
        let told = written(&slow_pipe);
        assert_eq!(told.matches(r#""conversation":"tea""#).count(), 2, "as many as had room: {told}");
        assert_eq!(told.matches(r#""unsubscribe":{"code":2500"#).count(), 1, "{told}");
        node.shard.tell_news(&[news("bob", 5)]);
        assert_eq!(written(&slow_pipe), "", "it has no inbox any more");
        assert!(written(&fast_pipe).contains(r#""offset":5"#));
        assert!(node.shard.close_inbox(&fast) && !node.shard.close_inbox(&slow));
        assert!(node.shard.inboxes.borrow().is_empty());
    };
    LocalSet::new().run_until(test).await;
}
