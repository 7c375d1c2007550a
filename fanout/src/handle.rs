//! What a session's commands do. One at a time, in the order they came.

mod connect;
mod grant;
mod history;
mod inbox;
mod subscribe;
#[cfg(test)]
mod tests;
mod typing;

use std::rc::Rc;

use kernel::identity::{Identity, SubscriptionGrant};
use schemas::ConversationId;

use crate::{
    inbox::CHANNEL,
    protocol::{
        Disconnect, Error, ErrorCode, Method, Outcome, PresenceResult, PresenceStatsResult, PublishRequest,
        RefreshRequest, RefreshResult, RpcRequest, SubscribeRequest, Unsubscribe,
    },
    rpc::{self, RpcError},
    session::{Session, Standing},
    shard::Shard,
};

/// Does the command `id` and writes its reply.
///
/// # Errors
/// The client does not keep to the protocol, and the connection is to be closed.
pub(crate) async fn command(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    id: u32,
    method: Method,
) -> Result<(), Disconnect> {
    let identity = match (session.standing(), &method) {
        (Standing::Rejected, _) => return Ok(()),
        (Standing::New, Method::Connect(request)) => {
            return connect::connect(shard, session, id, request).await;
        }
        (Standing::New, _) | (Standing::Connected(_), Method::Connect(_)) => {
            return Err(Disconnect::BAD_REQUEST);
        }
        (Standing::Connected(identity), _) => identity,
    };
    if id == 0 && !matches!(method, Method::Send) {
        return Err(Disconnect::BAD_REQUEST);
    }
    let at = Asked { shard, session, identity, id };
    match method {
        Method::Subscribe(request) if request.channel == CHANNEL => {
            let opened = inbox::subscribe(&at, &request).await;
            at.answer(opened.map(|result| at.reply(Outcome::Subscribe(result))));
        }
        Method::Subscribe(request) => match grant::of(&at, &request.channel, &request.token) {
            Ok(grant) => at.answer(at.subscribe(&request, grant).await),
            Err(error) => at.fail(grant::refusal(&error)?),
        },
        Method::Unsubscribe(request) => at.unsubscribe(&request.channel),
        Method::Publish(request) => at.answer_rpc(at.publish(request).await),
        Method::Rpc(request) => at.answer_rpc(at.rpc(request).await),
        Method::Presence(request) => at.presence(&request.channel, false).await,
        Method::PresenceStats(request) => at.presence(&request.channel, true).await,
        Method::History(request) => at.answer(history::history(&at, &request).await),
        Method::Refresh(request) => return at.refresh(&request),
        Method::SubRefresh(request) => at.reply(grant::refresh(&at, &request)?),
        // A message without an answer; there is nothing that it could mean here.
        Method::Send => {}
        Method::Connect(_) | Method::Pong | Method::Unknown => return Err(Disconnect::BAD_REQUEST),
    }
    Ok(())
}

/// A command of a connected session, and where the answer goes.
pub(crate) struct Asked<'a> {
    pub(crate) shard: &'a Rc<Shard>,
    pub(crate) session: &'a Rc<Session>,
    pub(crate) identity: Identity,
    pub(crate) id: u32,
}

