//! Beginnings, messages, archives, and what `decide` adds to the law.

use schemas::{Position, event::Role};

use super::*;

#[test]
fn a_conversation_begins_with_its_creation_and_does_so_once() {
    let acts = [
        body::posted("hi"),
        body::joined("ann"),
        body::left(),
        body::retitled("Tea"),
        body::read(0),
        body::renamed("anna"),
        body::redacted("m"),
    ];
    for act in acts {
        let mut case = Case::default();
        case.refuses("ann", act, Refusal::UnknownConversation);
        assert_eq!(case.state, None);
    }
    let mut case = Case::open();
    case.refuses("ann", body::created(Visibility::Private, &[]), Refusal::ConversationExists);
    case.refuses("zoe", body::created(Visibility::Open, &[]), Refusal::ConversationExists);
}

#[test]
fn a_change_must_name_something() {
    let nothing = schemas::event::ConversationChanged { title: None, archived: None };
    Case::open().refuses("ann", nothing.into(), Refusal::NothingToChange);
}

#[test]
fn a_change_changes_what_it_names() {
    let mut case = Case::open();
    case.does("ann", body::retitled("Tea"));
    case.does("ann", body::archived(true));
    assert_eq!((case.state().title.as_ref().unwrap().as_str(), case.state().archived), ("Tea", true));
    case.does("moe", body::retitled("Coffee"));
    assert_eq!((case.state().title.as_ref().unwrap().as_str(), case.state().archived), ("Coffee", true));
    case.does("ann", body::archived(false));
    assert!(!case.state().archived);
}

#[test]
fn what_is_archived_is_closed_for_writing_but_not_for_good() {
    let mut case = Case::open();
    case.fold("bob", "m", body::posted("hi")).unwrap();
    case.does("ann", body::archived(true));
    let writing = [
        body::posted("hi"),
        body::edited("m", "ho"),
        body::redacted("m"),
        body::reacted("m", "yes", true),
        body::reacted("m", "yes", false),
        body::joined("bob"),
        body::renamed("bobby"),
    ];
    for act in writing {
        case.refuses("bob", act, Refusal::Archived);
    }
    case.refuses("ann", body::joined("zoe"), Refusal::Archived);
    case.refuses("ann", body::role("bob", Role::Owner), Refusal::Archived);
    for (actor, act) in [("bob", body::read(1)), ("bob", body::left()), ("ann", body::removed("cid"))] {
        case.does(actor, act);
    }
    case.refuses("moe", body::archived(false), Refusal::RoleTooLow);
    case.does("ann", body::archived(false));
    case.does("moe", body::posted("on we go"));
}

#[test]
fn authors_edit_and_moderators_only_redact() {
    let mut case = Case::open();
    case.fold("bob", "m", body::posted("hi")).unwrap();
    case.fold("bob", "n", body::posted("hi")).unwrap();
    case.refuses("cid", body::edited("m", "ho"), Refusal::NotTheAuthor);
    case.refuses("ann", body::edited("m", "ho"), Refusal::NotTheAuthor);
    case.does("bob", body::edited("m", "ho"));
    case.refuses("cid", body::redacted("m"), Refusal::RoleTooLow);
    case.does("bob", body::redacted("m"));
    case.does("moe", body::redacted("n"));
}

#[test]
fn nothing_is_done_to_a_redacted_message() {
    let mut case = Case::open();
    case.fold("bob", "m", body::posted("hi")).unwrap();
    case.does("bob", body::redacted("m"));
    let acts = [
        body::edited("m", "ho"),
        body::redacted("m"),
        body::reacted("m", "yes", true),
        body::reacted("m", "yes", false),
    ];
    for act in acts {
        case.refuses("bob", act, Refusal::Redacted);
    }
}

#[test]
fn an_id_is_used_once_by_whomever_and_for_whatever() {
    let mut case = Case::open();
    case.fold("bob", "m", body::posted("hi")).unwrap();
    for (actor, act) in [("bob", body::posted("hi")), ("ann", body::retitled("Tea")), ("zoe", body::read(1))]
    {
        assert_eq!(case.fold(actor, "m", act), Err(Void::Repeated(event_id("m"))));
    }
    assert_eq!(case.fold("zoe", "v", body::retitled("Tea")), Err(Refusal::RoleTooLow.into()));
    assert_eq!(case.fold("zoe", "v", body::posted("hi")), Ok(()), "a void event has not used its id");
}

