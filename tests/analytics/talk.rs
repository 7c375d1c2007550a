//! A talk in which every type of event occurs.

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use tests::Api;

use crate::site::Site;

/// More than there are partitions.
pub(crate) const CONVERSATIONS: [&str; 5] = ["tea", "cake", "milk:1", "sugar.2", "lemon-3"];
/// Messages in each.
const POSTS: usize = 40;

/// Ann and Bob talk in all conversations in turn, so that their records lie among each other.
pub(crate) async fn talk(site: &Site) -> anyhow::Result<()> {
    let (ann, bob) = (site.server().api("ann").await?, site.server().api("bob").await?);
    for conversation in CONVERSATIONS {
        ann.create(conversation).await?;
        act(&bob, Method::POST, &format!("{conversation}/join"), json!({})).await?;
    }
    for number in 0..POSTS {
        for conversation in CONVERSATIONS {
            let api = if number % 3 == 0 { &bob } else { &ann };
            let text = format!("number {number}: é \u{2028} 🍵 <b>\n\t\"x\"");
            let body = json!({"client_message_id": format!("m-{number}"), "text": text,
                "style": if number % 7 == 0 { "action" } else { "plain" },
                "reply_to": (number > 0).then(|| format!("m-{}", number - 1))});
            act(api, Method::POST, &format!("{conversation}/messages"), body).await?;
        }
    }
    for conversation in CONVERSATIONS {
        changes(&ann, &bob, conversation).await?;
    }
    Ok(())
}

/// What can happen beside posts.
async fn changes(ann: &Api, bob: &Api, conversation: &str) -> anyhow::Result<()> {
    let at = |rest: &str| format!("{conversation}{rest}");
    act(ann, Method::PATCH, &at(""), json!({"title": "Tea & cake"})).await?;
    act(bob, Method::PATCH, &at("/messages/m-0"), json!({"text": "better"})).await?;
    act(ann, Method::DELETE, &at("/messages/m-1"), json!({})).await?;
    act(bob, Method::PUT, &at("/messages/m-2/reactions/%F0%9F%91%8D"), json!({})).await?;
    act(bob, Method::DELETE, &at("/messages/m-2/reactions/%F0%9F%91%8D"), json!({})).await?;
    let up_to = act(ann, Method::POST, &at("/members"), json!({"member": "cid"})).await?;
    act(bob, Method::PUT, &at("/read_marker"), json!({"up_to": up_to})).await?;
    act(ann, Method::PATCH, &at("/members/cid"), json!({"role": "moderator"})).await?;
    act(ann, Method::DELETE, &at("/members/cid"), json!({})).await?;
    act(bob, Method::POST, &at("/leave"), json!({"parting_words": "so long"})).await?;
    Ok(())
}

/// Sends a command and gives its position.
async fn act(api: &Api, method: Method, path: &str, body: Value) -> anyhow::Result<u64> {
    let path = format!("/v1/conversations/{path}");
    let answer = api.command(method, &path, &body).await;
    Ok(answer.accepted().context(path)?.offset)
}
