//! Which conversations somebody is a member of, and what one of them is or was.

use kernel::{
    conversation::{ConversationState, Refusal},
    history::{Extent, Listed, Order},
    identity::Identity,
};
use schemas::{ConversationId, Epoch, Position, Role, Timestamp, Title, UserId, Visibility};
use serde::Serialize;
use warp::reply::Response;

use super::{Query, Readable, Refused, Store, events::EVENTS_PAGE_LEN, ok};
use crate::time_travel::{AsOf, fold_at};

#[derive(Serialize)]
struct ConversationsPage {
    conversations: Vec<Listed>,
    more: bool,
}

#[derive(Serialize)]
struct Conversation<'a> {
    #[serde(rename = "conversation")]
    id: &'a ConversationId,
    title: Option<&'a Title>,
    visibility: Visibility,
    archived: bool,
    creator: &'a UserId,
    created_at: Timestamp,
    members: Vec<Member<'a>>,
    offset: Position,
    epoch: Epoch,
}

#[derive(Serialize)]
struct Member<'a> {
    user: &'a UserId,
    role: Role,
}

impl Store {
    pub(super) async fn conversations(&self, identity: &Identity, query: &str) -> Result<Response, Refused> {
        let query = Query::parse(query, &["limit", "after"])?;
        let (limit, after) = (query.limit()?, query.get::<ConversationId>("after")?);
        self.freshness.reach_all().await?;
        let user = &identity.user;
        let conversations = self.history.conversations_of(user, after.as_ref(), limit).await?;
        let more = match conversations.last() {
            Some(last) if conversations.len() == limit => {
                let further = self.history.conversations_of(user, Some(&last.conversation), 1).await?;
                !further.is_empty()
            }
            _ => false,
        };
        Ok(ok(ConversationsPage { conversations, more }))
    }

    pub(super) async fn conversation(
        &self,
        identity: &Identity,
        id: &str,
        query: &str,
    ) -> Result<Response, Refused> {
        let as_of = Query::parse(query, &["as_of"])?.get::<AsOf>("as_of")?;
        let readable = self.readable(identity, id).await?;
        let state = match as_of {
            // Nothing has happened since.
            Some(as_of) if as_of.up_to() < readable.state.position || matches!(as_of, AsOf::Time(_)) => {
                self.state_at(&readable, as_of).await?.ok_or(Refusal::UnknownConversation)?
            }
            _ => readable.state,
        };
        Ok(ok(self.shown(&state)))
    }

    /// The conversation as it was then; `None`: it did not exist yet.
    async fn state_at(&self, readable: &Readable, as_of: AsOf) -> Result<Option<ConversationState>, Refused> {
        let up_to = readable.position.min(as_of.up_to());
        let (mut state, mut after) = (None, Position::START);
        loop {
            let extent = Extent { after, up_to, order: Order::Ascending, limit: EVENTS_PAGE_LEN };
            let page = self.history.events(&readable.id, extent).await?;
            fold_at(&mut state, &page, as_of);
            match page.last() {
                Some(last) if page.len() == EVENTS_PAGE_LEN => after = last.offset.position(),
                _ => return Ok(state),
            }
        }
    }

    fn shown<'a>(&self, state: &'a ConversationState) -> Conversation<'a> {
        Conversation {
            id: &state.conversation,
            title: state.title.as_ref(),
            visibility: state.visibility,
            archived: state.archived,
            creator: &state.creator,
            created_at: state.created_at,
            members: state.members().map(|(user, role)| Member { user, role }).collect(),
            offset: state.position,
            epoch: self.log.epoch(),
        }
    }
}