#[test]
fn a_decision_is_the_event_that_was_asked_for() {
    let case = Case { now: 7, ..Case::open() };
    let command = Command::AddMember { member: user("zoe") };
    let expected = ChatEvent {
        event_id: event_id("fresh"),
        conversation: "tea".parse().unwrap(),
        actor: user("moe"),
        occurred_at: Timestamp::from_millis(7),
        body: body::joined("zoe"),
    };
    assert_eq!(case.decides("moe", command, None), Ok(Decision::Append(expected)));
}

#[test]
fn what_is_so_already_needs_no_event() {
    let mut case = Case::open();
    case.does("cid", body::left());
    let already = Ok(Decision::Already(case.state().position));
    assert_ne!(case.state().position, Position::START);
    let leave = || Command::Leave { parting_words: schemas::PartingWords::default() };
    let add = |name| Command::AddMember { member: user(name) };
    let role = |name, role| Command::SetRole { member: user(name), role };
    assert_eq!(case.decides("bob", Command::Join, None), already);
    assert_eq!(case.decides("cid", leave(), None), already);
    assert_eq!(case.decides("bob", add("moe"), None), already, "bob could not add moe, but need not");
    assert_eq!(case.decides("ann", role("moe", Role::Moderator), None), already);
    assert!(matches!(case.decides("ann", role("moe", Role::Owner), None), Ok(Decision::Append(_))));
    assert!(matches!(case.decides("cid", Command::Join, None), Ok(Decision::Append(_))));
}

#[test]
fn nobody_learns_from_an_answer_who_is_a_member_of_a_private_conversation() {
    let case = Case::private();
    let commands = [
        Command::AddMember { member: user("bob") },
        Command::SetRole { member: user("bob"), role: Role::Member },
    ];
    for command in commands {
        assert_eq!(case.decides("zoe", command, None), Err(Refusal::NotAMember));
    }
}

#[test]
fn a_decision_knows_of_the_message_what_it_is_told() {
    let case = Case::open();
    let edit = || Command::EditMessage { message_id: event_id("m"), text: "ho".parse().unwrap() };
    let redact = || Command::RedactMessage { message_id: event_id("m") };
    let by = |name: &str, redacted| MessageFacts { author: Some(user(name)), redacted };
    let decides = |command, facts| case.decides("bob", command, Some(&facts));
    assert!(decides(edit(), by("bob", false)).is_ok());
    assert_eq!(decides(edit(), by("cid", false)), Err(Refusal::NotTheAuthor));
    assert_eq!(decides(edit(), by("bob", true)), Err(Refusal::Redacted));
    assert_eq!(decides(redact(), by("cid", false)), Err(Refusal::RoleTooLow));
    assert!(case.decides("moe", redact(), Some(&by("cid", false))).is_ok());
    assert!(case.decides("bob", edit(), None).is_ok(), "what is not known does not speak against it");
}

#[test]
fn refusals_have_names_of_their_own() {
    let all = [
        Refusal::UnknownConversation,
        Refusal::ConversationExists,
        Refusal::NotAMember,
        Refusal::Removed,
        Refusal::RoleTooLow,
        Refusal::NoSuchMember,
        Refusal::LastOwner,
        Refusal::Archived,
        Refusal::UnknownMessage,
        Refusal::NotTheAuthor,
        Refusal::Redacted,
        Refusal::IdTaken,
        Refusal::Full,
        Refusal::NothingToChange,
    ];
    let codes: std::collections::BTreeSet<_> = all.iter().map(|refusal| refusal.code()).collect();
    assert_eq!(codes.len(), all.len());
    let settled: Vec<_> = all.into_iter().filter(|refusal| !refusal.could_be_stale()).collect();
    assert_eq!(settled, [Refusal::NotTheAuthor, Refusal::NothingToChange]);
}
