//! The first page, embedded: plain files, no build step.

use http::{HeaderValue, header};
use warp::{Filter, filters::BoxedFilter, path::Tail, reply::Response};

/// A file of the page: its name under `/console/`, its type and its bytes.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($type:ident: $($name:literal)+;)+) => {
        &[$($(File {
            name: $name,
            content_type: $type,
            bytes: include_bytes!(concat!("../console/", $name)),
        },)+)+]
    };
}

const INDEX: File =
    File { name: "index.html", content_type: HTML, bytes: include_bytes!("../console/index.html") };

const FILES: &[File] = files! {
    CSS: "style.css";
    JS: "main.js" "api.js" "session.js" "socket.js" "timeline.js" "outbox.js" "conversation.js" "directory.js"
        "words.js" "dom.js" "view/composer.js" "view/dialogs.js" "view/list.js" "view/message.js"
        "view/messages.js" "view/room.js" "view/toolbar.js" "view/welcome.js";
};

/// What the page may load and do: only what this server gives it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/` and the files it loads.
pub(crate) fn routes() -> BoxedFilter<(Response,)> {
    let index = warp::path::end().and(warp::get()).map(|| response(&INDEX));
    let files =
        warp::path("console").and(warp::path::tail()).and(warp::get()).and_then(|tail: Tail| async move {
            let file = FILES.iter().find(|file| file.name == tail.as_str());
            file.map(response).ok_or_else(warp::reject::not_found)
        });
    index.or(files).unify().boxed()
}

fn response(file: &File) -> Response {
    let mut response = Response::new(file.bytes.into());
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, file.content_type);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    // The files belong to this build; a new one must not meet old ones.
    set(header::CACHE_CONTROL, "no-cache");
    response
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Every script and style of the folder, by name.
    fn on_disk(folder: &Path, prefix: &str, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() && name != "test" {
                on_disk(&entry.path(), &format!("{name}/"), names);
            } else if name.ends_with(".js") || name.ends_with(".css") {
                names.push(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let mut names = Vec::new();
        on_disk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("console"), "", &mut names);
        names.sort();
        let mut served: Vec<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        served.sort();
        assert_eq!(served, names);
    }

    #[tokio::test]
    async fn the_page_comes_with_its_policy_and_nothing_else_is_there() {
        let page = warp::test::request().path("/").reply(&routes()).await;
        assert_eq!(page.status(), 200);
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        let script = warp::test::request().path("/console/view/message.js").reply(&routes()).await;
        assert_eq!(script.headers()["content-type"], JS);
        for missing in ["/console/", "/console/../Cargo.toml", "/console/test/words.test.mjs"] {
            assert_eq!(warp::test::request().path(missing).reply(&routes()).await.status(), 404, "{missing}");
        }
    }
}
