//! The clock is given: no test waits.

use super::*;

const MS: Duration = Duration::from_millis(1);
/// A millisecond before [`LIFE`] is over.
const ALMOST: Duration = Duration::from_millis(58_999);

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

fn session(user: &str, client: &str) -> Session {
    Session { user: user.parse().unwrap(), client: client.parse().unwrap() }
}

fn many(len: usize) -> Vec<Session> {
    (0..len).map(|number| session("bob", &format!("{number:06}"))).collect()
}

fn register() -> Register {
    Register::new(Limits::default())
}

/// Everybody who is gone by `now`.
fn expired(register: &mut Register, now: Instant) -> Vec<Session> {
    std::iter::from_fn(|| register.expire(now)).flat_map(|(_, gone)| gone).collect()
}

#[test]
fn two_sessions_of_one_person_are_two_clients_and_one_user() {
    let (mut register, now) = (register(), Instant::now());
    register.enter(&tea(), session("ann", "1"));
    register.hear(&tea(), &[session("ann", "2"), session("bob", "3")], now);
    assert_eq!(register.count(&tea()), (3, 2));
    assert_eq!(register.len(), (1, 2));
    assert!(register.leave(&tea(), &"1".parse().unwrap()));
    assert!(register.forget(&tea(), &"2".parse().unwrap()));
    assert_eq!(register.list(&tea()), [session("bob", "3")]);
    assert!(register.forget(&tea(), &"3".parse().unwrap()));
    assert!(!register.forget(&tea(), &"3".parse().unwrap()));
    assert!(!register.leave(&tea(), &"1".parse().unwrap()));
    assert_eq!(register.len(), (0, 0));
    let Register { conversations, parts, looks, .. } = register;
    let empty = conversations.is_empty() && looks.is_empty() && parts.iter().all(HashSet::is_empty);
    assert!(empty, "a conversation without sessions keeps nothing");
}

#[test]
fn a_session_of_another_node_is_gone_sixty_seconds_after_it_was_heard_of_last() {
    let (mut register, now) = (register(), Instant::now());
    let bob = [session("bob", "1")];
    assert_eq!(register.hear(&tea(), &bob, now).new, bob);
    assert_eq!(expired(&mut register, now + ALMOST), []);
    assert_eq!(register.list(&tea()), bob);
    assert_eq!(register.next_look(), Some(now + LIFE));
    assert_eq!(expired(&mut register, now + LIFE), bob);
    assert!(register.list(&tea()).is_empty() && register.next_look().is_none());
}

#[test]
fn heartbeats_keep_a_session_and_are_no_news() {
    let (mut register, mut now) = (register(), Instant::now());
    let bob = [session("bob", "1")];
    register.hear(&tea(), &bob, now);
    for _ in 0..10 {
        now += ALMOST;
        assert_eq!(expired(&mut register, now), []);
        assert_eq!(register.hear(&tea(), &bob, now), Heard::default());
    }
    assert_eq!(expired(&mut register, now + ALMOST), []);
    assert_eq!(expired(&mut register, now + LIFE), bob);
}

#[test]
fn own_sessions_need_no_heartbeat() {
    let (mut register, now) = (register(), Instant::now());
    register.enter(&tea(), session("ann", "1"));
    assert_eq!(expired(&mut register, now + 1_000 * LIFE), []);
    assert_eq!(register.count(&tea()), (1, 1));
}

#[test]
fn when_a_node_dies_its_sessions_go_and_those_of_others_stay() {
    let (mut register, now) = (register(), Instant::now());
    let (dead, alive) = ([session("bob", "b")], [session("eve", "e")]);
    let cake: ConversationId = "cake".parse().unwrap();
    register.enter(&tea(), session("ann", "a"));
    for conversation in [&tea(), &cake] {
        register.hear(conversation, &dead, now);
        register.hear(conversation, &alive, now + MS);
    }
    // From here on only one node is heard.
    for conversation in [&tea(), &cake] {
        register.hear(conversation, &alive, now + LIFE / 2);
    }
    assert_eq!(expired(&mut register, now + LIFE).len(), 2);
    assert_eq!(register.list(&tea()), [session("ann", "a"), session("eve", "e")]);
    assert_eq!(register.list(&cake), alive);
    // It comes again, and its sessions with it.
    assert_eq!(register.hear(&tea(), &dead, now + 2 * LIFE).new, dead);
}