impl Asked<'_> {
    /// Writes the reply to this command.
    pub(crate) fn reply(&self, outcome: Outcome) {
        self.session.reply(self.id, outcome);
    }

    fn fail(&self, error: ErrorCode) {
        self.reply(Outcome::Error(error.into()));
    }

    /// Writes the error, if it is one; otherwise the reply was written.
    fn answer(&self, answered: Result<(), ErrorCode>) {
        if let Err(error) = answered {
            self.fail(error);
        }
    }

    fn answer_rpc(&self, answer: Result<Outcome, RpcError>) {
        self.reply(match answer {
            Ok(outcome) => outcome,
            Err(RpcError { code, message }) => Outcome::Error(Error::new(code, message)),
        });
    }

    /// The conversation, if this person may read it, or has leave to by a subscription of this session.
    ///
    /// # Errors
    /// As the client is to be told.
    pub(crate) async fn readable(
        &self,
        channel: &str,
    ) -> Result<(ConversationId, Rc<crate::subscription::Topic>), ErrorCode> {
        let conversation: ConversationId = channel.parse().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let grant = self.session.subscription(&conversation).and_then(|subscription| subscription.grant());
        subscribe::read(self, conversation, grant.as_ref()).await
    }

    /// Subscribes and writes the reply.
    pub(crate) async fn subscribe(
        &self,
        request: &SubscribeRequest,
        grant: Option<SubscriptionGrant>,
    ) -> Result<(), ErrorCode> {
        let first_page = Some(subscribe::first_page_by());
        let (result, subscribed) =
            subscribe::subscribe(self, &request.channel, request, grant, first_page).await?;
        self.reply(Outcome::Subscribe(result));
        subscribed.begin(self);
        Ok(())
    }

    fn unsubscribe(&self, channel: &str) {
        // Clients drop the connection on an error here: whatever the channel is, afterwards there is no subscription.
        if channel == CHANNEL {
            self.shard.close_inbox(self.session);
        } else if let Ok(conversation) = channel.parse() {
            self.shard.unsubscribe(self.session, &conversation);
        }
        self.reply(Outcome::Unsubscribe);
    }

    async fn publish(&self, request: PublishRequest) -> Result<Outcome, RpcError> {
        let request = rpc::publish(&self.identity, request.channel, &request.data)?;
        self.shard.around.sink.execute(request).await?;
        Ok(Outcome::Publish)
    }

    async fn rpc(&self, request: RpcRequest) -> Result<Outcome, RpcError> {
        if let Some(typing) = typing::said(&request.method) {
            return typing::typing(self, &request, typing).await;
        }
        if request.method == inbox::LIST {
            return inbox::list(self, &request.data).await;
        }
        let request = rpc::command(&self.identity, &request.method, &request.data)?;
        let accepted = self.shard.around.sink.execute(request).await?;
        let data = serde_json::to_vec(&accepted).map_err(|_| RpcError::from(ErrorCode::INTERNAL))?;
        Ok(Outcome::Rpc(data.into()))
    }

    async fn presence(&self, channel: &str, stats: bool) {
        let presence = &self.shard.around.presence;
        match self.readable(channel).await {
            Err(error) => self.fail(error),
            Ok((conversation, _)) if stats => {
                let (num_clients, num_users) = presence.count(&conversation);
                self.reply(Outcome::PresenceStats(PresenceStatsResult { num_clients, num_users }));
            }
            Ok((conversation, _)) => {
                self.reply(Outcome::Presence(PresenceResult { presence: presence.list(&conversation) }));
            }
        }
    }

    fn refresh(&self, request: &RefreshRequest) -> Result<(), Disconnect> {
        let identity = match self.shard.around.tokens.verify(&request.token) {
            Ok(identity) if identity.user == self.identity.user => identity,
            Ok(_) => return Err(Disconnect::INVALID_TOKEN),
            Err(error) => match connect::may_come_back(&error) {
                // It asks again with the same token.
                Some(ErrorCode::INTERNAL) => {
                    self.fail(ErrorCode::INTERNAL);
                    return Ok(());
                }
                // An error would end the connection for good; closed, it comes back, and is told to get a new token.
                Some(_) => return Err(Disconnect::EXPIRED),
                None => return Err(Disconnect::INVALID_TOKEN),
            },
        };
        let (expires, ttl) = connect::life(identity.expires_at, self.shard.around.clock.now());
        self.session.set_standing(Standing::Connected(identity));
        // What was read by a scope that is not in the new token.
        for subscription in self.session.forbidden() {
            self.shard.end_subscription(&subscription, Unsubscribe::NOT_ALLOWED);
        }
        let (client, version) = (self.session.client().to_owned(), connect::VERSION.to_owned());
        self.reply(Outcome::Refresh(RefreshResult { client, version, expires, ttl }));
        Ok(())
    }
}
