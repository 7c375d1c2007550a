//! What somebody has not read.

use kernel::{
    identity::Identity,
    inbox::{self, Ask},
};
use schemas::ConversationId;
use warp::reply::Response;

use super::{Query, Refused, Store, ok};

impl Store {
    pub(super) async fn inbox(&self, identity: &Identity, query: &str) -> Result<Response, Refused> {
        let query = Query::parse(query, &["limit", "after", "unread"])?;
        let (limit, after) = (query.limit()?, query.get::<ConversationId>("after")?);
        let unread = query.get::<bool>("unread")?.unwrap_or(false);
        self.freshness.reach_all().await?;
        let ask = Ask { after: after.as_ref(), limit, unread };
        Ok(ok(inbox::page(&*self.history, &identity.user, ask).await?))
    }
}
