//! Who is here: the sessions subscribed to each conversation, over all shards of this process.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use schemas::ConversationId;

use crate::protocol::ClientInfo;

/// Most sessions that one presence answer lists.
const PRESENCE_LEN_MAX: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    here: Mutex<HashMap<ConversationId, BTreeMap<String, ClientInfo>>>,
}

impl Presence {
    pub(crate) fn enter(&self, conversation: &ConversationId, info: ClientInfo) {
        self.here.lock().entry(conversation.clone()).or_default().insert(info.client.clone(), info);
    }

    pub(crate) fn leave(&self, conversation: &ConversationId, client: &str) {
        let mut here = self.here.lock();
        if let Some(clients) = here.get_mut(conversation) {
            clients.remove(client);
            if clients.is_empty() {
                here.remove(conversation);
            }
        }
    }

    /// The sessions that are here, by client id.
    pub(crate) fn list(&self, conversation: &ConversationId) -> BTreeMap<String, ClientInfo> {
        let here = self.here.lock();
        let clients = here.get(conversation).into_iter().flatten();
        clients.take(PRESENCE_LEN_MAX).map(|(client, info)| (client.clone(), info.clone())).collect()
    }

    /// How many sessions, and how many people, are here.
    pub(crate) fn count(&self, conversation: &ConversationId) -> (u32, u32) {
        let here = self.here.lock();
        let Some(clients) = here.get(conversation) else { return (0, 0) };
        let users: HashSet<_> = clients.values().map(|info| &info.user).collect();
        let counted = |len| u32::try_from(len).unwrap_or(u32::MAX);
        (counted(clients.len()), counted(users.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sessions_of_one_person_are_two_clients_and_one_user() {
        let (presence, tea) = (Presence::default(), "tea".parse().unwrap());
        for (user, client) in [("ann", "1"), ("ann", "2"), ("bob", "3")] {
            presence.enter(&tea, ClientInfo { user: user.to_owned(), client: client.to_owned() });
        }
        assert_eq!(presence.count(&tea), (3, 2));
        presence.leave(&tea, "1");
        assert_eq!(presence.count(&tea), (2, 2));
        presence.leave(&tea, "2");
        presence.leave(&tea, "3");
        assert!(presence.list(&tea).is_empty());
        assert!(presence.here.lock().is_empty(), "a conversation without sessions keeps nothing");
    }
}