#[test]
fn a_conversation_remembers_so_many_of_others_and_no_more() {
    let limits = Limits { in_conversation: 3, ..Limits::default() };
    let (mut register, now) = (Register::new(limits), Instant::now());
    assert_eq!(register.hear(&tea(), &many(3), now), Heard { new: many(3), turned_away: 0 });
    assert_eq!(register.hear(&tea(), &many(4), now), Heard { new: Vec::new(), turned_away: 1 });
    assert_eq!(register.count(&tea()), (3, 1));
    // Own ones always have room, and who goes makes some.
    register.enter(&tea(), session("ann", "own"));
    register.forget(&tea(), &"000000".parse().unwrap());
    assert_eq!(register.hear(&tea(), &many(4)[3..], now).turned_away, 0);
    assert_eq!(register.count(&tea()), (4, 2));
}

#[test]
fn a_node_remembers_more_where_its_own_people_are() {
    let limits = Limits { in_conversation: 100, unattended: 3, in_all: 5 };
    let (mut register, now) = (Register::new(limits), Instant::now());
    let cake: ConversationId = "cake".parse().unwrap();
    assert_eq!(register.hear(&cake, &many(4), now).turned_away, 1);
    assert_eq!(register.hear(&tea(), &many(1), now).turned_away, 1);
    register.enter(&tea(), session("ann", "own"));
    assert!(register.is_attended(&tea()) && !register.is_attended(&cake));
    assert_eq!(register.hear(&tea(), &many(3), now), Heard { new: many(2), turned_away: 1 });
    // What was heard of stays known, whatever the limits.
    assert_eq!(register.hear(&cake, &many(3), now), Heard::default());
    assert_eq!(expired(&mut register, now + LIFE).len(), 5);
    assert_eq!(register.len(), (1, 0));
}

#[test]
fn an_answer_lists_so_many_and_counts_all() {
    let mut register = register();
    for session in many(LISTED_MAX + 1) {
        register.enter(&tea(), session);
    }
    assert_eq!(register.list(&tea()).len(), LISTED_MAX);
    assert_eq!(register.count(&tea()).0, LISTED_MAX + 1);
    register.leave(&tea(), &"000000".parse().unwrap());
    assert_eq!(register.list(&tea()).len(), LISTED_MAX);
}

#[test]
fn own_sessions_come_in_pieces_as_long_as_a_signal() {
    for len in [0, 1, SIGNAL_SESSIONS_MAX, SIGNAL_SESSIONS_MAX + 1, 3 * SIGNAL_SESSIONS_MAX] {
        let mut register = register();
        for session in many(len) {
            register.enter(&tea(), session);
        }
        let (mut all, mut pieces) = (Vec::new(), 0);
        loop {
            let piece = register.own(&tea(), all.last().map(|last: &Session| &last.client));
            if piece.is_empty() {
                break;
            }
            pieces += 1;
            all.extend(piece);
        }
        assert_eq!((all, pieces), (many(len), len.div_ceil(SIGNAL_SESSIONS_MAX)));
    }
}

#[test]
fn every_own_conversation_has_one_part_of_the_round_and_parts_are_even() {
    let mut register = register();
    for number in 0..3_000 {
        register.enter(&format!("c{number}").parse().unwrap(), session("ann", "1"));
    }
    let parts: Vec<_> = (0..PARTS).map(|number| register.part(number)).collect();
    assert_eq!(parts.iter().flatten().collect::<HashSet<_>>().len(), 3_000);
    assert!(parts.iter().all(|part| (50..200).contains(&part.len())), "a burst");
    register.leave(&"c0".parse().unwrap(), &"1".parse().unwrap());
    assert_eq!((0..PARTS).map(|number| register.part(number).len()).sum::<usize>(), 2_999);
}
