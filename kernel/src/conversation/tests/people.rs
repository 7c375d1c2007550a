//! Who may do what, and who is a member after it.

use schemas::event::Role;

use super::*;

const EVERYBODY: [&str; 5] = ["ann", "moe", "bob", "zoe", "rex"];

/// As the others, and `rex` was removed; `zoe` is a stranger.
fn with_removed(visibility: Visibility) -> Case {
    let mut case = Case::new(visibility);
    case.does("ann", body::joined("rex"));
    case.does("ann", body::removed("rex"));
    case
}

/// Tries the act as each of [`EVERYBODY`] on a case of its own; `None` means that it counts.
fn assert_row(visibility: Visibility, act: &EventBody, expected: [Option<Refusal>; 5]) {
    for (actor, expected) in EVERYBODY.into_iter().zip(expected) {
        let mut case = with_removed(visibility);
        case.fold("cid", "m", body::posted("hi")).unwrap();
        let verdict = case.tries(actor, act.clone());
        let expected = expected.map_or(Ok(()), |refusal| Err(Void::Against(refusal)));
        assert_eq!(verdict, expected, "{visibility:?}, {actor}: {act:?}");
    }
}

#[test]
fn in_an_open_conversation_strangers_write_and_roles_govern() {
    const REMOVED: Option<Refusal> = Some(Refusal::Removed);
    const LOW: Option<Refusal> = Some(Refusal::RoleTooLow);
    const OTHER: Option<Refusal> = Some(Refusal::NotTheAuthor);
    let rows = [
        (body::posted("hi"), [None, None, None, None, REMOVED]),
        (body::reacted("m", "yes", true), [None, None, None, None, REMOVED]),
        (body::reacted("m", "yes", false), [None, None, None, None, REMOVED]),
        (body::read(1), [None, None, None, None, REMOVED]),
        (body::edited("m", "ho"), [OTHER, OTHER, OTHER, OTHER, REMOVED]),
        (body::redacted("m"), [None, None, LOW, LOW, REMOVED]),
        (body::retitled("Tea"), [None, None, LOW, LOW, REMOVED]),
        (body::archived(true), [None, LOW, LOW, LOW, REMOVED]),
        (body::joined("dan"), [None, None, LOW, LOW, REMOVED]),
        (body::removed("cid"), [None, None, LOW, LOW, REMOVED]),
        (body::role("cid", Role::Owner), [None, LOW, LOW, LOW, REMOVED]),
        (body::renamed("dan"), [None, None, None, None, REMOVED]),
    ];
    for (act, expected) in rows {
        assert_row(Visibility::Open, &act, expected);
    }
}

#[test]
fn in_a_private_conversation_strangers_do_nothing() {
    const REMOVED: Option<Refusal> = Some(Refusal::Removed);
    const STRANGER: Option<Refusal> = Some(Refusal::NotAMember);
    const LOW: Option<Refusal> = Some(Refusal::RoleTooLow);
    let rows = [
        (body::posted("hi"), [None, None, None, STRANGER, REMOVED]),
        (body::reacted("m", "yes", true), [None, None, None, STRANGER, REMOVED]),
        (body::read(1), [None, None, None, STRANGER, REMOVED]),
        (body::redacted("m"), [None, None, LOW, STRANGER, REMOVED]),
        (body::retitled("Tea"), [None, None, LOW, STRANGER, REMOVED]),
        (body::archived(true), [None, LOW, LOW, STRANGER, REMOVED]),
        (body::joined("dan"), [None, None, LOW, STRANGER, REMOVED]),
        (body::joined("zoe"), [None, None, LOW, STRANGER, REMOVED]),
        (body::removed("cid"), [None, None, LOW, STRANGER, REMOVED]),
        (body::role("cid", Role::Moderator), [None, LOW, LOW, STRANGER, REMOVED]),
        (body::renamed("dan"), [None, None, None, STRANGER, REMOVED]),
    ];
    for (act, expected) in rows {
        assert_row(Visibility::Private, &act, expected);
    }
}

#[test]
fn the_founder_is_owner_even_if_named_among_the_members() {
    let mut case = Case::default();
    case.does("ann", body::created(Visibility::Private, &["ann", "bob"]));
    assert_eq!(case.standing("ann"), Some(Standing::Owner));
    assert_eq!(case.standing("bob"), Some(Standing::Member));
    let names: Vec<_> = case.state().members().map(|(name, role)| (name.as_str(), role)).collect();
    assert_eq!(names, [("ann", Role::Owner), ("bob", Role::Member)]);
}

#[test]
fn members_read_and_in_an_open_conversation_so_does_everybody_who_was_not_removed() {
    for (visibility, stranger) in [(Visibility::Open, true), (Visibility::Private, false)] {
        let mut case = with_removed(visibility);
        case.does("cid", body::left());
        let may = |name: &str| case.state().may_read(&user(name));
        assert_eq!([may("bob"), may("zoe"), may("cid"), may("rex")], [true, stranger, stranger, false]);
    }
}

#[test]
fn leave_to_read_may_be_given_to_everybody_who_was_not_removed() {
    for visibility in [Visibility::Open, Visibility::Private] {
        let mut case = with_removed(visibility);
        case.does("cid", body::left());
        let may = |name: &str| case.state().may_be_granted(&user(name));
        assert_eq!([may("bob"), may("zoe"), may("cid"), may("rex")], [true, true, true, false]);
    }
}

#[test]
fn joining_again_keeps_the_role_and_coming_back_is_as_a_member() {
    let mut case = Case::open();
    case.does("moe", body::joined("moe"));
    assert_eq!(case.standing("moe"), Some(Standing::Moderator));
    case.does("moe", body::left());
    assert_eq!(case.standing("moe"), Some(Standing::Left));
    case.does("moe", body::joined("moe"));
    assert_eq!(case.standing("moe"), Some(Standing::Member));
}

#[test]
fn who_was_removed_comes_back_only_by_being_added() {
    for visibility in [Visibility::Open, Visibility::Private] {
        let mut case = with_removed(visibility);
        case.refuses("rex", body::joined("rex"), Refusal::Removed);
        case.refuses("rex", body::left(), Refusal::Removed);
        case.does("moe", body::joined("rex"));
        assert_eq!(case.standing("rex"), Some(Standing::Member));
        case.does("rex", body::posted("back"));
    }
}

#[test]
fn who_may_not_be_here_leaves_no_parting_words() {
    let mut case = Case::private();
    case.refuses("zoe", body::left(), Refusal::NotAMember);
    case.does("bob", body::left());
    case.refuses("bob", body::left(), Refusal::NotAMember);
    let mut case = Case::open();
    case.does("zoe", body::left());
    assert_eq!(case.standing("zoe"), None, "an imported conversation may begin in the middle");
}

#[test]
fn moderators_remove_members_and_owners_everybody_but_themselves() {
    let mut case = Case::open();
    case.does("ann", body::role("cid", Role::Moderator));
    case.refuses("moe", body::removed("cid"), Refusal::RoleTooLow);
    case.refuses("moe", body::removed("ann"), Refusal::RoleTooLow);
    case.refuses("moe", body::removed("moe"), Refusal::RoleTooLow);
    case.refuses("ann", body::removed("ann"), Refusal::RoleTooLow);
    case.does("moe", body::removed("bob"));
    case.does("ann", body::removed("moe"));
    case.does("ann", body::role("cid", Role::Owner));
    case.does("ann", body::removed("cid"));
    assert_eq!(case.standing("cid"), Some(Standing::Removed));
}

#[test]
fn one_who_never_joined_can_be_kept_out_of_an_open_conversation() {
    let mut case = Case::open();
    case.does("moe", body::removed("zoe"));
    case.refuses("zoe", body::posted("hi"), Refusal::Removed);
    case.refuses("moe", body::removed("zoe"), Refusal::NoSuchMember);
    Case::private().refuses("moe", body::removed("zoe"), Refusal::NoSuchMember);
}

#[test]
fn roles_are_given_to_members_alone() {
    let mut case = with_removed(Visibility::Open);
    for name in ["zoe", "rex"] {
        case.refuses("ann", body::role(name, Role::Moderator), Refusal::NoSuchMember);
    }
}

#[test]
fn the_last_owner_stays_while_others_do() {
    let mut case = Case::open();
    case.refuses("ann", body::left(), Refusal::LastOwner);
    case.refuses("ann", body::role("ann", Role::Moderator), Refusal::LastOwner);
    case.does("ann", body::role("ann", Role::Owner));
    for name in ["moe", "bob", "cid"] {
        case.does(name, body::left());
    }
    case.refuses("ann", body::role("ann", Role::Member), Refusal::LastOwner);
    case.does("ann", body::left());
}

#[test]
fn of_two_owners_who_leave_at_once_the_second_stays() {
    let mut case = Case::open();
    case.does("ann", body::role("bob", Role::Owner));
    for name in ["ann", "bob"] {
        let leave = Command::Leave { parting_words: schemas::PartingWords::default() };
        assert!(matches!(case.decides(name, leave, None), Ok(Decision::Append(_))), "each may, for now");
    }
    case.does("bob", body::left());
    case.refuses("ann", body::left(), Refusal::LastOwner);
    assert_eq!(case.standing("ann"), Some(Standing::Owner));
}

#[test]
fn another_name_takes_over_how_the_old_one_stood() {
    let mut case = Case::open();
    case.does("ann", body::renamed("anna"));
    assert_eq!((case.standing("ann"), case.standing("anna")), (Some(Standing::Left), Some(Standing::Owner)));
    case.does("moe", body::renamed("bob"));
    assert_eq!(case.standing("bob"), Some(Standing::Moderator), "the higher of the two");
    case.does("cid", body::renamed("bob"));
    assert_eq!(case.standing("bob"), Some(Standing::Moderator), "and never the lower");
    let before = case.state().standings.clone();
    case.does("bob", body::renamed("bob"));
    case.does("zoe", body::renamed("zora"));
    assert_eq!(case.state().standings, before, "the same name, and a stranger's, leave no trace");
}

#[test]
fn a_full_conversation_takes_nobody_new_and_keeps_whom_it_knows() {
    let mut case = Case::open();
    let state = case.state.as_mut().unwrap();
    for number in state.standings.len()..schemas::caps::STANDINGS_MAX - 1 {
        state.standings.insert(user(&format!("n{number}")), Standing::Left);
    }
    case.does("zoe", body::joined("zoe"));
    assert_eq!(case.state().standings.len(), schemas::caps::STANDINGS_MAX);
    case.refuses("dan", body::joined("dan"), Refusal::Full);
    case.refuses("ann", body::joined("dan"), Refusal::Full);
    case.refuses("ann", body::removed("dan"), Refusal::Full);
    case.refuses("bob", body::renamed("dan"), Refusal::Full);
    case.does("n10", body::joined("n10"));
    case.does("bob", body::renamed("zoe"));
    case.does("dan", body::posted("who does not stand towards it may still write"));
}
